/** What `cargo xtask wasm` puts into `js/wasm/document`, in the words of `module.ts`: the generated types know no shapes. */
declare module "*/wasm/document/document.js" {
  import type { WasmDocument, WasmDocumentClass } from "./module.js";
  export const Document: WasmDocumentClass;
  export type Document = WasmDocument;
  export default function init(source: { readonly module_or_path: URL | string | BufferSource }): Promise<unknown>;
}
