/** Which client a tree of components works with. */
import { createContext, createElement, useContext, useMemo, type ReactElement, type ReactNode } from "react";
import type { Client } from "../client.js";

/** Props of {@link TidelogProvider}. */
export interface TidelogProviderProps {
  readonly client: Client;
  /** JSON by document name, shown during hydration and until this device's log has answered. */
  readonly serverSnapshots?: Readonly<Record<string, unknown>>;
  readonly children?: ReactNode;
}

interface Provided {
  readonly client: Client;
  readonly serverSnapshots: Readonly<Record<string, unknown>> | undefined;
}

const Context = createContext<Provided | null>(null);

/** Gives the tree a client. A new `client` (another user) moves every hook over, and none shows the old user's data. */
export function TidelogProvider({ client, serverSnapshots, children }: TidelogProviderProps): ReactElement {
  const provided = useMemo(() => ({ client, serverSnapshots }), [client, serverSnapshots]);
  return createElement(Context.Provider, { value: provided }, children);
}

/** The provider's client. Throws if there is no provider. */
export function useClient(): Client {
  return useProvided().client;
}

/** Everything that the provider was given. */
export function useProvided(): Provided {
  const provided = useContext(Context);
  if (provided === null) throw new Error("no <TidelogProvider client={…}> is above this component");
  return provided;
}
