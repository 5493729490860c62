/** Where the focus goes when what had it is gone: browsers let it fall to the top of the page, far from the work. */
import { useEffect, useRef, type RefObject } from "react";

/** What had the focus last. */
let last: Element | null = null;
addEventListener("focusin", ({ target }) => {
  last = target as Element;
});

/** Give the ref to what can take the focus. `value` changes whenever something may have gone with the focus. */
export function useFocusRescue<T extends HTMLElement>(value: unknown): RefObject<T | null> {
  const rescuer = useRef<T>(null);
  const before = useRef(value);
  useEffect(() => {
    if (Object.is(before.current, value)) return; // it has just appeared: what went before is not its business
    before.current = value;
    if (last?.checkVisibility() === false) rescuer.current?.focus({ preventScroll: true });
  }, [value]);
  return rescuer;
}
