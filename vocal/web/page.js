// What every page of ours has: its language and its title.

import { loadTexts, t } from "./texts.js";

document.documentElement.lang = await loadTexts();
const title = t(document.body.dataset.title);
document.title = title === t("web.name") ? title : `${title} · ${t("web.name")}`;
