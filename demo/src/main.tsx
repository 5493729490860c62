import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App.js";
import { client } from "./client.js";
import { Comments, Index, Note } from "./notes.js";
import { keepOffline } from "./update.js";
import "./styles.css";

if (new URLSearchParams(location.search).has("test")) Object.assign(window, { tidelogDemo: { client, Comments, Index, Note } });
if (import.meta.env.PROD) keepOffline().catch((cause: unknown) => console.warn("this page will not open offline:", cause));

const root = document.getElementById("app");
if (root === null) throw new Error("index.html has an element #app");
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
