/** Refused changes of documents: what they held, and making the same edits again. */
import { defineDocument, type DocumentDefinition } from "./definitions.js";
import type { DocumentHandleImpl } from "./document-handle.js";
import type { DocumentHandle } from "./document-types.js";
import { loadDocuments } from "./document-loading.js";
import type { Patch } from "./document/types.js";
import { toSyncError } from "./errors.js";
import { cannotRetry, type ChangeEdits } from "./rejections.js";
import type { Session } from "./session.js";
import { Write } from "./write.js";

/** A document whose shape nobody here knows: enough to make edits again. */
const AnyDocument = defineDocument<Record<string, string>>();

/** Works out what refused changes held, and retries them through a handle of `open`. */
export function editsOfChanges(
  session: Session,
  asset: string | null,
  open: (definition: DocumentDefinition<Record<string, string>>, name: string) => DocumentHandle<Record<string, string>>,
): ChangeEdits {
  return {
    patchesOf: (stream, payload) => patchesOf(session, asset, stream, payload),
    retry: (stream, patches) => {
      const write = new Write();
      const handle = open(AnyDocument, stream) as DocumentHandleImpl<Record<string, string>>;
      const release = handle.keepOpen();
      Promise.all([patches, handle.ready])
        .then(([edits]) => {
          const made = handle.retry(edits);
          if (made === null) write.markFailed(cannotRetry(stream));
          else write.follow(made);
        })
        .catch((cause: unknown) => write.markFailed(toSyncError(cause, stream)))
        .finally(release);
      return write;
    },
  };
}

/** The edits of a refused change, which is in no log: on top of what it was made on, refused changes among that. */
async function patchesOf(session: Session, asset: string | null, stream: string, payload: Uint8Array): Promise<readonly Patch[]> {
  const layer = await loadDocuments(asset);
  const payloads: Uint8Array[] = [];
  session.feed(stream).touch(); // the engine reads streams that are open
  for (let after = 0, more = true; more; ) {
    const page = await session.call("read", stream, after, 1024 * 1024);
    const files = page.events.filter((event) => event.kind === 3).map((event) => event.payload);
    for (const file of page.snapshot === undefined ? files : [page.snapshot, ...files]) payloads.push(...(await layer.changesOf(file).catch(() => [])));
    payloads.push(...page.events.filter((event) => event.kind === 2).map((event) => event.payload));
    more = page.more && page.upto > after;
    after = page.upto;
  }
  const open = (await session.call("pending", stream)).filter((event) => event.kind === 2);
  const refused = (await session.call("rejections")).filter((rejection) => rejection.stream === stream && rejection.kind === 2);
  return layer.editsOf(payload, [...payloads, ...open.map((event) => event.payload), ...refused.map((rejection) => rejection.payload)]);
}
