// The customer's mood: a word, a shape that goes from round to jagged, and a line over the last minutes.

import { wanted } from "./calls.js";
import { put, s, say } from "./dom.js";
import { t } from "./texts.js";

export const WINDOW_S = 180;
const STEADY = 0.15; // valence per 30 s
const UNSURE = 0.55;
const SURE = 0.8;
const HOLD_S = 4; // a longer pause of the customer is drawn as held

/**
 * What is said of a call's mood. `before` is the kind that stands now: it takes a margin to leave it, so that the word
 * does not flicker. kind: good, neutral, low, tense, very_tense; or absent, no_notice, no_consent, waiting.
 */
export function reading(call, before = null) {
  if (!call.hasCustomer) return { kind: "absent", isKnown: false };
  if (!call.notice) return { kind: `no_${wanted()}`, isKnown: false };
  const mood = call.mood;
  if (!mood) return { kind: "waiting", isKnown: false };
  const confidence = mood.confidence >= SURE ? "sure" : mood.confidence >= UNSURE ? "fair" : "unsure";
  const trend = mood.trend > STEADY ? "rising" : mood.trend < -STEADY ? "falling" : "steady";
  return { kind: kindOf(mood, before), isKnown: true, confidence, trend, mood };
}

function kindOf({ valence, stress }, before) {
  const over = (value, limit, kinds) => value > limit + (kinds.includes(before) ? -0.03 : 0.0);
  if (over(stress, 0.58, ["very_tense"])) return "very_tense";
  if (over(stress, 0.45, ["tense", "very_tense"])) return "tense";
  if (over(valence, 0.6, ["good"])) return "good";
  return over(valence, 0.4, ["good", "neutral"]) ? "neutral" : "low";
}

// The sign. Round is well, jagged is tense: the outline alone says it, without colour.

function outline(radius) {
  const points = [];
  const steps = 120;
  for (let step = 0; step < steps; step++) {
    const angle = (step / steps) * 2 * Math.PI - Math.PI / 2;
    const r = radius(angle);
    points.push(`${(50 + r * Math.cos(angle)).toFixed(1)} ${(50 + r * Math.sin(angle)).toFixed(1)}`);
  }
  return `M${points.join("L")}Z`;
}

function star(count, inner) {
  const points = [];
  for (let step = 0; step < 2 * count; step++) {
    const angle = (step / (2 * count)) * 2 * Math.PI - Math.PI / 2;
    const r = step % 2 ? inner : 46;
    points.push(`${(50 + r * Math.cos(angle)).toFixed(1)} ${(50 + r * Math.sin(angle)).toFixed(1)}`);
  }
  return `M${points.join("L")}Z`;
}

const superellipse = (power, size) => (angle) =>
  size / (Math.abs(Math.cos(angle)) ** power + Math.abs(Math.sin(angle)) ** power) ** (1 / power);

const SHAPES = {
  good: outline(() => 44),
  neutral: outline(superellipse(4, 39)),
  low: outline(superellipse(1.25, 46)),
  tense: star(8, 39),
  very_tense: star(10, 34),
};
SHAPES.absent = SHAPES.no_notice = SHAPES.no_consent = SHAPES.waiting = SHAPES.good;

const ARROWS = {
  rising: "M36 62 62 36M42 36H62V56",
  steady: "M33 50H66M54 38 66 50 54 62",
  falling: "M36 38 62 64M62 44V64H42",
};

export class Sign {
  constructor() {
    this.shape = s("path", { class: "shape" });
    this.arrow = s("path", { class: "arrow" });
    this.element = s("svg", { class: "sign", viewBox: "0 0 100 100", "aria-hidden": "true" }, this.shape, this.arrow);
  }

  show(read) {
    put(this.element, "class", `sign ${read.kind} ${read.confidence ?? "none"}`);
    put(this.shape, "d", SHAPES[read.kind]);
    put(this.arrow, "d", read.isKnown ? ARROWS[read.trend] : "M40 50H60");
  }
}

