/** A string of a document as a text field that several people can type in at once. It grows with what is in it. */
import { useEffect, useRef, useState, type KeyboardEvent } from "react";
import type { DocumentHandle, SyncError, TextPath } from "tidelog";
import { bindText } from "./bindText.js";
import { explain } from "./words.js";

interface Props<T extends object> {
  /** Open: it has a snapshot, and a string at `path`. */
  readonly document: DocumentHandle<T>;
  readonly path: TextPath<T>;
  readonly label: string;
  readonly placeholder: string;
  readonly className: string;
  readonly rows: number;
  /** Takes the focus when this is another one, or when it appears. */
  readonly focus: object | null;
  /** Left out: Enter begins a new line. */
  readonly onEnter?: () => void;
}

export function TextField<T extends object>({ document, path, label, placeholder, className, rows, focus, onEnter }: Props<T>) {
  const field = useRef<HTMLTextAreaElement>(null);
  const [takenBack, setTakenBack] = useState<SyncError | null>(null);
  const place = JSON.stringify(path);
  useEffect(() => bindText(field.current!, document.text(JSON.parse(place) as TextPath<T>), setTakenBack), [document, place]);
  useEffect(() => {
    if (focus !== null) field.current?.focus();
  }, [focus]);
  const onKeyDown = (event: KeyboardEvent): void => {
    if (onEnter === undefined || event.key !== "Enter" || event.nativeEvent.isComposing) return;
    event.preventDefault();
    onEnter();
  };
  const close = (): void => {
    setTakenBack(null);
    field.current?.focus();
  };
  return (
    <>
      <textarea
        ref={field} className={className} placeholder={placeholder} aria-label={label} rows={rows} dir="auto" spellCheck
        enterKeyHint={onEnter === undefined ? undefined : "next"} onKeyDown={onKeyDown}
      />
      {takenBack !== null && (
        <p className="problem" role="alert">
          <span>{explain(takenBack)} Your last change was taken back.</span>
          <button type="button" onClick={close}>Close</button>
        </p>
      )}
    </>
  );
}
