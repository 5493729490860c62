/** Where everything written so far is safe, and how much was refused. Claims nothing while nothing is written. */
import { useEffect, useState } from "react";
import type { SavedOn, SyncStatus } from "tidelog";
import { useStore } from "tidelog/react";
import { client } from "./client.js";
import { openIndex } from "./notes.js";
import { describeSaved } from "./words.js";

interface Props {
  readonly status: SyncStatus;
  readonly onShowRefused: () => void;
}

export function SyncBadge({ status, onShowRefused }: Props) {
  const { savedOn, pending, rejected } = status;
  const list = useStore(openIndex(client));
  const isAnythingWritten = savedOn !== "relay" || rejected > 0 || (list !== undefined && Object.keys(list.notes).length > 0);
  const text = isAnythingWritten ? describeSaved(status) : list === undefined ? "" : "Nothing to save";
  return (
    <div className="badge">
      {rejected > 0 && <button type="button" className="refused" onClick={onShowRefused}>{rejected} refused</button>}
      <span className="saved">
        {isAnythingWritten && <SavedMark mark={savedOn} />}
        <span className="saved-text">{text}</span>
        {pending > 0 && savedOn !== "relay" && <span className="saved-count">{pending} to send</span>}
      </span>
      <Spoken text={rejected > 0 ? `${rejected} refused. ${text}` : text} />
    </div>
  );
}

/** A disc that fills as the writing gets further: empty, half full, full, readable without colour. */
export function SavedMark({ mark }: { readonly mark: SavedOn }) {
  return (
    <svg className="mark" data-saved={mark} viewBox="0 0 16 16" aria-hidden="true">
      <circle cx="8" cy="8" r="6.25" fill="none" stroke="currentColor" strokeWidth="1.5" />
      {mark === "device" && <path d="M2 8a6 6 0 0 0 12 0z" fill="currentColor" />}
      {mark === "relay" && <circle cx="8" cy="8" r="6.25" fill="currentColor" />}
      {mark === "relay" && <path className="tick" d="m5 8.2 2.1 2.1L11.2 6" fill="none" strokeWidth="1.6" strokeLinecap="round" />}
    </svg>
  );
}

/** Says a state aloud once it has lasted: a screen reader must not speak at every key. */
function Spoken({ text }: { readonly text: string }) {
  const [spoken, setSpoken] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setSpoken(text), 1500);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <span className="sr-only" role="status">
      {spoken}
    </span>
  );
}
