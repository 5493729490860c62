/** A panic that nobody sees would be no problem of any test. */
import { expect, it } from "vitest";
import { Program } from "./processes.js";

it("remembers what panicked, in pieces and behind more output than is kept", async () => {
  const says = (text: string): string => `process.stderr.write(${JSON.stringify(text)});`;
  const later = `setTimeout(() => { ${says("cked at src/a.rs:1:1:\nwhy\n")} ${says("more\n".repeat(10_000))} ${says("that was all\n")} }, 50);`;
  const program = new Program(process.execPath, ["-e", says("all is well\nthread 'store' pani") + later]);
  await program.says(/that was all/);
  await program.ended(5000);
  expect(program.panics).toEqual(["thread 'store' panicked at src/a.rs:1:1:"]);
  expect(program.output).not.toContain("panicked");
});
