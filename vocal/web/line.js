// What a page says of its line to the server, and how it leads back to a sign-in.

import { SERVER, asked, isOurs } from "./api.js";
import { h, say } from "./dom.js";
import { t } from "./texts.js";

/** Neither stands again by itself: somebody has to sign in. */
export const isOut = (state) => state === "refused" || state === "expired";

/** `status` says it; nothing while all is well. isHeld: what is on the page stays there. page: where to go on. */
export function sayLine(status, state, { seconds = 0, isHeld = false, page }) {
  if (status.dataset.state === state && isOut(state)) return;
  status.dataset.state = state;
  if (state === "live") say(status, "");
  else if (isOut(state)) status.replaceChildren(`${t(`web.line.${state}`)}. `, signInLink(page));
  else {
    const held = isHeld ? ` ${t("web.line.held")}` : "";
    say(status, t(`web.line.${state}`, { seconds }) + (state === "connecting" ? "" : `.${held}`));
  }
}

/** A page elsewhere stays where it is, and so does a frame: the session is made within it. */
function signInLink(page) {
  const elsewhere = isOurs ? {} : { target: "_blank", rel: "noopener" };
  const lang = asked("lang") ? `&lang=${asked("lang")}` : "";
  return h("a", { href: `${isOurs ? "" : SERVER}/?to=${page}${lang}`, ...elsewhere }, t("web.line.sign_in"));
}
