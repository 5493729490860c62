"use client";
/**
 * `tidelog/react`: React 18 and 19. Every hook sits on `useSyncExternalStore`: no tearing, safe under StrictMode. A component
 * renders again only when what it selected changed. On a server everything is `loading`, and no WebAssembly is loaded.
 */
export { TidelogProvider, useClient, type TidelogProviderProps } from "./provider.js";
export { shallowEqual, type IsEqual } from "./select.js";
export { useDocument, useStream, useSuspenseDocument, useSuspenseView, useView, type IdleResult, type MaybeName, type ReadResult, type WithDocument, type WithStream } from "./read.js";
export { useRejections, useStore, useSyncStatus } from "./store.js";
