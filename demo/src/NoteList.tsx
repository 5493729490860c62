/** All notes, newest first. Each line watches its note, so that all of them are on this device when the network goes. */
import { client } from "./client.js";
import { CommentList, firstWords, listNotes, openComments, openIndex, openNote, type ListedNote } from "./notes.js";
import { SavedMark } from "./SyncBadge.js";
import { linkTo } from "./useSelected.js";
import { useStore } from "./useStore.js";
import { explain } from "./words.js";

interface Props {
  readonly selected: string | null;
  readonly onCreate: () => void;
}

export function NoteList({ selected, onCreate }: Props) {
  const index = openIndex(client);
  const shown = useStore(index);
  const status = useStore(index.status);
  // What goes on by itself is told above the page.
  const problem = status.phase === "failed" || status.error?.retryable === false ? status.error : null;
  const notes = shown === undefined ? null : listNotes(shown);
  return (
    <section className="pane list-pane" aria-labelledby="list-title">
      <div className="list-head">
        <h1 id="list-title">Notes</h1>
        <button type="button" className="primary" disabled={notes === null} onClick={onCreate}>New note</button>
      </div>
      {problem !== null && <p className="problem" role="alert">{explain(problem)}</p>}
      {notes === null && problem === null && <Loading />}
      {notes?.length === 0 && <NoNotes isKnown={status.exists !== "unknown"} />}
      {notes !== null && notes.length > 0 && (
        <ul className="notes">
          {notes.map((note) => <Row key={note.id} note={note} isSelected={note.id === selected} />)}
        </ul>
      )}
    </section>
  );
}

function Row({ note, isSelected }: { readonly note: ListedNote; readonly isSelected: boolean }) {
  const document = openNote(client, note.id);
  const comments = openComments(client, note.id);
  const text = useStore(document)?.text;
  const count = useStore(comments.view(CommentList))?.length ?? 0;
  const marks = [useStore(document.status).savedOn, useStore(comments.status).savedOn];
  const mark = marks.includes("none") ? "none" : marks.includes("device") ? "device" : "relay";
  return (
    <li>
      <a className="row" href={linkTo(note.id)} aria-current={isSelected ? "page" : undefined}>
        <span className="row-title">{note.title.trim() || "Untitled"}</span>
        <span className="row-words">{text === undefined ? "…" : firstWords(text) || "Nothing written yet"}</span>
        <span className="row-foot">
          <time dateTime={note.createdAt.toISOString()}>{day.format(note.createdAt)}</time>
          {count > 0 && <span>{count === 1 ? "1 comment" : `${count} comments`}</span>}
          {mark !== "relay" && (
            <span className="row-mark">
              <SavedMark mark={mark} />
              <span className="sr-only">not yet on the relay</span>
            </span>
          )}
        </span>
      </a>
    </li>
  );
}

const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

function Loading() {
  return (
    <div className="loading" role="status">
      <span className="sr-only">Opening your notes</span>
      <i /><i /><i />
    </div>
  );
}

function NoNotes({ isKnown }: { readonly isKnown: boolean }) {
  return (
    <div className="empty">
      <p>{isKnown ? "No notes yet." : "Nothing on this device yet."}</p>
      <p className="faint">
        {isKnown
          ? "The first one is a click away, with or without a network."
          : "Notes that others have written appear once the relay is reached. You can start one now."}
      </p>
    </div>
  );
}
