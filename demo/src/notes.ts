/** What the demo keeps: a list of notes, a text for each, and what people say about it. */
import { defineDocument, defineStream, defineView, event, type Client, type DocumentHandle, type Snapshot } from "tidelog";

/** One line of the list. Keyed by a random id, so that two people can add notes at once with no network. */
interface Entry {
  title: string;
  createdAt: Date;
  /** Set: out of the list. The line stays, so that whoever puts the note back gets its title and its place again. */
  removedAt?: Date;
}
export type Index = { notes: Record<string, Entry> };
export const Index = defineDocument<Index>({ defaults: { notes: {} } });

export type Note = { text: string };
export const Note = defineDocument<Note>({ defaults: { text: "" } });

export const Comments = defineStream({ events: { added: event<{ key: string; name: string; text: string }>() } });

/** A comment as it is shown. */
export interface Comment {
  readonly key: string;
  readonly name: string;
  readonly text: string;
  readonly time: number;
  /** Not yet confirmed by the relay, which may still refuse it. */
  readonly pending: boolean;
}
export const CommentList = defineView(Comments, {
  name: "list",
  initial: [] as readonly Comment[],
  reduce: (list, { payload, time, pending }) => [...list, { ...payload, time, pending }],
});

export const openIndex = (client: Client) => client.document(Index, "notes/index");
export const openNote = (client: Client, id: string) => client.document(Note, `notes/${id}`);
export const openComments = (client: Client, id: string) => client.stream(Comments, `comments/${id}`);

/** A note as the list shows it. */
export interface ListedNote {
  readonly id: string;
  readonly title: string;
  readonly createdAt: Date;
}

/** Newest first; of two made at the same moment, every device puts the same one first. */
export function listNotes({ notes }: Snapshot<Index>): readonly ListedNote[] {
  return Object.entries(notes)
    .filter(([, { removedAt }]) => removedAt === undefined)
    .map(([id, { title, createdAt }]) => ({ id, title, createdAt }))
    .sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime() || (a.id < b.id ? -1 : 1));
}

/** Adds an empty note and gives its id. */
export function addNote(index: DocumentHandle<Index>): string {
  const id = crypto.randomUUID();
  index.change((draft) => {
    draft.notes[id] = { title: "", createdAt: new Date() };
  });
  return id;
}

/** Puts a note back into the list; under `title` if the list knows nothing of it, as older builds left it. */
export function putBack(index: DocumentHandle<Index>, id: string, title: string): void {
  index.change(({ notes }) => {
    const entry = notes[id];
    if (entry === undefined) notes[id] = { title, createdAt: new Date() };
    else delete entry.removedAt;
  });
}

/** Takes a note out of the list; its text stays where it is. */
export function removeNote(index: DocumentHandle<Index>, id: string): void {
  index.change(({ notes }) => {
    const entry = notes[id];
    if (entry !== undefined) entry.removedAt = new Date();
  });
}

/** The first words of a text, for one line. */
export function firstWords(text: string, lengthMax = 120): string {
  const words = text.trim().replace(/\s+/g, " ");
  return words.length <= lengthMax ? words : `${words.slice(0, lengthMax).trimEnd()}…`;
}
