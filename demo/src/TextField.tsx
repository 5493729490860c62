/** A string of a document as a text field that several people can type in at once. */
import { useEffect, useRef } from "react";
import type { DocumentHandle, TextPath } from "tidelog";
import { bindText } from "./bindText.js";

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
  const place = JSON.stringify(path);
  useEffect(() => bindText(field.current!, document.text(JSON.parse(place) as TextPath<T>)), [document, place]);
  useEffect(() => {
    if (isFocused) field.current?.focus();
  }, [isFocused]);
  const common = { ref: field, className, placeholder, "aria-label": label };
  return isLong ? <textarea {...common} rows={8} spellCheck /> : <input {...common} type="text" maxLength={200} enterKeyHint="done" />;
}
