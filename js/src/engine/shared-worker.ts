/** The shared worker's script. */
import { serve } from "./serve.js";

addEventListener("connect", (event) => {
  serve((event as MessageEvent).ports[0]!, () => close()); // a connect event carries exactly one port
});
