/**
 * `npm run build`: TypeScript to `dist/`, and beside it the WebAssembly modules that `cargo xtask wasm` made. `npm pack` does
 * it too, and packs the licences of the repository, which stand beside `package.json` for that.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);

for (const name of ["engine", "document"]) {
  if (!existsSync(`wasm/${name}/${name}_bg.wasm`)) {
    console.error(`js/wasm/${name} is missing: run \`cargo xtask wasm\` first`);
    process.exit(1);
  }
}
rmSync("dist", { recursive: true, force: true });

const compiler = createRequire(import.meta.url).resolve("typescript/package.json").replace(/package\.json$/, "bin/tsc");
const { status } = spawnSync(process.execPath, [compiler, "-p", "tsconfig.build.json"], { stdio: "inherit" });
if (status !== 0) process.exit(status ?? 1);

// Only what is loaded: the generated types are for the package's own eyes.
cpSync("wasm", "dist/wasm", { recursive: true, filter: (path) => !path.endsWith(".d.ts") });
for (const licence of ["LICENSE-APACHE", "LICENSE-MIT"]) cpSync(`../${licence}`, licence);
