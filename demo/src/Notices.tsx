/** Strips at the top of the page for what a person must know. */
import type { SyncStatus } from "tidelog";
import { noticesOf } from "./notices.js";

interface Props {
  readonly status: SyncStatus;
  /** A newer build of this page is on the device; starts it. */
  readonly onUpdate: (() => void) | null;
}

export function Notices({ status, onUpdate }: Props) {
  const notices = noticesOf(status);
  const reload = onUpdate ?? (() => location.reload());
  return (
    <div className="notices" role="alert">
      {notices.map(({ key, tone, text, reload: helps }) => (
        <p key={key} className="notice" data-tone={tone}>
          <span>{text}</span>
          {helps && <button type="button" onClick={reload}>Reload</button>}
        </p>
      ))}
      {onUpdate !== null && !notices.some((notice) => notice.reload) && (
        <p className="notice" data-tone="news">
          <span>A new version of this page is ready.</span>
          <button type="button" onClick={onUpdate}>Use it</button>
        </p>
      )}
    </div>
  );
}
