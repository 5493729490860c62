/** The page: the list on one side, a note on the other; on a phone one of the two. */
import { useEffect, useRef, useState } from "react";
import { useStore } from "tidelog/react";
import { client } from "./client.js";
import { ConnectionSwitch } from "./ConnectionSwitch.js";
import { NoteList } from "./NoteList.js";
import { NotePane, type Entering } from "./NotePane.js";
import { addNote, openIndex } from "./notes.js";
import { Notices } from "./Notices.js";
import { Rejections } from "./Rejections.js";
import { SyncBadge } from "./SyncBadge.js";
import { update } from "./update.js";
import { useFocusRescue } from "./useFocusRescue.js";
import { select, useSelected } from "./useSelected.js";

export function App() {
  const status = useStore(client.status);
  const rejections = useStore(client.rejections);
  const onUpdate = useStore(update);
  const selected = useSelected();
  const [entering, setEntering] = useState<Entering | null>(null);
  const refused = useRef<HTMLDialogElement>(null);
  const refusedHeading = useFocusRescue<HTMLHeadingElement>(rejections.length);
  const create = (): void => {
    const id = addNote(openIndex(client));
    setEntering({ id, field: "title" });
    select(id);
  };
  // Another tab holds the notes: what is saved is not known here.
  const isElsewhere = status.connection.state === "waiting" && status.connection.waitsFor === "other-tab";
  useEffect(() => {
    if (rejections.length === 0) refused.current?.close();
  }, [rejections.length]);
  const main = useFocusRescue<HTMLElement>(rejections.length + status.rejected); // with the last one the sheet goes, and its button, in either order

  return (
    <div className="app" data-showing={selected === null ? "list" : "note"}>
      <header className="bar">
        <a className="brand" href="#/" aria-label="Tidelog notes: the list">
          <img src="/icon.svg" alt="" width="28" height="28" />
          <span>Tidelog notes</span>
        </a>
        {!isElsewhere && <SyncBadge status={status} onShowRefused={() => refused.current?.showModal()} />}
        <ConnectionSwitch connection={status.connection} />
      </header>
      <Notices status={status} onUpdate={onUpdate} />
      <main className="panes" ref={main} tabIndex={-1}>
        <NoteList selected={selected} onCreate={create} onOpen={setEntering} />
        {selected === null
          ? <NothingSelected />
          : <NotePane key={selected} id={selected} entering={entering?.id === selected ? entering : null} onEnter={setEntering} />}
      </main>
      <dialog ref={refused} className="sheet" aria-labelledby="refused-title">
        <div className="sheet-head">
          <h2 id="refused-title" ref={refusedHeading} tabIndex={-1}>Refused by the relay</h2>
          <button type="button" className="quiet" onClick={() => refused.current?.close()}>Close</button>
        </div>
        <p className="faint">These were taken back where they showed. Nothing is lost: decide what becomes of each.</p>
        <Rejections rejections={rejections} />
      </dialog>
    </div>
  );
}

function NothingSelected() {
  return (
    <section className="pane note-pane empty" aria-label="Note">
      <img src="/icon.svg" alt="" width="56" height="56" />
      <p>Choose a note, or write a new one.</p>
      <p className="faint">Open this page in a second browser or a private window, switch one of the two offline, and write in both.</p>
    </section>
  );
}
