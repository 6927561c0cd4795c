// <vocal-softphone>: call through Vocal from a browser, with somebody or alone.

import "./agent.js";
import { getJson, post } from "./api.js";
import { h, put, say, show } from "./dom.js";
import { Part } from "./part.js";
import { Meter, PhoneError, Session, forgetSession, openMicrophone, storedSession } from "./phone.js";
import { clock, t } from "./texts.js";

const CODE = /^[A-Za-z0-9._-]{0,64}$/;
const DEVICE = "vocal-microphone";

export class VocalSoftphone extends Part {
  #session = null;
  #meter = null;
  #preview = null;
  #timer = 0;
  #state = "setup";
  #since = 0;
  #isTrial = false;
  #invite = new URLSearchParams(location.search).get("invite");

  async build(root) {
    this.error = h("p", { class: "error", role: "alert" });
    this.state = h("p", { class: "phone-state", role: "status" });
    this.audio = h("audio", { autoplay: true });
    this.stage = h("div", { class: "stage" });
    this.aside = h("div", { class: "aside" });
    this.box = h("div", { class: "phone" }, h("div", { class: "stage" }, this.stage, this.audio), this.aside);
    root.append(this.box);
    if (this.#invite) {
      try {
        await getJson(`/v1/softphone/invites/${encodeURIComponent(this.#invite)}`);
      } catch {
        this.stage.append(h("h1", {}, t("web.phone.title")), h("p", { class: "error", role: "alert" }, t("web.phone.invite_gone")));
        return;
      }
    }
    if (!this.#invite) this.#isTrial = (await getJson("/v1/me").catch(() => null))?.role === "local";
    this.#setup();
    this.#listDevices();
    navigator.mediaDevices?.addEventListener("devicechange", () => this.#listDevices());
    const stored = storedSession();
    if (stored) this.#resume(stored);
  }

  pause() {
    this.#session?.hangUp();
    this.#stopMeter();
    clearInterval(this.#timer);
  }

  // Before the call

  #setup() {
    this.#state = "setup";
    this.aside.replaceChildren();
    put(this.box, "data-state", "setup");
    const asked = new URLSearchParams(location.search);
    const isInvited = Boolean(this.#invite);
    this.microphone = h("select", { name: "microphone", onchange: () => this.#changeMicrophone() }, h("option", { value: "" }, t("web.phone.default_microphone")));
    this.levelBar = h("progress", { max: 1, value: 0, "aria-label": t("web.phone.level") });
    const role = asked.get("role") === "customer" ? "customer" : "agent";
    const roles = h(
      "fieldset",
      { class: "choice" },
      h("legend", {}, t("web.phone.role")),
      ...["agent", "customer"].map((one) => h("label", {}, h("input", { type: "radio", name: "role", value: one, checked: one === role }), h("span", {}, t(`web.phone.${one}`)))),
    );
    const code = h("label", { class: "field" }, t("web.phone.code"), h("input", { name: "call", value: asked.get("call") ?? "", autocomplete: "off", autocapitalize: "none", spellcheck: "false" }), h("span", { class: "note" }, t("web.phone.code_text")));
    const test = h("button", { type: "button", onclick: () => this.#test() }, t("web.phone.test"));
    const form = h(
      "form",
      { class: "card dial" },
      !isInvited && roles,
      h("div", { class: "mic" }, h("label", { class: "field" }, t("web.phone.microphone"), this.microphone), test, this.levelBar),
      noticeSwitch(t(isInvited ? "web.phone.notice_own" : "web.phone.notice"), false),
      !isInvited && code,
      this.error,
      h("button", { class: "first big-button" }, t(isInvited ? "web.phone.join" : "web.phone.call")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const given = new FormData(form);
      const notice = given.get("notice") === "on";
      // The switch says both: informed, and agreed.
      const said = { notice, consent: notice };
      const wanted = isInvited ? { invite: this.#invite, ...said } : { role: given.get("role"), ...said };
      const call = String(given.get("call") ?? "").trim();
      if (!CODE.test(call)) return this.#fail(new PhoneError("code"));
      if (!isInvited) wanted.call = call || freshCode();
      return this.#call(wanted);
    });
    const title = t(isInvited ? "web.phone.invited" : "web.phone.title");
    this.stage.replaceChildren(h("header", {}, h("h1", {}, title), h("p", { class: "lead" }, t(isInvited ? "web.phone.invited_text" : "web.phone.lead"))), form);
  }

  async #listDevices() {
    const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    const kept = this.microphone.value || localStorage.getItem(DEVICE) || "";
    const options = devices
      .filter((one) => one.kind === "audioinput" && one.deviceId && one.deviceId !== "default")
      .map((one, place) => h("option", { value: one.deviceId }, one.label || t("web.phone.microphone_number", { number: place + 1 })));
    this.microphone.replaceChildren(h("option", { value: "" }, t("web.phone.default_microphone")), ...options);
    this.microphone.value = options.some((one) => one.value === kept) ? kept : "";
  }

  async #test() {
    say(this.error, "");
    this.#stopMeter();
    try {
      this.#preview = await openMicrophone(this.microphone.value);
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#listen(this.#preview);
    this.#listDevices();
  }

  #changeMicrophone() {
    localStorage.setItem(DEVICE, this.microphone.value);
    if (this.#preview) this.#test();
  }

  #listen(microphone) {
    this.#meter?.close();
    this.#meter = new Meter(microphone, (level) => {
      this.levelBar.value = level.toFixed(2);
    });
  }

  #stopMeter() {
    this.#meter?.close();
    this.#meter = null;
    for (const track of this.#preview?.getTracks() ?? []) track.stop();
    this.#preview = null;
  }

  // The call

  async #call(asked, replaces = null) {
    say(this.error, "");
    this.#stopMeter();
    this.#during(asked);
    this.#show("asking");
    try {
      const microphone = await openMicrophone(this.microphone.value);
      const session = new Session({
        microphone,
        asked,
        onState: (state, status) => this.#session === session && this.#show(state, status),
        onTrack: (stream) => this.#play(stream),
        onFail: (error) => this.#back(error),
      });
      this.#session = session;
      this.#listen(microphone);
      await session.open(replaces);
      this.#opened(session);
    } catch (error) {
      for (const track of this.#session?.microphone.getTracks() ?? []) track.stop();
      forgetSession();
      this.#back(error);
    }
  }

  #resume({ session, call, role, invite }) {
    this.#invite = invite ?? null;
    this.#call(invite ? { invite } : { call, role }, session);
  }

  #during(asked) {
    this.clock = h("span", { class: "clock" }, "0:00");
    this.levelBar = h("progress", { max: 1, value: 0, "aria-label": t("web.phone.level") });
    this.muteButton = h("button", { type: "button", "aria-pressed": "false", onclick: () => this.#mute() }, t("web.phone.mute"));
    this.noticeBox = noticeSwitch(t(this.#invite ? "web.phone.notice_own" : "web.phone.notice"), Boolean(asked.notice));
    this.noticeInput = this.noticeBox.querySelector("input");
    this.noticeInput.addEventListener("change", () => this.#setNotice());
    this.sound = h("button", { type: "button", hidden: true, onclick: () => this.audio.play() }, t("web.phone.sound"));
    this.share = h("div", { class: "share" });
    this.figures = h("p", { class: "note" });
    const hangUp = h("button", { type: "button", class: "hang-up", onclick: () => this.#session?.hangUp() }, t("web.phone.hang_up"));
    this.stage.replaceChildren(
      h("header", { class: "top" }, h("h1", {}, t("web.phone.title")), this.clock),
      h(
        "section",
        { class: "card dial" },
        this.state,
        h("div", { class: "mic" }, this.levelBar),
        h("div", { class: "answers" }, this.muteButton, this.sound, hangUp),
        this.noticeBox,
        this.error,
        this.share,
        this.figures,
      ),
    );
  }

  #opened(session) {
    this.#since = performance.now();
    clearInterval(this.#timer);
    this.#timer = setInterval(() => say(this.clock, clock((performance.now() - this.#since) / 1000)), 500);
    if (this.#invite) return;
    const said = h("span", { class: "thanks", role: "status" });
    const copy = async (text) => {
      try {
        await navigator.clipboard.writeText(text);
        say(said, t("web.phone.copied"));
      } catch {
        say(said, text); // where the clipboard is closed it can be copied by hand
      }
    };
    const invite = async () => {
      try {
        const given = await post("/v1/softphone/invites", { call: session.call });
        say(note, t("web.phone.invite_text", { minutes: Math.round(given.expires_s / 60) }));
        await copy(new URL(given.path, location.href).href);
      } catch (error) {
        this.#fail(error);
      }
    };
    const note = h("p", { class: "note" });
    this.share.replaceChildren(
      h("p", {}, `${t("web.phone.share")}: `, h("code", {}, session.call)),
      h("div", { class: "answers" }, h("button", { type: "button", onclick: () => copy(session.call) }, t("web.phone.copy")), h("button", { type: "button", onclick: invite }, t("web.phone.invite")), said),
      note,
    );
    // The customer's side sees nothing of this, but where one person tries it out alone.
    if (session.role === "agent" || this.#isTrial) this.aside.replaceChildren(h("vocal-agent", { call: session.call }));
  }

  #show(state, status) {
    this.#state = state;
    put(this.box, "data-state", state);
    say(this.state, t(`web.phone.state.${state}`));
    if (status?.packets) {
      const { received, lost } = status.packets;
      say(this.figures, t("web.phone.line", { lag: Math.round(status.lag_ms ?? 0), lost, received }));
      this.noticeInput.checked = status.notice;
    }
    if (state === "ended") {
      this.#stopMeter();
      clearInterval(this.#timer);
      const again = h("button", { type: "button", class: "first", onclick: () => this.#again() }, t("web.phone.again"));
      if (this.#session?.role === "customer") this.aside.replaceChildren();
      const card = this.stage.querySelector(".card");
      card.replaceChildren(this.state, this.error, again);
      again.focus();
    }
  }

  #again() {
    this.#session = null;
    say(this.error, "");
    this.#setup();
    this.#listDevices();
  }

  /** Back to where one can try again, with what went wrong. */
  #back(error) {
    this.#session = null;
    this.#stopMeter();
    clearInterval(this.#timer);
    this.#setup();
    this.#listDevices();
    this.#fail(error);
  }

  #play(stream) {
    this.audio.srcObject = stream;
    this.audio.play().then(() => show(this.sound, false)).catch(() => show(this.sound, true));
  }

  #mute() {
    const isMuted = this.muteButton.getAttribute("aria-pressed") !== "true";
    this.#session?.mute(isMuted);
    put(this.muteButton, "aria-pressed", String(isMuted));
  }

  async #setNotice() {
    const given = this.noticeInput.checked;
    try {
      await this.#session.setNotice(given);
      say(this.error, "");
    } catch (error) {
      this.noticeInput.checked = !given;
      this.#fail(error);
    }
  }

  #fail(error) {
    if (error instanceof PhoneError && error.key) say(this.error, t(`web.phone.error.${error.key}`, error.values));
    else say(this.error, t("web.failed", { why: error.values?.why ?? (error.status === 0 ? t("web.unreachable") : error.message) }));
  }
}

/** Short enough to say aloud, without letters that look or sound alike. */
function freshCode() {
  const letters = "abcdefghkmnpqrstwxyz23456789";
  const picked = [...crypto.getRandomValues(new Uint32Array(8))].map((one) => letters[one % letters.length]).join("");
  return `${picked.slice(0, 4)}-${picked.slice(4)}`;
}

function noticeSwitch(label, isOn) {
  return h(
    "div",
    { class: "notice-switch" },
    h("label", {}, h("input", { type: "checkbox", role: "switch", name: "notice", checked: isOn, "aria-describedby": "notice-text" }), h("span", {}, label)),
    h("p", { class: "note", id: "notice-text" }, t("web.phone.notice_text")),
  );
}

customElements.define("vocal-softphone", VocalSoftphone);
