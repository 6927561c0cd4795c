// <vocal-home>: sign in, and on to where each role works.

import { getJson, post } from "./api.js";
import { h, say } from "./dom.js";
import { Part } from "./part.js";
import { currentLanguage, has, t } from "./texts.js";

const PAGES = {
  agent: ["/agent", ["agent", "local"]],
  coach: ["/coach", ["lead", "local"]],
  reports: ["/reports", ["agent", "lead", "operator", "auditor", "local"]],
  softphone: ["/softphone", ["agent", "local"]],
  operator: ["/docs", ["operator", "local", "agent", "lead", "ingest"]],
  metrics: ["/metrics", ["operator", "local"]],
};

export class VocalHome extends Part {
  async build(root) {
    this.box = h("div", { class: "home" });
    root.append(this.box);
    const me = await getJson("/v1/me").catch((error) => error);
    if (me instanceof Error && me.status !== 401) {
      this.box.append(...this.#head(), h("p", { class: "error", role: "alert" }, t("web.failed", { why: t("web.unreachable") })));
    } else if (me instanceof Error) this.#signIn(await getJson("/v1/login"));
    else this.#home(me);
  }

  #head() {
    const other = currentLanguage() === "de" ? "en" : "de";
    const asked = new URLSearchParams(location.search);
    asked.set("lang", other);
    return [
      h("header", { class: "top" }, h("h1", {}, t("web.home.title")), h("a", { href: `?${asked}`, hreflang: other, lang: other }, t("web.language"))),
      h("p", { class: "lead" }, t("web.home.lead")),
    ];
  }

  #signIn({ password, provider }) {
    const query = new URLSearchParams(location.search);
    const page = /^\/[a-z][\w/.~-]*(\?[\w=&.~-]*)?$/.test(query.get("to") ?? "") ? query.get("to") : null;
    const to = page && query.get("lang") && !page.includes("?") ? `${page}?lang=${currentLanguage()}` : page;
    const why = query.get("failed");
    const past = why && has(`web.login.${why}`) ? h("p", { class: "error", role: "alert" }, t(`web.login.${why}`)) : null;
    const elsewhere = provider && h("a", { class: "button first", href: `/login/oidc?to=${encodeURIComponent(to ?? "/")}` }, t("web.home.by", { name: provider }));
    const card = h("div", { class: "card sign-in" }, h("h2", {}, t("web.home.sign_in")), past, elsewhere);
    this.box.replaceChildren(...this.#head(), card);
    if (password || !provider) card.append(this.#form(to, Boolean(provider)));
    card.append(h("p", { class: "note" }, t("web.home.link")));
    if (!elsewhere) card.querySelector("input").focus();
  }

  #form(to, isSecond) {
    const error = h("p", { class: "error", role: "alert" });
    const button = h("button", { class: isSecond ? null : "first" }, t("web.home.sign_in"));
    const form = h(
      "form",
      {},
      h("label", { class: "field" }, t("web.home.user"), h("input", { name: "name", autocomplete: "username", required: true, autocapitalize: "none" })),
      h("label", { class: "field" }, t("web.home.password"), h("input", { name: "password", type: "password", autocomplete: "current-password", required: true })),
      error,
      h("div", { class: "answers" }, button),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const { name, password } = Object.fromEntries(new FormData(form));
      button.disabled = true;
      try {
        const me = await post("/v1/login", { name, password });
        if (to) location.assign(to);
        else this.#home(me);
      } catch (problem) {
        const key = { 401: "web.home.wrong", 429: "web.home.often" }[problem.status];
        const values = { seconds: problem.retryAfter ?? 10, why: problem.status ? problem.message : t("web.unreachable") };
        say(error, t(key ?? "web.failed", values));
        button.disabled = false;
      }
    });
    return form;
  }

  #home(me) {
    const asked = new URLSearchParams(location.search).get("lang");
    const tiles = Object.entries(PAGES)
      .filter(([, [, roles]]) => roles.includes(me.role))
      .map(([key, [path]]) =>
        h("li", {}, h("a", { class: "card tile", href: asked && !path.startsWith("/m") ? `${path}?lang=${asked}` : path }, h("b", {}, t(`web.home.${key}`)), h("span", {}, t(`web.home.${key}_text`)))),
      );
    const out = h("button", { class: "link", type: "button", onclick: async () => { await post("/v1/logout"); location.reload(); } }, t("web.home.sign_out"));
    const who = me.role === "local" ? [t("web.home.open")] : [t("web.home.as", { name: me.name }), " ", out];
    this.box.replaceChildren(...this.#head(), h("nav", { "aria-label": t("web.name") }, h("ul", { class: "tiles" }, ...tiles)), h("p", { class: "note who" }, ...who));
  }
}

customElements.define("vocal-home", VocalHome);
