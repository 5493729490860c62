/** Where everything written so far is safe. The three meanings of "saved" are never mixed, nor is a refusal one of them. */
import { useEffect, useState } from "react";
import type { SavedOn, SyncStatus } from "tidelog";

interface Look {
  readonly text: string;
  /** Empty, half full, full: readable without colour. */
  readonly mark: "none" | "device" | "relay";
}

function look(savedOn: SavedOn): Look {
  switch (savedOn) {
    case "none":
      return { text: "Not yet saved", mark: "none" };
    case "device":
      return { text: "Saved on this device", mark: "device" };
    case "relay":
      return { text: "Saved on the relay", mark: "relay" };
    default:
      return savedOn satisfies never;
  }
}

interface Props {
  readonly status: SyncStatus;
  readonly onShowRefused: () => void;
}

export function SyncBadge({ status, onShowRefused }: Props) {
  const { text, mark } = look(status.savedOn);
  const waiting = status.pending > 0 && status.savedOn !== "relay" ? `${status.pending} to send` : "";
  return (
    <div className="badge">
      <span className="saved" data-saved={mark}>
        <SavedMark mark={mark} />
        <span className="saved-text">{text}</span>
        <span className="saved-count">{waiting}</span>
      </span>
      {status.rejected > 0 && (
        <button type="button" className="refused" onClick={onShowRefused}>
          {status.rejected} refused
        </button>
      )}
      <Spoken text={status.rejected > 0 ? `${text}. ${status.rejected} refused` : text} />
    </div>
  );
}

/** A disc that fills as the writing gets further. */
export function SavedMark({ mark }: { readonly mark: Look["mark"] }) {
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
