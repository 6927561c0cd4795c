// <vocal-agent>: the page beside the call. What matters now, at most one cue, and afterwards the own view first.
//
//   idle ──call_started──► live ──call_ended──► reflect ──answer──► summary ──done──► idle
//
// A call that begins is shown at once, whatever was open. `call="ID"` holds the element to one call.

import { asked, callPath, getJson, post, signIn } from "./api.js";
import { Call, median, wanted } from "./calls.js";
import { h, put, s, say, show } from "./dom.js";
import { failed, isOut, sayLine } from "./line.js";
import { Live } from "./live.js";
import { MoodLine, Sign, lineFrom, reading, words } from "./mood.js";
import { more } from "./more.js";
import { Part } from "./part.js";
import { reportLink } from "./reports.js";
import { clock, currentLanguage, number, perCent, quantity, signed, t } from "./texts.js";

const STALE_MS = 3000; // levels come five times a second
const TICK_MS = 250;
const LOUDER_DB = 3;
const TEMPO_RANGE = [4.0, 5.2];
const TEMPO_SCALE = [2, 8];
const LEVEL_SCALE = [-50, -10];
const ANSWERED_S = 8; // so long an answer to help stands
const DONE = "vocal-done";

class Scale {
  /** A line with a marker for each side, and a range that is usual. */
  constructor([low, high], range = null, limit = null) {
    this.low = low;
    this.high = high;
    const at = (value) => `${this.#at(value)}%`;
    this.own = s("circle", { class: "own-mark", r: 7, cy: 12 });
    this.theirs = s("path", { class: "their-mark", d: "M0 4 8 12 0 20-8 12Z" });
    this.theirsAt = s("svg", { x: "0%", overflow: "visible" }, this.theirs);
    this.element = s(
      "svg",
      { class: "scale", height: 24, "aria-hidden": "true" },
      s("rect", { class: "track", x: 0, y: 9, width: "100%", height: 6, rx: 3 }),
      range && s("rect", { class: "range", x: at(range[0]), y: 6, width: `${this.#at(range[1]) - this.#at(range[0])}%`, height: 12, rx: 3 }),
      limit && s("line", { class: "limit", x1: at(limit), x2: at(limit), y1: 1, y2: 23 }),
      this.theirsAt,
      this.own,
    );
  }

  #at(value) {
    return Math.min(97, Math.max(3, ((value - this.low) / (this.high - this.low)) * 100));
  }

  show(own, theirs) {
    this.own.style.display = own === null ? "none" : "";
    this.theirsAt.style.display = theirs === null ? "none" : "";
    if (own !== null) put(this.own, "cx", `${this.#at(own).toFixed(1)}%`);
    if (theirs !== null) put(this.theirsAt, "x", `${this.#at(theirs).toFixed(1)}%`);
  }
}

class Smooth {
  /** A level that moves as an eye can follow: while somebody speaks, and it stands while they do not. */
  value = null;

  push(level) {
    if (!level || level.speech < 0.5 || level.level_dbov === null) return;
    this.value = this.value === null ? level.level_dbov : this.value + 0.3 * (level.level_dbov - this.value);
  }
}

export class VocalAgent extends Part {
  static observedAttributes = ["call", "code", "token"];

  #call = null;
  #phase = "idle";
  #kind = null;
  #answered = new Map();
  #tempoLimit = 5.6;
  #budget = null;
  #live = null;
  #timer = 0;

