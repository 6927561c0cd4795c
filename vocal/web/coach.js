// <vocal-coach>: the live calls of a team, those that need help now on top. Calls are ordered, never people: of the
// agent's side there is a pseudonym and nothing else.

import { callPath, getJson, post } from "./api.js";
import { Call } from "./calls.js";
import { h, put, say, show } from "./dom.js";
import { failed, sayLine } from "./line.js";
import { Live } from "./live.js";
import { MoodLine, Sign, lineFrom, reading, words } from "./mood.js";
import { more } from "./more.js";
import { Part } from "./part.js";
import { reportLink } from "./reports.js";
import { clock, currentLanguage, evidence, measure, number, perCent, t, timeOfDay } from "./texts.js";

const TYPES = ["call_started", "mood", "conversation", "cue", "notice", "help_offered", "help_answered", "alerts_seen", "alerts_muted", "call_ended"];
const STALE_MS = 7000; // the server is heard every five seconds, even when nothing happens
const ORDER_MS = 2500; // so often the order may change, and not while somebody points at a call
const MUTE_S = 300;
const SILENT_MS = 180_000; // a call of which nothing more is heard is gone
const SEVERITIES = ["info", "hint", "warning", "alert"];

export class VocalCoach extends Part {
  #cards = new Map();
  #live = null;
  #timer = 0;
  #orderedMs = 0;

