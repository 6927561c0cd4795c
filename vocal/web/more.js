// Where a cue says to read more, as the rules name it.

import { h } from "./dom.js";
import { t } from "./texts.js";

/** A link that opens beside the call, in a new tab; null where the cue has none. */
export function more(cue) {
  if (!/^https?:\/\//.test(cue?.link ?? "")) return null;
  const elsewhere = { target: "_blank", rel: "noopener noreferrer" };
  const newTab = h("span", { class: "hidden" }, ` ${t("web.more_new_tab")}`);
  return h("a", { class: "more", href: cue.link, ...elsewhere }, t("web.more", { host: new URL(cue.link).host }), newTab, h("span", { "aria-hidden": "true" }, " ↗"));
}
