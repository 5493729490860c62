// Runs a test program of Rust, compiled for wasm32-wasip1, under Node.js: cargo calls it with the program and its arguments,
// in the folder of the crate. The program sees the repository's files where they are.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { WASI } from "node:wasi";

const [program, ...args] = process.argv.slice(2);
const repository = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
const wasi = new WASI({
  version: "preview1",
  args: [program, ...args],
  env: process.env,
  preopens: { [repository]: repository, ".": process.cwd() },
});
const { instance } = await WebAssembly.instantiate(await readFile(program), wasi.getImportObject());
process.exitCode = wasi.start(instance);
