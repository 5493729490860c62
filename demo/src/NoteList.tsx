/** All notes, newest first. Each line watches its note, so that all of them are on this device when the network goes. */
import { memo, type MouseEvent } from "react";
import { useStore } from "tidelog/react";
import { client } from "./client.js";
import type { Entering } from "./NotePane.js";
import { CommentList, firstWords, listNotes, openComments, openIndex, openNote, type ListedNote } from "./notes.js";
import { SavedMark } from "./SyncBadge.js";
import { useFocusRescue } from "./useFocusRescue.js";
import { linkTo } from "./useSelected.js";
import { explain } from "./words.js";

interface Props {
  readonly selected: string | null;
  readonly onCreate: () => void;
  /** A note is opened; with the keyboard, the person goes on in its text. */
  readonly onOpen: (entering: Entering | null) => void;
}

export function NoteList({ selected, onCreate, onOpen }: Props) {
  const index = openIndex(client);
  const shown = useStore(index);
  const status = useStore(index.status);
  const heading = useFocusRescue<HTMLHeadingElement>(selected);
  // What goes on by itself is told above the page.
  const problem = status.phase === "failed" || status.error?.retryable === false ? status.error : null;
  const notes = shown === undefined ? null : listNotes(shown);
  return (
    <section className="pane list-pane" aria-labelledby="list-title">
      <div className="list-head">
        <h1 id="list-title" ref={heading} tabIndex={-1}>Notes</h1>
        <button type="button" className="primary" disabled={notes === null} onClick={onCreate}>New note</button>
      </div>
      {problem !== null && <p className="problem" role="alert">{explain(problem)}</p>}
      {notes === null && problem === null && <Loading />}
      {notes?.length === 0 && <NoNotes isKnown={status.exists !== "unknown"} />}
      {notes !== null && notes.length > 0 && (
        <ul className="notes">
          {notes.map((note) => <Row key={note.id} {...note} isSelected={note.id === selected} onOpen={onOpen} />)}
        </ul>
      )}
    </section>
  );
}

interface RowProps extends ListedNote, Pick<Props, "onOpen"> {
  readonly isSelected: boolean;
}

/** Renders again for its own note only: the list changes with each key in a title. */
const Row = memo(function Row({ id, title, createdAt, isSelected, onOpen }: RowProps) {
  const document = openNote(client, id);
  const comments = openComments(client, id);
  const text = useStore(document)?.text;
  const count = useStore(comments.view(CommentList))?.length ?? 0;
  const marks = [useStore(document.status).savedOn, useStore(comments.status).savedOn];
  const mark = marks.includes("none") ? "none" : marks.includes("device") ? "device" : "relay";
  const open = ({ detail }: MouseEvent): void => onOpen(detail === 0 ? { id, field: "text" } : null); // 0: no pointer clicked
  return (
    <li>
      <a className="row" href={linkTo(id)} aria-current={isSelected ? "page" : undefined} onClick={open}>
        <span className="row-title" dir="auto">{title.trim() || "Untitled"}</span>
        <span className="row-words" dir="auto">{text === undefined ? "…" : firstWords(text) || "Nothing written yet"}</span>
        <span className="row-foot">
          <time dateTime={createdAt.toISOString()}>{day.format(createdAt)}</time>
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
});

const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });

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
