/** Loads the engine's WebAssembly module. */
import init, { Engine } from "../wasm/engine/engine.js";
import type { StartEngine } from "./engine.js";

/** `wasm`: another address of the file, from `ClientOptions.assets`. Rejects if it cannot be fetched or compiled. */
export async function loadEngine(wasm: string | null): Promise<StartEngine> {
  // Bundlers find the file by this very expression, so it stands here whole.
  await init({ module_or_path: wasm ?? new URL("../wasm/engine/engine_bg.wasm", import.meta.url) });
  return (options, listener) => Engine.start(options, listener);
}