// The line: valence over time, its band as wide as the estimate is unsure, dashed where the customer does not speak.

export class MoodLine {
  constructor(height) {
    this.height = height;
    this.band = s("path", { class: "band" });
    this.held = s("path", { class: "held" });
    this.line = s("path", { class: "mood-line" });
    this.dot = s("circle", { class: "now", r: 4 });
    this.name = s("title");
    const middle = this.#y(0.5);
    this.element = s(
      "svg",
      { class: "mood-chart", height, role: "img", preserveAspectRatio: "none" },
      this.name,
      s("line", { class: "zero", x1: "0", x2: "100%", y1: middle, y2: middle }),
      s("text", { class: "end", x: 0, y: 9, "aria-hidden": "true" }, t("web.mood.high_end")),
      s("text", { class: "end", x: 0, y: height - 1, "aria-hidden": "true" }, t("web.mood.low_end")),
      s(
        "svg",
        { viewBox: `0 0 1000 ${height}`, width: "98%", height, preserveAspectRatio: "none" },
        this.band,
        this.held,
        this.line,
      ),
      this.dot,
    );
  }

  #y(valence) {
    return Number((5 + (1 - Math.min(1, Math.max(0, valence))) * (this.height - 10)).toFixed(1));
  }

  /** moods up to `nowS`; fromS: where the axis begins. */
  show(moods, nowS, words, fromS = lineFrom(nowS)) {
    say(this.name, words);
    const x = (atS) => (((atS - fromS) / (nowS - fromS)) * 1000).toFixed(1);
    // One more before the window, so that the line comes in from the left.
    const first = moods.findIndex((one) => one.at_s >= fromS);
    const seen = first < 0 ? moods.slice(-1) : moods.slice(Math.max(0, first - 1));
    let line = "";
    let held = "";
    let band = "";
    let run = [];
    const close = () => {
      if (run.length > 1) band += `M${run.map(([at, , high]) => `${at} ${high}`).join("L")}L` +
        `${[...run].reverse().map(([at, low]) => `${at} ${low}`).join("L")}Z`;
      run = [];
    };
    seen.forEach((one, place) => {
      const at = x(Math.max(one.at_s, fromS));
      const y = this.#y(one.valence);
      const before = seen[place - 1];
      if (!before) line += `M${at} ${y}`;
      else if (one.at_s - before.at_s > HOLD_S) {
        close();
        held += `M${x(Math.max(before.at_s, fromS))} ${this.#y(before.valence)}L${at} ${y}`;
        line += `M${at} ${y}`;
      } else line += `L${at} ${y}`;
      const spread = 0.5 * (1 - one.confidence);
      run.push([at, this.#y(one.valence - spread), this.#y(one.valence + spread)]);
    });
    close();
    const last = seen.at(-1);
    if (last && nowS - last.at_s > 1) {
      const y = this.#y(last.valence);
      held += `M${x(Math.max(last.at_s, fromS))} ${y}L1000 ${y}`;
    }
    put(this.line, "d", line || "M0 0");
    put(this.held, "d", held || "M0 0");
    put(this.band, "d", band || "M0 0");
    this.dot.style.display = last ? "" : "none";
    if (last) {
      put(this.dot, "cx", "98%");
      put(this.dot, "cy", this.#y(last.valence));
    }
  }
}

/** Where the line of a running call begins: three minutes ago, or with the call. */
export const lineFrom = (nowS) => Math.max(0, nowS - WINDOW_S);

/** A reading in words, for those who do not see the sign. */
export function words(read) {
  if (!read.isKnown) return t(`web.mood.${read.kind}`);
  const word = t(`web.mood.${read.kind}`);
  const values = { word, trend: t(`web.mood.${read.trend}`), confidence: t(`web.mood.${read.confidence}`) };
  return t("web.mood.line_text", values);
}
