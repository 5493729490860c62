/** What the relay refused, why, and what can be done about it. It survives a reload, and nothing is lost unless forgotten. */
import { useState, type FormEvent } from "react";
import type { ChangeRejection, EventRejection, Rejection } from "tidelog";
import { describeEdits, explainRefusal, isComment, withText } from "./refused.js";

export function Rejections({ rejections }: { readonly rejections: readonly Rejection[] }) {
  return (
    <ul className="rejections">
      {rejections.map((rejection) => (
        <li key={`${rejection.stream} ${rejection.id}`} className="rejection">
          <p className="rejection-why">{explainRefusal(rejection)}</p>
          {rejection.kind === "event" ? <RefusedEvent rejection={rejection} /> : <RefusedChange rejection={rejection} />}
        </li>
      ))}
    </ul>
  );
}

function RefusedEvent({ rejection }: { readonly rejection: EventRejection }) {
  const { event } = rejection;
  const [text, setText] = useState(isComment(event) ? event.payload.text : "");
  const [problem, attempt] = useAttempt();
  if (!isComment(event)) return <Decision problem={problem} onRetry={() => attempt(() => rejection.retry())} rejection={rejection} />;
  const isCorrected = text !== event.payload.text;
  const submit = (submitted: FormEvent): void => {
    submitted.preventDefault();
    attempt(() => rejection.retry(isCorrected ? withText(event, text.trim()) : event));
  };
  return (
    <form onSubmit={submit}>
      <input dir="auto" aria-label="Your comment, to correct" maxLength={2000} value={text} onChange={(changed) => setText(changed.target.value)} />
      <div className="rejection-actions">
        <button type="submit" className="primary" disabled={text.trim() === ""}>{isCorrected ? "Send corrected" : "Try again"}</button>
        <ForgetButton rejection={rejection} />
      </div>
      {problem !== null && <p className="problem" role="alert">{problem}</p>}
    </form>
  );
}

function RefusedChange({ rejection }: { readonly rejection: ChangeRejection }) {
  const [problem, attempt] = useAttempt();
  return (
    <>
      <p className="rejection-what" dir="auto">{describeEdits(rejection.patches)}</p>
      <Decision problem={problem} onRetry={() => attempt(() => rejection.retry())} rejection={rejection} />
    </>
  );
}

interface DecisionProps {
  readonly problem: string | null;
  readonly onRetry: () => void;
  readonly rejection: Rejection;
}

function Decision({ problem, onRetry, rejection }: DecisionProps) {
  return (
    <>
      <div className="rejection-actions">
        <button type="button" className="primary" onClick={onRetry}>Try again</button>
        <ForgetButton rejection={rejection} />
      </div>
      {problem !== null && <p className="problem" role="alert">{problem}</p>}
    </>
  );
}

function ForgetButton({ rejection }: { readonly rejection: Rejection }) {
  // If the device cannot forget it, the entry stays where it is: that says enough.
  return <button type="button" className="quiet" onClick={() => void rejection.discard().catch(() => undefined)}>Forget it</button>;
}

/** Runs a retry; what it throws, or why its write could not be saved, becomes a sentence. */
function useAttempt(): readonly [problem: string | null, attempt: (retry: () => { readonly saved: Promise<unknown> }) => void] {
  const [problem, setProblem] = useState<string | null>(null);
  const attempt = (retry: () => { readonly saved: Promise<unknown> }): void => {
    setProblem(null);
    const fail = (): void => setProblem("This could not be done again. It stays here until you decide.");
    try {
      retry().saved.catch(fail);
    } catch {
      fail();
    }
  };
  return [problem, attempt];
}
