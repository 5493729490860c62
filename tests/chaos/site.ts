/** Serves the page, which does not come from the relay so that it loads whatever happens there, and takes the ledger's lines. */
import { createReadStream, existsSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { basename, extname, join, normalize } from "node:path";
import { text } from "node:stream/consumers";
import type { Line } from "./page/shapes.js";

const TYPES: Readonly<Record<string, string>> = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

/** A clock that can be set, for pages and their worker: `Date` is off by what the channel said last. */
const CLOCK = `(() => {
  const Real = Date;
  let shift = 0;
  globalThis.Date = class Date extends Real {
    constructor(...parts) {
      if (parts.length === 0) super(Real.now() + shift);
      else super(...parts);
    }
    static now() {
      return Real.now() + shift;
    }
  };
  new BroadcastChannel("chaos-clock").onmessage = ({ data }) => { shift = data; };
})();`;

export class Site {
  readonly #server: Server;
  readonly #folder: string;
  /** Who takes the lines of a device's pages. */
  onLines: (device: string, lines: readonly Line[]) => void = () => undefined;
  port = 0;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  /** `folder`: the built page. */
  static async open(folder: string): Promise<Site> {
    const site = new Site(folder);
    await new Promise<void>((resolve) => site.#server.listen(0, "127.0.0.1", resolve));
    const address = site.#server.address();
    if (address === null || typeof address === "string") throw new Error("a TCP server has a port");
    site.port = address.port;
    return site;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? "/", this.origin);
    try {
      if (request.method === "POST" && pathname === "/ledger") {
        const device = new URL(request.headers.referer ?? "", this.origin).searchParams.get("device") ?? "";
        this.onLines(device, JSON.parse(await text(request)) as readonly Line[]);
        return void response.writeHead(204).end();
      }
      const file = join(this.#folder, normalize(pathname === "/" ? "/index.html" : pathname));
      response.setHeader("content-type", TYPES[extname(pathname)] ?? "text/html");
      response.setHeader("cache-control", "no-store");
      if (pathname === "/clock.js") return void response.end(CLOCK);
      if (!existsSync(file)) return void response.writeHead(404).end();
      if (basename(pathname).startsWith("shared-worker")) response.write('import "/clock.js";\n');
      createReadStream(file).pipe(response);
    } catch (cause) {
      // The page's request fails, and so does the round.
      response.writeHead(500).end(String(cause));
      this.problems.push(String(cause));
    }
  }

  /** What went wrong here. */
  readonly problems: string[] = [];
}
