/** A string of a document as a text field that several people can type in at once. */
import { useEffect, useRef, useState } from "react";
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
  readonly isLong?: boolean;
  /** Takes the focus when it appears. */
  readonly isFocused?: boolean;
}

export function TextField<T extends object>({ document, path, label, placeholder, className, isLong = false, isFocused = false }: Props<T>) {
  const field = useRef<HTMLInputElement & HTMLTextAreaElement>(null);
  const [takenBack, setTakenBack] = useState<SyncError | null>(null);
  const place = JSON.stringify(path);
  useEffect(() => bindText(field.current!, document.text(JSON.parse(place) as TextPath<T>), setTakenBack), [document, place]);
  useEffect(() => {
    if (isFocused) field.current?.focus();
  }, [isFocused]);
  const common = { ref: field, className, placeholder, "aria-label": label };
  const close = (): void => {
    setTakenBack(null);
    field.current?.focus();
  };
  return (
    <>
      {isLong ? <textarea {...common} rows={8} spellCheck /> : <input {...common} type="text" maxLength={200} enterKeyHint="done" />}
      {takenBack !== null && (
        <p className="problem" role="alert">
          <span>{explain(takenBack)} Your last change was taken back.</span>
          <button type="button" onClick={close}>Close</button>
        </p>
      )}
    </>
  );
}
