/** What `cargo xtask wasm` puts into `js/wasm/engine`, in the words of `engine.ts`: the generated types know no shapes. */
declare module "*/wasm/engine/engine.js" {
  import type { Engine as RunningEngine, StartEngine } from "./engine.js";
  export const Engine: { readonly start: StartEngine; readonly prototype: RunningEngine };
  export default function init(source: { readonly module_or_path: string | URL }): Promise<unknown>;
}
