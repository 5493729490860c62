/** The name a person comments under: of this browser, and not checked by anyone in this demo. */
import { useState } from "react";

const KEY = "tidelog-demo-name";

export function useName(): readonly [name: string, setName: (name: string) => void] {
  const [name, setName] = useState(readName);
  const keep = (next: string): void => {
    setName(next);
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // A browser that keeps nothing: the name lasts as long as the page.
    }
  };
  return [name, keep];
}

function readName(): string {
  try {
    return localStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}