  async build(root) {
    this.count = h("p", { class: "count", role: "status" });
    this.status = h("p", { class: "status", role: "status" });
    this.spoken = h("p", { class: "hidden", "aria-live": "assertive" });
    this.list = h("ol", { class: "wall" });
    this.empty = h("section", { class: "idle" }, h("h2", {}, t("web.coach.empty")), h("p", {}, t("web.coach.empty_text")));
    this.rules = h("div", { class: "rules" });
    this.help = this.#buildHelp();
    root.append(
      h(
        "div",
        { class: "coach" },
        h("header", {}, h("div", { class: "top" }, h("h1", {}, t("web.coach.title")), this.count), h("p", { class: "note" }, t("web.coach.order")), reportLink("/reports", "web.coach.reports")),
        this.status,
        this.spoken,
        this.list,
        this.empty,
        h("details", { class: "thresholds" }, h("summary", {}, t("web.coach.thresholds")), this.rules, h("p", { class: "note" }, t("web.coach.no_agent"))),
      ),
      this.help.dialog,
    );
    this.#showRules();
    this.#live = new Live({
      types: TYPES,
      as: "coach",
      onEvent: (event, cursor, isPast) => this.#take(event, cursor, isPast),
      onState: () => this.#tick(),
    });
    this.resume();
  }

  resume() {
    if (!this.#live || !this.isHere) return;
    this.#live.open();
    this.#timer = setInterval(() => this.#tick(), 500);
  }

  pause() {
    this.#live?.close();
    clearInterval(this.#timer);
  }

  #take(event, cursor, isPast) {
    if (event.type === "call_started") {
      this.#remove(event.call);
      const card = new Card(new Call(event), this);
      this.#cards.set(event.call, card);
      this.list.append(card.element);
      this.#orderedMs = 0;
      return;
    }
    const card = this.#cards.get(event.call);
    if (!card) return;
    card.call.take(event, cursor);
    if (event.type === "call_ended") this.#remove(event.call);
    if (isPast) return;
    if (event.type === "cue" && event.audience === "coach" && !card.isMuted) this.#call(card, event.text[currentLanguage()]);
    if (event.type === "help_answered") this.#call(card, t(event.wanted ? "web.help.yes" : "web.help.no"));
    if (event.type.startsWith("alerts_")) this.#tick();
  }

  /** Said aloud, and the order looked at anew. */
  #call(card, text) {
    say(this.spoken, t("web.coach.new_alert", { who: card.who, text }));
    this.#orderedMs = 0;
  }

  #remove(id) {
    const card = this.#cards.get(id);
    if (!card) return;
    const hadFocus = card.element.contains(this.shadowRoot.activeElement);
    card.element.remove();
    this.#cards.delete(id);
    if (hadFocus) this.list.querySelector("button")?.focus();
  }

  #tick() {
    if (!this.#live) return;
    const { state, silenceMs } = this.#live;
    const isStale = state === "live" && silenceMs > STALE_MS;
    const shown = isStale ? "stale" : state;
    put(this.list, "data-line", shown);
    sayLine(this.status, shown, { seconds: Math.floor(silenceMs / 5000) * 5, isHeld: this.#cards.size > 0, page: "/coach" });
    const nowMs = Date.now();
    for (const [id, card] of this.#cards) {
      if (shown === "live" && performance.now() - card.call.heardMs > SILENT_MS) this.#remove(id);
      else card.show();
    }
    this.#order(nowMs);
    const alerts = [...this.#cards.values()].filter((card) => card.alert).length;
    const values = { calls: this.#cards.size, alerts };
    say(this.count, this.#cards.size ? t("web.coach.count", values) : "");
    show(this.empty, !this.#cards.size && state === "live");
    show(this.list, this.#cards.size > 0);
  }

  /** Who needs help now comes first. Nothing moves under a hand that is about to press. */
  #order(nowMs) {
    if (nowMs - this.#orderedMs < ORDER_MS) return;
    if (this.list.matches(":hover") || this.list.contains(this.shadowRoot.activeElement)) return;
    this.#orderedMs = nowMs;
    const wanted = [...this.#cards.values()].sort((a, b) => b.need - a.need || a.call.startedAt.localeCompare(b.call.startedAt));
    wanted.forEach((card, place) => {
      if (this.list.children[place] !== card.element) this.list.insertBefore(card.element, this.list.children[place] ?? null);
    });
  }

  /** What one coach does here counts on all walls of the team: it comes back as an event. */
  async act(card, path, body) {
    try {
      await post(callPath(card.call.id, path), body);
      say(card.error, "");
    } catch (problem) {
      say(card.error, failed(problem));
    }
  }

  // Help

  #buildHelp() {
    const title = h("h2", { id: "help" });
    const text = h("input", { name: "text", maxlength: 300, autocomplete: "off" });
    const error = h("p", { class: "error", role: "alert" });
    const form = h(
      "form",
      { method: "dialog", class: "help-form" },
      h("label", { class: "field" }, t("web.coach.help_text"), text),
      h("p", { class: "note" }, t("web.coach.help_note")),
      error,
      h("div", { class: "answers" }, h("button", { class: "first" }, t("web.coach.send")), h("button", { type: "button", onclick: () => dialog.close() }, t("web.coach.cancel"))),
    );
    const dialog = h("dialog", { "aria-labelledby": "help" }, title, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        await post(callPath(dialog.dataset.call, "/help"), { text: text.value.trim() });
        dialog.close();
      } catch (problem) {
        say(error, failed(problem));
      }
    });
    return { dialog, title, text, error };
  }

  offerHelp(call, who) {
    const { dialog, title, text, error } = this.help;
    dialog.dataset.call = call;
    say(title, t("web.coach.help_who", { who }));
    text.value = "";
    say(error, "");
    dialog.showModal();
  }

  // Thresholds

  async #showRules() {
    const book = await getJson("/v1/rules").catch(() => null);
    const rules = (book?.rule ?? []).filter((rule) => rule.audience === "coach");
    const list = rules.map((rule) => {
      const conditions = rule.when.map((one) => {
        const isAbove = one.above !== null && one.above !== undefined;
        const value = valueOf(one.measure, isAbove ? one.above : one.below);
        const what = t(isAbove ? "web.coach.above" : "web.coach.below", { what: measure(one.measure), value });
        return one.for_s ? t("web.coach.for", { what, seconds: number(one.for_s, 0) }) : what;
      });
      const least = rule.confidence ? rule.least_confidence ?? book.budget.least_confidence : null;
      const what = conditions.join(", ");
      const text = least === null ? what : t("web.coach.sure", { what, value: number(least, 2) });
      return h("li", {}, h("b", {}, t(`severity.${rule.severity}`)), h("span", {}, text));
    });
    this.rules.replaceChildren(h("ul", {}, ...list));
  }
}

const valueOf = (name, value) => evidence(name, value).slice(measure(name).length + 1);

class Card {
  #kind = null;
  #linked = null;

  constructor(call, wall) {
    this.call = call;
    this.who = call.metadata.agent ?? t("web.coach.unnamed");
    this.need = 0;
    this.alert = null;
    this.sign = new Sign();
    this.word = h("p", { class: "word" });
    this.trend = h("p", { class: "trend" });
    this.clock = h("span", { class: "clock" });
    this.facts = h("span", { class: "facts" });
    this.line = new MoodLine(72);
    this.axisFrom = h("span");
    this.chart = h("div", { class: "chart" }, this.line.element, h("p", { class: "axis", "aria-hidden": "true" }, this.axisFrom, h("span", {}, t("web.mood.now"))));
    this.alertText = h("p", { class: "alert-text" });
    this.alertProof = h("p", { class: "note" });
    this.seenButton = h("button", { type: "button", onclick: () => wall.act(this, `/cues/${this.alert?.seq}/seen`) }, t("web.coach.seen"));
    this.alertMore = h("p", { class: "alert-more", hidden: true });
    this.alertBox = h("div", { class: "alert" }, h("div", {}, this.alertText, this.alertProof, this.alertMore), this.seenButton);
    this.past = h("p", { class: "note past" });
    this.muteButton = h("button", { type: "button", onclick: () => wall.act(this, "/mute", { seconds: this.isMuted ? 0 : MUTE_S }) });
    this.helpButton = h("button", { type: "button", onclick: () => wall.offerHelp(call.id, this.who) }, t("web.coach.help"));
    this.notes = h("p", { class: "note", role: "status" });
    this.error = h("p", { class: "error", role: "alert" });
    this.wanted = h("p", { class: "wanted", role: "status" });
    const name = `call-${call.id}`;
    this.element = h(
      "li",
      { class: "call card", "aria-labelledby": name },
      h("header", { class: "top" }, h("h2", { id: name }, this.who), this.facts, this.clock),
      h("div", { class: "body" }, h("div", { class: "glance" }, this.sign.element, h("div", {}, this.word, this.trend)), this.chart),
      this.wanted,
      this.alertBox,
      this.past,
      h("footer", {}, h("div", { class: "answers" }, this.helpButton, this.muteButton), this.notes, this.error),
    );
  }

  get isMuted() {
    return this.call.muted.untilS > this.call.atS(10_000);
  }

  isSeen = (cue) => cue.seq <= this.call.seen.last;

  show() {
    const { call } = this;
    const nowS = call.atS(10_000);
    say(this.clock, clock(nowS));
    const read = reading(call, this.#kind);
    this.#kind = read.isKnown ? read.kind : null;
    this.sign.show(read);
    say(this.word, t(`web.mood.${read.kind}`));
    put(this.word, "class", `word ${read.confidence ?? "none"}`);
    say(this.trend, read.isKnown ? `${t(`web.mood.${read.trend}`)} · ${t(`web.mood.${read.confidence}`)}` : t(`web.mood.${read.kind}_text`));
    show(this.chart, read.isKnown);
    if (read.isKnown) {
      const fromS = lineFrom(nowS);
      say(this.axisFrom, fromS > 0 ? t("web.mood.ago", { minutes: 3 }) : "0:00");
      this.line.show(call.moods, nowS, `${t("web.mood.line", { minutes: 3 })}: ${words(read)}`, fromS);
    }
    this.#showAlert(nowS);
    this.#showFacts(read);
    this.need = this.#needOf(read);
  }

  #showAlert(nowS) {
    const { call, isMuted } = this;
    const alerts = call.cues.filter((cue) => cue.audience === "coach");
    const open = isMuted ? [] : alerts.filter((cue) => !this.isSeen(cue));
    // The gravest that nobody has answered; of equals the newest.
    this.alert = open.reduce((best, cue) => (!best || rank(cue) >= rank(best) ? cue : best), null);
    put(this.element, "data-severity", this.alert?.severity ?? null);
    put(this.helpButton, "class", this.alert ? "first" : null);
    show(this.alertBox, Boolean(this.alert));
    put(this.sign.element, "class", `${this.sign.element.getAttribute("class")}${this.alert?.severity === "alert" ? " red" : ""}`);
    if (this.alert) {
      const { text, severity, evidence: proof, at_s: atS } = this.alert;
      say(this.alertText, `${t(`severity.${severity}`)} · ${text[currentLanguage()]}`);
      const proofs = Object.entries(proof).map(([name, value]) => evidence(name, value));
      say(this.alertProof, `${t("web.coach.evidence")} ${t("web.coach.alert_at", { at: clock(atS) })}: ${proofs.join(", ")}`);
    }
    if (this.#linked !== (this.alert?.cursor ?? null)) {
      this.#linked = this.alert?.cursor ?? null;
      const link = more(this.alert);
      show(this.alertMore, link !== null);
      this.alertMore.replaceChildren(link ?? "");
    }
    const rest = alerts.filter((cue) => cue !== this.alert).slice(-3);
    const { by } = call.seen;
    const seen = ` (${by ? t("web.coach.seen_by", { by }) : t("web.coach.was_seen")})`;
    const pasts = rest.map((cue) => `${clock(cue.at_s)} ${t(`severity.${cue.severity}`)}${this.isSeen(cue) ? seen : ""}`);
    say(this.past, pasts.join(" · "));
    say(this.muteButton, t(isMuted ? "web.coach.unmute" : "web.coach.mute"));
    const notes = [];
    if (isMuted) {
      const at = timeOfDay(Date.now() + (call.muted.untilS - nowS) * 1000);
      notes.push(call.muted.by ? t("web.coach.muted_by", { at, by: call.muted.by }) : t("web.coach.muted", { at }));
    }
    const { help } = call;
    if (help && help.wanted !== true) notes.push(t(help.wanted === null ? "web.coach.help_sent" : "web.coach.help_unwanted", { at: clock(help.at_s) }));
    say(this.notes, notes.join(" · "));
    put(this.element, "data-wanted", help?.wanted ? "" : null);
    say(this.wanted, help?.wanted ? t("web.coach.help_wanted", { at: clock(help.answeredS) }) : "");
  }

  #showFacts(read) {
    const share = this.call.conversation?.talk_share.customer ?? null;
    const facts = this.call.metadata.queue ? [this.call.metadata.queue] : [];
    if (read.isKnown) facts.push(t("web.coach.stress", { value: number(read.mood.stress, 2) }));
    if (share !== null) facts.push(t("web.coach.share", { share: perCent(share) }));
    say(this.facts, facts.join(" · "));
  }

  /** Who said yes to help before anything else; an open alert, the customer's stress, a mood that falls. Muted calls come last. */
  #needOf(read) {
    if (this.call.help?.wanted) return 100;
    if (this.isMuted) return -1;
    let need = this.alert ? 10 * (1 + rank(this.alert)) : 0;
    if (read.isKnown) need += (Math.round(read.mood.stress * 10) / 10) * 5 + (read.trend === "falling" ? 2 : 0);
    return need;
  }
}

const rank = (cue) => SEVERITIES.indexOf(cue.severity);

customElements.define("vocal-coach", VocalCoach);
