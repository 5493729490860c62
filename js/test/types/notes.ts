// An app without a framework, as types: notes and a counter in one document, and a badge that says where they are saved.
import { Counter, createClient, defineDocument, updateText, type InferDocument, type SyncStatus } from "tidelog";

const Notes = defineDocument<{ text: string; likes: Counter; archived?: boolean }>({
  defaults: { text: "", likes: new Counter() },
});
type Notes = InferDocument<typeof Notes>;

const client = createClient({
  url: "wss://relay.example/sync",
  token: () => fetch("/token").then((answer) => answer.text()),
  database: "notes",
});
const notes = client.document(Notes, "notes/shopping");

const area = document.querySelector("textarea")!;
const like = document.querySelector("button")!;
const badge = document.querySelector("output")!;

function render() {
  const now = notes.getSnapshot();
  area.disabled = now === undefined;
  if (now === undefined) return;
  if (area.value !== now.text) area.value = now.text;
  like.textContent = `Like (${now.likes})`;
}

area.oninput = () => notes.change((d) => updateText(d, "text", area.value));
like.onclick = () => notes.change((d) => d.likes.increment());

function describe(status: SyncStatus): string {
  if (status.storage.durability === "memory") return "Private mode: kept until this tab closes";
  if (status.rejected > 0) return `${status.rejected} refused`;
  switch (status.savedOn) {
    case "none": return "Saving";
    case "device": return "Saved on this device";
    case "relay": return "Saved on the relay";
  }
}

notes.subscribe(render);
client.status.subscribe(() => (badge.textContent = describe(client.status.getSnapshot())));

export const archive = (d: Notes) => { d.archived = true; };

export async function save(): Promise<string> {
  const write = notes.change(archive);
  const id = await write.saved;
  return id === null ? "was archived already" : `event ${id}`;
}
