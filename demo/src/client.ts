/** The one client of this page. */
import { createClient } from "tidelog";

const here = new URL(location.href);

/** The relay that serves this page, or the one named by `?relay=ws://…` while developing. */
function relayUrl(): string {
  const named = here.searchParams.get("relay");
  if (named !== null && /^wss?:\/\//.test(named)) return named;
  return `${here.protocol === "https:" ? "wss" : "ws"}://${here.host}/sync`;
}

export const client = createClient({ url: relayUrl(), database: "tidelog-demo" });
