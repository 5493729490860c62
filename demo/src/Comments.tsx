/** What people say about a note: a stream of events that the relay may refuse. */
import { useState, type CSSProperties, type FormEvent } from "react";
import { useStore } from "tidelog/react";
import { client } from "./client.js";
import { CommentList, openComments, type Comment } from "./notes.js";
import { Rejections } from "./Rejections.js";
import { useFocusRescue } from "./useFocusRescue.js";
import { useName } from "./useName.js";

/** What is half written, by note: it outlives a look at another one. */
const drafts = new Map<string, string>();

export function Comments({ id }: { readonly id: string }) {
  const stream = openComments(client, id);
  const comments = useStore(stream.view(CommentList));
  const refused = useStore(stream.rejections);
  const [name, setName] = useName();
  const heading = useFocusRescue<HTMLHeadingElement>(refused.length);
  const [text, setText] = useState(drafts.get(id) ?? "");
  const write = (next: string): void => {
    setText(next);
    drafts.set(id, next);
  };
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (text.trim() === "") return;
    stream.append({ type: "added", payload: { key: crypto.randomUUID(), name: name.trim() || "Someone", text: text.trim() } });
    write("");
  };
  return (
    <section className="comments" aria-labelledby="comments-title">
      <h2 id="comments-title" ref={heading} tabIndex={-1}>Comments</h2>
      {comments?.length === 0 && <p className="faint">Nobody has said anything yet.</p>}
      {comments !== undefined && comments.length > 0 && (
        <ol className="comment-list">
          {comments.map((comment) => <CommentItem key={comment.key} comment={comment} />)}
        </ol>
      )}
      {refused.length > 0 && <Rejections rejections={refused} />}
      <form className="comment-form" onSubmit={submit}>
        <input className="comment-name" dir="auto" aria-label="Your name" placeholder="Your name" maxLength={40} autoComplete="nickname" value={name} onChange={(event) => setName(event.target.value)} />
        <input className="comment-text" dir="auto" aria-label="Comment" placeholder="Say something about it" maxLength={2000} enterKeyHint="send" value={text} onChange={(event) => write(event.target.value)} />
        <button type="submit" className="primary" disabled={text.trim() === ""}>Send</button>
      </form>
      <p className="hint">The demo’s relay refuses comments with the word “spam”. Try it, offline too.</p>
    </section>
  );
}

function CommentItem({ comment: { name, text, time, pending } }: { readonly comment: Comment }) {
  return (
    <li className="comment" data-pending={pending}>
      <span className="avatar" aria-hidden="true" style={{ "--hue": hue(name) } as CSSProperties}>{[...name][0]?.toUpperCase()}</span>
      <div>
        <p className="comment-head">
          <b dir="auto">{name}</b> <time dateTime={new Date(time).toISOString()}>{clock.format(time)}</time>
          {pending && <span> · not on the relay yet</span>}
        </p>
        <p className="comment-body" dir="auto">{text}</p>
      </div>
    </li>
  );
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });

/** The same colour for the same name, on every device. */
function hue(name: string): number {
  return [...name].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 360, 7);
}
