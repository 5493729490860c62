/** One note: its title, its text, what people say about it. */
import { useEffect, useRef } from "react";
import { useStore } from "tidelog/react";
import { client } from "./client.js";
import { Comments } from "./Comments.js";
import { firstWords, openIndex, openNote, putBack, removeNote } from "./notes.js";
import { TextField } from "./TextField.js";
import { select } from "./useSelected.js";
import { explain } from "./words.js";

/** A person wants to write in this field of this note now. Each time is an object of its own. */
export interface Entering {
  readonly id: string;
  readonly field: "title" | "text";
}

interface Props {
  readonly id: string;
  readonly entering: Entering | null;
  readonly onEnter: (entering: Entering) => void;
}

export function NotePane({ id, entering, onEnter }: Props) {
  const index = openIndex(client);
  const note = openNote(client, id);
  const list = useStore(index);
  const text = useStore(note)?.text;
  const { error, exists } = useStore(note.status);
  const entry = list?.notes[id];
  const isListed = entry !== undefined && entry.removedAt === undefined;
  // Anyone can type an address. What was left unlisted by older builds is known by its text alone.
  const isNowhere = list !== undefined && entry === undefined && text !== undefined && exists !== true;
  const name = entry === undefined ? "" : firstWords(entry.title, 80) || "Untitled";
  useEffect(() => {
    if (name === "") return;
    const before = document.title;
    document.title = `${name} – ${before}`;
    return () => {
      document.title = before;
    };
  }, [name]);
  return (
    <section className="pane note-pane" aria-label="Note">
      <div className="note-tools">
        <a className="back" href="#/">Notes</a>
        {isListed && <RemoveButton name={name} onRemove={() => { removeNote(index, id); select(null); }} />}
      </div>
      {error !== null && <p className="problem" role="alert">{explain(error)}</p>}
      {isNowhere ? <Nowhere isKnown={exists === false} /> : (
        <>
          {list !== undefined && !isListed && text !== undefined && (
            <p className="problem" role="status">
              <span>This note is not in the list. What was written in it is still here.</span>
              <button type="button" onClick={() => putBack(index, id, firstWords(text, 40))}>Put it back</button>
            </p>
          )}
          <article className="note">
            {entry !== undefined && (
              <TextField
                document={index} path={["notes", id, "title"]} label="Title" placeholder="Title" className="title" rows={1}
                focus={entering?.field === "title" ? entering : null} onEnter={() => onEnter({ id, field: "text" })}
              />
            )}
            {text === undefined && error === null && <div className="loading" role="status"><span className="sr-only">Opening the note</span><i /><i /></div>}
            {text !== undefined && (
              <TextField
                document={note} path={["text"]} label="Text" placeholder="Write something…" className="text" rows={8}
                focus={entering?.field === "text" ? entering : null}
              />
            )}
          </article>
          <Comments id={id} />
        </>
      )}
    </section>
  );
}

function Nowhere({ isKnown }: { readonly isKnown: boolean }) {
  return (
    <div className="empty" role="status">
      <p>{isKnown ? "There is no note at this address." : "There is no note at this address on this device."}</p>
      {!isKnown && <p className="faint">If somebody else has written it, it appears once the relay is reached.</p>}
      <a className="link" href="#/">To the list</a>
    </div>
  );
}

function RemoveButton({ name, onRemove }: { readonly name: string; readonly onRemove: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  return (
    <>
      <button type="button" className="quiet" onClick={() => dialog.current?.showModal()}>Remove</button>
      <dialog ref={dialog} className="sheet" aria-labelledby="remove-title">
        <h2 id="remove-title">Remove “{name}”?</h2>
        <p className="faint">It leaves the list on every device. Who still has it open can put it back.</p>
        <div className="sheet-actions">
          <button type="button" className="quiet" onClick={() => dialog.current?.close()}>Keep it</button>
          <button type="button" className="danger" onClick={onRemove}>Remove</button>
        </div>
      </dialog>
    </>
  );
}