  async build(root) {
    await this.#signIn();
    const rules = await getJson("/v1/rules").catch(() => null);
    this.#budget = rules?.budget ?? null;
    const tempo = rules?.rule.find((one) => one.id === "tempo_high")?.when[0].above;
    this.#tempoLimit = tempo ?? this.#tempoLimit;
    this.view = h("div", { class: "agent" });
    this.status = h("p", { class: "status", role: "status" });
    this.help = this.#buildHelp();
    this.what = this.#buildWhat();
    this.main = h("div", { class: "stage" });
    this.view.append(this.status, this.help, this.main, this.what);
    root.append(this.view);
    this.#show("idle");
    this.#live = new Live({
      onEvent: (event, cursor, isPast) => this.#take(event, cursor, isPast),
      onState: (state) => this.#onState(state),
    });
    this.resume();
  }

  /** Whom a page elsewhere speaks for; a code is used up thereby. */
  async #signIn() {
    const given = { code: this.getAttribute("code"), token: this.getAttribute("token") };
    if (!given.code && !given.token) return;
    this.removeAttribute("code");
    await signIn(given).catch(() => null); // the line will say that nobody is signed in
  }

  async attributeChangedCallback(name, before, now) {
    if (name === "call" || !now || now === before || !this.#live) return;
    await this.#signIn();
    if (this.isHere) this.#live.retry();
  }

  resume() {
    if (!this.#live || !this.isHere) return;
    this.#live.open();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  pause() {
    this.#live?.close();
    clearInterval(this.#timer);
  }

  // What happens

  #take(event, cursor, isPast) {
    const only = this.getAttribute("call") || asked("call");
    if (only && event.call !== only) return;
    if (event.type === "call_started") {
      if (this.#call && !this.#call.ended && this.#call.id !== event.call && !isPast && this.#isAlive()) return;
      this.#call = new Call(event);
      this.#kind = null;
      this.levels = { agent: new Smooth(), customer: new Smooth() };
      this.#show("live");
      if (isPast) this.#recall(this.#call);
      return;
    }
    if (event.call !== this.#call?.id) return;
    this.#call.take(event, cursor);
    if (event.type === "levels") {
      for (const role of ["agent", "customer"]) this.levels[role].push(this.#call.levels[role]);
    }
    if (event.type === "call_ended") this.#end(isPast);
    else if (event.type !== "levels") this.#tick();
  }

  /** What was answered before a reload. */
  async #recall(call) {
    const { feedback = {} } = (await getJson(callPath(call.id)).catch(() => null)) ?? {};
    for (const [seq, helpful] of Object.entries(feedback)) this.#answered.set(`${call.id} ${seq}`, helpful);
    if (this.#call === call && this.cueBox) this.cueBox.shown = undefined;
  }

  /** Whether the shown call was heard of lately; another may take its place otherwise. */
  #isAlive() {
    return performance.now() - this.#call.heardMs < 10_000;
  }

  async #onState(state) {
    this.#tick();
    if (isOut(state)) this.dispatchEvent(new CustomEvent("vocal-signed-out", { bubbles: true, composed: true, detail: { state } }));
    const call = this.#call;
    if (state !== "live" || !call || call.ended) return;
    // Back after a break: a call that a server knows no more, because it began anew, is over.
    const error = await getJson(callPath(call.id)).catch((problem) => problem);
    if (error?.status !== 404 || this.#call !== call) return;
    this.#call = null;
    this.#show("idle");
  }

  async #end(isPast) {
    const call = this.#call;
    if (isPast && sessionStorage.getItem(DONE) === call.id) {
      this.#call = null;
      this.#show("idle");
    } else if (isPast) {
      // A reload after the call: who has answered is not asked again.
      const own = await getJson(callPath(call.id, "/reflection")).catch(() => null);
      if (this.#call !== call) return;
      this.#show(own ? "summary" : "reflect", own);
    } else this.#show("reflect");
  }

  #show(phase, own = null) {
    this.#phase = phase;
    put(this.view, "data-phase", phase);
    const build = { idle: () => this.#idle(), live: () => this.#stage(), reflect: () => this.#reflect(), summary: () => this.#summary(own) };
    this.main.replaceChildren(...build[phase]());
    this.#tick();
  }

  #tick() {
    if (!this.#live) return;
    this.#showStatus();
    this.#showHelp();
    if (this.#phase === "live") this.#showLive();
  }

  #showStatus() {
    const { state } = this.#live;
    const silenceMs = this.#phase === "live" ? performance.now() - this.#call.heardMs : 0;
    const isStale = state === "live" && silenceMs > STALE_MS;
    const shown = isStale ? "stale" : state;
    put(this.view, "data-line", shown);
    // In steps, so that a screen reader is not told every second.
    const seconds = Math.floor(silenceMs / 5000) * 5 || 3;
    sayLine(this.status, shown, { seconds, isHeld: this.#phase === "live", page: "/agent" });
  }

  // Nothing runs

  #idle() {
    const sign = new Sign();
    sign.show({ kind: "waiting", isKnown: false });
    return [
      h("section", { class: "idle" }, sign.element, h("h1", {}, t("web.agent.idle")), h("p", {}, t("web.agent.idle_text"))),
      this.#foot(reportLink("/reports", "web.after.reports")),
    ];
  }

  #foot(...more) {
    const open = () => this.what.showModal();
    return h("footer", { class: "foot" }, ...more, h("button", { class: "link", type: "button", onclick: open }, t("web.agent.what")));
  }

  // A call runs

  #stage() {
    this.clock = h("span", { class: "clock" });
    this.sign = new Sign();
    this.word = h("p", { class: "word" });
    this.trend = h("p", { class: "trend" });
    this.sure = h("p", { class: "certainty" });
    this.line = new MoodLine(56);
    this.axisFrom = h("span");
    this.axis = h("p", { class: "axis", "aria-hidden": "true" }, this.axisFrom, h("span", {}, t("web.mood.now")));
    this.spoken = h("p", { class: "hidden", role: "status" });
    this.cueBox = this.#buildCue();
    this.tempo = new Scale(TEMPO_SCALE, TEMPO_RANGE, this.#tempoLimit);
    this.level = new Scale(LEVEL_SCALE);
    this.rows = {
      tempo: row(t("web.agent.tempo"), this.tempo.element),
      level: row(t("web.agent.loudness"), this.level.element),
      share: row(t("web.agent.share"), this.#buildShare()),
    };
    this.ownMs = -Infinity;
    this.lastTempo = { agent: null, customer: null };
    this.notice = h("span", { class: "notice" });
    this.noticeButton = h("button", { class: "link", type: "button", onclick: () => this.#setNotice() });
    return [
      h("header", { class: "top" }, h("h1", {}, t("web.agent.title")), h("span", { class: "since" }, h("span", { class: "hidden" }, `${t("web.agent.clock")} `), this.clock)),
      h(
        "section",
        { class: "mood card", "aria-labelledby": "mood" },
        h("h2", { id: "mood" }, t("web.mood.title")),
        h("div", { class: "glance" }, this.sign.element, h("div", {}, this.word, this.trend, this.sure)),
        this.spoken,
        h("div", { class: "chart" }, this.line.element, this.axis),
      ),
      this.cueBox.section,
      h(
        "section",
        { class: "own card", "aria-labelledby": "own" },
        h(
          "div",
          { class: "head" },
          h("h2", { id: "own" }, t("web.agent.own")),
          h("p", { class: "key", "aria-hidden": "true" }, mark("own"), t("web.agent.me"), mark("theirs"), t("web.agent.them")),
        ),
        ...Object.values(this.rows).map((one) => one.element),
      ),
      this.#foot(h("span", { class: "notice-line" }, this.notice, this.noticeButton)),
    ];
  }

  #showLive() {
    const call = this.#call;
    const nowS = call.atS(STALE_MS);
    say(this.clock, clock(nowS));
    this.#showMood(call, nowS);
    this.#showCue(call, nowS);
    this.#showOwn(call);
    say(this.notice, t(`web.agent.${wanted()}_${call.notice ? "given" : "missing"}`));
    if (!this.noticeButton.dataset.sure) say(this.noticeButton, t(`web.agent.${call.notice ? "withdraw" : `give_${wanted()}`}`));
    show(this.noticeButton.parentElement, call.hasCustomer);
  }

  #showMood(call, nowS) {
    const read = reading(call, this.#kind);
    this.#kind = read.isKnown ? read.kind : null;
    this.sign.show(read);
    say(this.word, t(`web.mood.${read.kind}`));
    put(this.word, "class", `word ${read.confidence ?? "none"}`);
    if (read.isKnown) {
      say(this.trend, t(`web.mood.${read.trend}`));
      say(this.sure, t(`web.mood.${read.confidence}`));
    } else {
      say(this.trend, t(`web.mood.${read.kind}_text`));
      say(this.sure, "");
    }
    // Said when the word changes, not each second.
    say(this.spoken, read.isKnown ? `${t("web.mood.title")}: ${t(`web.mood.${read.kind}`)}` : "");
    show(this.line.element.parentElement, read.isKnown);
    if (!read.isKnown) return;
    const fromS = lineFrom(nowS);
    say(this.axisFrom, fromS > 0 ? t("web.mood.ago", { minutes: 3 }) : "0:00");
    this.line.show(call.moods, nowS, `${t("web.mood.line", { minutes: 3 })}: ${words(read)}`, fromS);
  }

  #showOwn(call) {
    // Once a second: a number that runs cannot be read.
    if (performance.now() - this.ownMs < 1000) return;
    this.ownMs = performance.now();
    const { agent = null, customer = null } = call.levels;
    const isNow = (agent?.tempo_syll_s ?? null) !== null;
    // Who listens has no tempo; the last one stands, and says that it is the last.
    this.lastTempo.agent = agent?.tempo_syll_s ?? this.lastTempo.agent;
    this.lastTempo.customer = customer?.tempo_syll_s ?? this.lastTempo.customer;
    const { agent: own, customer: theirs } = this.lastTempo;
    const [low, high] = TEMPO_RANGE;
    let verdict = t(own === null ? "web.agent.no_speech" : "web.agent.last");
    let isOver = false;
    if (isNow) {
      isOver = own > this.#tempoLimit;
      if (isOver) verdict = t("web.agent.tempo_over", { limit: number(this.#tempoLimit) });
      else if (own < low) verdict = t("web.agent.tempo_slow");
      else verdict = own <= high ? t("web.agent.tempo_range") : "";
    }
    const tempo = this.rows.tempo;
    tempo.show(own === null ? "–" : number(own), own === null ? "" : t("unit.syll_s"), verdict, isOver);
    put(tempo.element, "data-last", isNow ? null : "");
    tempo.other(theirs === null ? "" : `${t("web.agent.them")} ${number(theirs)}`);
    this.tempo.show(own, theirs);

    const db = call.relativeDb;
    const loud = db === null ? "listening" : db > LOUDER_DB ? "louder" : db < -LOUDER_DB ? "softer" : "same";
    const level = this.levels.agent.value;
    this.rows.level.show(db === null ? "–" : signed(db, 0), db === null ? "" : t("unit.db"), t(`web.agent.${loud}`), false);
    this.level.show(level, this.levels.customer.value);

    const share = call.conversation?.talk_share.agent ?? null;
    this.rows.share.show(share === null ? "–" : perCent(share), "", share === null ? t("web.agent.no_speech") : "", false);
    this.rows.share.other(share === null ? "" : `${t("web.agent.them")} ${perCent(1 - Math.round(share * 100) / 100)}`);
    put(this.shareOwn, "width", `${(share ?? 0) * 100}%`);
    put(this.shareTheirs, "x", `${(share ?? 1) * 100}%`);
    put(this.shareTheirs, "width", `${share === null ? 0 : (1 - share) * 100}%`);
  }

  #buildShare() {
    this.shareOwn = s("rect", { class: "own-share", y: 4, height: 16, width: 0 });
    this.shareTheirs = s("rect", { class: "their-share", y: 4, height: 16, width: 0 });
    const track = s("rect", { class: "track", y: 4, height: 16, width: "100%" });
    return s("svg", { class: "scale", height: 24, "aria-hidden": "true" }, track, this.shareOwn, this.shareTheirs);
  }

  // Cues

  #buildCue() {
    const text = h("p", { class: "cue-text" });
    const idle = h("p", { class: "cue-idle" }, t("web.agent.no_cue"));
    const buttons = h("div", { class: "answers" });
    const thanks = h("p", { class: "thanks" });
    const live = h("div", { class: "cue-live", "aria-live": "polite", "aria-atomic": "true" }, text, thanks);
    const link = h("p", { class: "cue-more", hidden: true });
    const section = h("section", { class: "cue card", "aria-label": t("web.agent.cue") }, idle, live, buttons, link);
    return { section, text, idle, buttons, thanks, link, linked: null, shown: null };
  }

  #showCue(call, nowS) {
    const box = this.cueBox;
    const cue = call.cues.findLast((one) => one.audience === "agent" && one.expires_s > nowS && one.at_s <= nowS + 1) ?? null;
    this.#showMore(box, cue ?? call.cues.findLast((one) => one.audience === "agent" && one.link) ?? null);
    if (box.shown === (cue?.cursor ?? null)) return;
    box.shown = cue?.cursor ?? null;
    put(box.section, "data-severity", cue?.severity ?? null);
    put(box.section, "data-kind", cue?.kind ?? null);
    show(box.idle, !cue);
    say(box.text, cue ? cue.text[currentLanguage()] : "");
    say(box.thanks, "");
    box.buttons.replaceChildren(...(cue ? this.#answers(call, cue, box.thanks) : []));
    if (cue) this.dispatchEvent(new CustomEvent("vocal-cue", { bubbles: true, composed: true, detail: cue }));
  }

  /** A cue goes after seconds; where it led to stays until the next one, for when there is time. */
  #showMore(box, cue) {
    if (box.linked === (cue?.cursor ?? null)) return;
    box.linked = cue?.cursor ?? null;
    const link = more(cue);
    show(box.link, link !== null);
    box.link.replaceChildren(...(link ? [h("span", { class: "when" }, clock(cue.at_s)), " ", link] : []));
  }

  /** «hilfreich / passt nicht» for a cue. */
  #answers(call, cue, thanks) {
    const key = `${call.id} ${cue.seq}`;
    const buttons = [true, false].map((helpful) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": String(this.#answered.get(key) === helpful),
          onclick: async () => {
            try {
              await post(callPath(call.id, `/cues/${cue.seq}/feedback`), { helpful });
            } catch (error) {
              say(thanks, failed(error));
              return;
            }
            this.#answered.set(key, helpful);
            if (this.#answered.size > 200) this.#answered.delete(this.#answered.keys().next().value);
            for (const [place, one] of buttons.entries()) put(one, "aria-pressed", String(helpful === (place === 0)));
            say(thanks, t("web.agent.thanks"));
          },
        },
        t(helpful ? "web.agent.helpful" : "web.agent.unhelpful"),
      ),
    );
    return buttons;
  }

  // Help and notice

  #buildHelp() {
    this.helpText = h("p");
    this.helpTitle = h("h2");
    this.helpNote = h("p", { class: "note" });
    const answer = (wanted) => async () => {
      try {
        await post(callPath(this.#call.id, "/help/answer"), { wanted });
      } catch (error) {
        say(this.helpError, failed(error));
      }
    };
    this.helpError = h("p", { class: "error", role: "alert" });
    this.helpButtons = h(
      "div",
      { class: "answers" },
      h("button", { type: "button", class: "first", onclick: answer(true) }, t("web.help.yes")),
      h("button", { type: "button", onclick: answer(false) }, t("web.help.no")),
    );
    const said = h("div", { role: "status" }, this.helpTitle, this.helpText, this.helpNote);
    return h("section", { class: "help card", hidden: true }, said, this.helpButtons, this.helpError);
  }

  #showHelp() {
    const help = this.#phase === "live" && !isOut(this.#live.state) ? this.#call?.help : null;
    const isOpen = Boolean(help) && help.wanted === null;
    const isAnswered = Boolean(help) && !isOpen && this.#call.atS(STALE_MS) - help.answeredS < ANSWERED_S;
    if (!isOpen && !isAnswered) say(this.helpError, "");
    show(this.help, isOpen || isAnswered);
    show(this.helpButtons, isOpen);
    say(this.helpTitle, isOpen ? t("web.agent.help") : isAnswered ? t(help.wanted ? "web.help.said_yes" : "web.help.said_no") : "");
    say(this.helpText, isOpen && help.text ? `«${help.text}»` : "");
    say(this.helpNote, isOpen || isAnswered ? t("web.agent.help_text") : "");
  }

  async #setNotice() {
    const call = this.#call;
    const button = this.noticeButton;
    if (call.notice && !button.dataset.sure) {
      // What is deleted does not come back: twice within five seconds.
      button.dataset.sure = "1";
      say(button, t("web.agent.withdraw_sure"));
      setTimeout(() => delete button.dataset.sure, 5000);
      return;
    }
    delete button.dataset.sure;
    try {
      await post(callPath(call.id, "/notice"), { given: !call.notice, basis: wanted() });
    } catch (error) {
      say(this.notice, failed(error));
    }
  }

  // What is measured

  #buildWhat() {
    const part = (key, ...texts) => [h("dt", {}, t(`web.what.${key}`)), ...texts.map((text) => h("dd", {}, text))];
    const { visible_s: visible, apart_s: apart, most } = this.#budget ?? { visible_s: 8, apart_s: 45, most: 4 };
    const dialog = h(
      "dialog",
      { class: "what", "aria-labelledby": "what" },
      h("h2", { id: "what", tabindex: -1, autofocus: true }, t("web.what.title")),
      h(
        "dl",
        {},
        ...part("yours", t("web.what.yours_text")),
        ...part("theirs", t("web.what.theirs_text")),
        ...part("never", t("report.not_measured_text")),
        ...part("who", t("web.what.who_text")),
        ...part("limits", t("web.what.limits_text"), t("web.what.budget", { visible, apart, most })),
      ),
      h("form", { method: "dialog" }, h("button", { class: "first" }, t("web.close"))),
    );
    return dialog;
  }

  // Afterwards: the own view first, the measured one after it

  #reflect() {
    const call = this.#call;
    const error = h("p", { class: "error", role: "alert" });
    const scores = Array.from({ length: 10 }, (_, place) =>
      h("label", {}, h("input", { type: "radio", name: "score", value: place + 1 }), h("span", {}, String(place + 1))),
    );
    const form = h(
      "form",
      { class: "reflection card", novalidate: true },
      h("p", { class: "note" }, `${t("web.after.ended")} · ${clock(call.ended.duration_s)}`),
      h(
        "fieldset",
        {},
        h("legend", {}, h("h1", {}, t("report.reflection.question"))),
        h("div", { class: "ten" }, ...scores),
        h("p", { class: "ends" }, h("span", {}, `1 = ${t("report.reflection.low")}`), h("span", {}, `10 = ${t("report.reflection.high")}`)),
      ),
      h("label", { class: "field" }, t("web.after.note"), h("textarea", { name: "text", rows: 2, maxlength: 2000 })),
      error,
      h("div", { class: "answers" }, h("button", { class: "first" }, t("web.after.save")), h("button", { type: "button", class: "link", onclick: () => this.#show("summary") }, t("web.after.skip"))),
      h("p", { class: "note" }, t("web.after.private")),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const given = new FormData(form);
      const score = Number(given.get("score"));
      if (!score) {
        say(error, t("web.after.choose"));
        return;
      }
      try {
        await post(callPath(call.id, "/reflection"), { score, text: String(given.get("text")) });
        this.#show("summary", { score });
      } catch (problem) {
        say(error, failed(problem));
      }
    });
    return [form, this.#foot()];
  }

  #summary(own) {
    const call = this.#call;
    const { satisfaction, moments, conversation, duration_s: durationS } = call.ended;
    const parts = [h("header", { class: "top" }, h("h1", {}, t("web.after.title")), h("span", { class: "since" }, clock(durationS)))];
    const theirs = h("section", { class: "card", "aria-labelledby": "journey" }, h("h2", { id: "journey" }, t("web.after.journey")));
    if (call.notice && call.moods.length > 1) {
      if (satisfaction) {
        const points = [["start", satisfaction.start], ["end", satisfaction.end], ["change", satisfaction.change]];
        theirs.append(
          h("dl", { class: "big" }, ...points.map(([key, value]) => h("div", {}, h("dt", {}, t(`report.journey.${key}`)), h("dd", {}, key === "change" ? signed(value) : number(value))))),
          h("p", { class: "note" }, t("report.journey.points")),
        );
      }
      const line = new MoodLine(96);
      line.show(call.moods, durationS, t("report.journey.chart"), 0);
      theirs.append(h("div", { class: "chart" }, line.element, h("p", { class: "axis", "aria-hidden": "true" }, h("span", {}, "0:00"), h("span", {}, clock(durationS)))));
    } else theirs.append(h("p", {}, t("web.after.no_journey")));
    const felt = own?.score && h("p", { class: "felt card" }, `${t("web.after.felt")}: `, h("b", {}, t("web.after.felt_of", { score: own.score })));
    const seen = (kind) => (call.notice ? moments : []).filter((one) => one.kind === kind);
    const list = (kind) =>
      h("ul", { class: `moments ${kind}` }, ...seen(kind).map((one) => h("li", {}, h("span", { class: "when" }, `${clock(one.start_s)}–${clock(one.end_s)}`), h("span", {}, t(`moment.${one.why}.text`)))));
    const good = h("section", { class: "card" }, h("h2", {}, t("web.after.good")), seen("positive").length ? list("positive") : h("p", {}, t("web.after.none")));
    const turns = seen("pain").length && h("section", { class: "card" }, h("h2", {}, t("web.after.turns")), list("pain"), h("p", { class: "note" }, t("report.pain.note")));
    const tempo = median(call.tempi);
    const figures = [
      ["web.agent.share", conversation.talk_share.agent === null ? "–" : perCent(conversation.talk_share.agent)],
      ["web.after.tempo", tempo === null ? "–" : quantity(tempo, "syll_s")],
      ["web.after.interruptions", number(conversation.interruptions.agent, 0)],
      ["web.after.monologue", conversation.longest_monologue_s.agent === null ? "–" : quantity(conversation.longest_monologue_s.agent, "s", 0)],
      ["web.after.non_talk", quantity(conversation.non_talk_s, "s", 0)],
    ];
    const measures = h("section", { class: "card" }, h("h2", {}, t("web.after.own")), h("dl", { class: "figures" }, ...figures.map(([key, value]) => h("div", {}, h("dt", {}, t(key)), h("dd", {}, value)))));
    const cues = call.cues.filter((one) => one.audience === "agent");
    const said = cues.length && h(
      "section",
      { class: "card" },
      h("h2", {}, t("web.after.cues")),
      h("ul", { class: "past-cues" }, ...cues.map((cue) => {
        const thanks = h("span", { class: "thanks", role: "status" });
        return h("li", {}, h("span", { class: "when" }, clock(cue.at_s)), h("div", {}, h("p", {}, cue.text[currentLanguage()]), more(cue) ?? "", h("div", { class: "answers" }, ...this.#answers(call, cue, thanks), thanks)));
      })),
    );
    const done = h("button", { type: "button", class: "first", onclick: () => this.#done() }, t("web.after.done"));
    return [...parts, felt, theirs, good, turns, measures, said, this.#foot(done, reportLink(`/reports/calls/${encodeURIComponent(call.id)}`, "web.after.report"))].filter(Boolean);
  }

  #done() {
    sessionStorage.setItem(DONE, this.#call.id);
    this.#call = null;
    this.#show("idle");
    this.#live.again(); // another call may have begun meanwhile
  }
}

function row(name, scale) {
  const value = h("b", { class: "value" });
  const unit = h("span", { class: "unit" });
  const verdict = h("span", { class: "verdict" });
  const their = h("span", { class: "their" });
  const element = h("div", { class: "row" }, h("h3", {}, name), h("p", { class: "reading" }, value, unit), scale, h("p", { class: "below" }, verdict, their));
  return {
    element,
    show(number, name, text, isOver) {
      say(value, number);
      say(unit, name ? `\u00a0${name}` : "");
      say(verdict, text);
      put(element, "data-over", isOver ? "" : null);
    },
    other: (text) => say(their, text),
  };
}

function mark(kind) {
  const shape = kind === "own" ? s("circle", { class: "own-mark", r: 5, cx: 8, cy: 8 }) : s("path", { class: "their-mark", d: "M8 2 14 8 8 14 2 8Z" });
  return s("svg", { width: 16, height: 16 }, shape);
}

customElements.define("vocal-agent", VocalAgent);
