// Makes the small traces beside this file: two people edit one text, sometimes apart. What it ends with is what
// @automerge/automerge says, not what Tidelog says. `node tests/replay/make-traces.mjs`
import * as A from "@automerge/automerge";
import { gzipSync } from "node:zlib";
import { mkdirSync, writeFileSync } from "node:fs";

let state = 42n;
const below = (n) => {
  state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
  return Number((state >> 33n) % BigInt(n));
};
const words = "tide log offset cursor relay shore wave harbour rope anchor ".split(" ");

function make(agents, count) {
  let origin = A.change(A.init({ actor: "00".repeat(16) }), { time: 0 }, (d) => { d.text = ""; });
  const docs = Array.from({ length: agents }, (_, n) => A.clone(origin, { actor: `${n + 1}`.repeat(32) }));
  const heads = docs.map(() => new Set());
  const txns = [];
  const merge = (to, from) => {
    if (to === from) return;
    docs[to] = A.merge(docs[to], docs[from]);
    const all = new Set([...heads[to], ...heads[from]]);
    const ancestors = (set) => { const out = new Set(); const walk = [...set].flatMap((i) => txns[i].parents); while (walk.length) { const i = walk.pop(); if (!out.has(i)) { out.add(i); walk.push(...txns[i].parents); } } return out; };
    const covered = ancestors(all);
    heads[to] = new Set([...all].filter((i) => !covered.has(i)));
  };
  let agent = 0;
  for (let i = 0; i < count; i++) {
    if (agents > 1 && below(12) === 0) agent = below(agents);
    if (agents > 1 && below(8) === 0) merge(agent, below(agents));
    const text = docs[agent].text;
    const at = below(text.length + 1);
    const removed = below(4) === 0 ? Math.min(below(5), text.length - at) : 0;
    const added = removed > 0 && below(2) === 0 ? "" : `${words[below(words.length - 1)]} `;
    if (removed === 0 && added === "") continue;
    docs[agent] = A.change(docs[agent], { time: 0 }, (d) => A.splice(d, ["text"], at, removed, added));
    txns.push({ parents: [...heads[agent]].sort((a, b) => a - b), agent, patches: [[at, removed, added]] });
    heads[agent] = new Set([txns.length - 1]);
  }
  let end = docs[0];
  for (const doc of docs.slice(1)) end = A.merge(end, doc);
  return { kind: "concurrent", endContent: end.text, numAgents: agents, txns };
}

const folder = new URL("./traces/", import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL("three-people.json.gz", folder), gzipSync(JSON.stringify(make(3, 800)), { level: 9 }));
writeFileSync(new URL("one-person.json.gz", folder), gzipSync(JSON.stringify(make(1, 600)), { level: 9 }));
