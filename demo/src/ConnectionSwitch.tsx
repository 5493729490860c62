/** The state of the connection, and a switch to work without it. */
import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { Connection } from "tidelog";
import { client } from "./client.js";
import { describeConnection } from "./words.js";

export function ConnectionSwitch({ connection }: { readonly connection: Connection }) {
  const isOnline = useSyncExternalStore(subscribeToNetwork, () => navigator.onLine);
  const isOffline = connection.state === "offline" && isOnline; // else there is no network to switch off
  const text = describeConnection(connection, isOnline);
  const lever = useRef<HTMLButtonElement>(null);
  const tryNow = (): void => {
    lever.current?.focus(); // what was pressed goes away
    client.connect();
  };
  return (
    <div className="connection" data-state={connection.state}>
      {connection.state === "waiting" && connection.waitsFor === "relay"
        ? <Retry text={text} at={connection.retryAt} onTry={tryNow} />
        : <span className="connection-text"><i className="dot" aria-hidden="true" />{text}</span>}
      <button
        ref={lever}
        type="button"
        role="switch"
        className="switch"
        aria-checked={isOffline}
        aria-label="Work offline"
        onClick={isOffline ? client.connect : client.disconnect}
      >
        <span className="switch-text" aria-hidden="true">Work offline</span>
        <span className="switch-track" aria-hidden="true" />
      </button>
    </div>
  );
}

/** When the relay is tried again, and a way not to wait for it. */
function Retry({ text, at, onTry }: { readonly text: string; readonly at: number; readonly onTry: () => void }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return (
    <button type="button" className="connection-text retry" aria-label={`${text}. Try now`} onClick={onTry}>
      <i className="dot" aria-hidden="true" />
      <span>
        {text}
        <small>Again in {Math.max(0, Math.ceil((at - now) / 1000))} s · <u>Try now</u></small>
      </span>
    </button>
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
