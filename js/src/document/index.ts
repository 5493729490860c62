/** Documents without network or storage: what the package builds its handles on. */
export { changesOf, DocumentState } from "./document.js";
export { splice, updateText } from "./draft.js";
export { loadDocumentModule, type DocumentModule } from "./module.js";
export * from "./types.js";
export * from "./values.js";
