/** The state of the connection, and a switch to work without it. */
import { useSyncExternalStore } from "react";
import type { Connection } from "tidelog";
import { client } from "./client.js";
import { describeConnection } from "./words.js";

export function ConnectionSwitch({ connection }: { readonly connection: Connection }) {
  const isOnline = useSyncExternalStore(subscribeToNetwork, () => navigator.onLine);
  const isOffline = connection.state === "offline" && isOnline; // else there is no network to switch off
  return (
    <div className="connection" data-state={connection.state}>
      <span className="connection-text">
        <i className="dot" aria-hidden="true" />
        {describeConnection(connection, isOnline)}
      </span>
      <button
        type="button"
        role="switch"
        className="switch"
        aria-checked={isOffline}
        aria-label="Work offline"
        onClick={isOffline ? client.connect : client.disconnect}
      >
        <span className="switch-text" aria-hidden="true">Offline</span>
        <span className="switch-track" aria-hidden="true" />
      </button>
    </div>
  );
}

function subscribeToNetwork(listener: () => void): () => void {
  addEventListener("online", listener);
  addEventListener("offline", listener);
  return () => {
    removeEventListener("online", listener);
    removeEventListener("offline", listener);
  };
}
