// The way on to what is kept of calls, where anything is.

import { SERVER, getJson, isOurs } from "./api.js";
import { h, show } from "./dom.js";
import { currentLanguage, t } from "./texts.js";

/** A link to a report; hidden as long as the server does not say that it keeps calls. */
export function reportLink(path, key) {
  const href = `${SERVER}${path}?lang=${currentLanguage()}`;
  const link = h("a", { class: "to-report", href, target: isOurs ? null : "_blank", rel: isOurs ? null : "noopener", hidden: true }, t(key));
  getJson("/v1/me").then(
    (me) => show(link, me.kept),
    () => {}, // nobody is signed in, or the line is down: the page says so elsewhere
  );
  return link;
}
