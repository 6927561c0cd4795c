// A call as the pages know it, out of its events. Bounded: what is old falls out.

const MOST_MOODS = 600;
const MOST_CUES = 60;
const MOST_TEMPI = 400;

let basis = "notice";

/** What the server wants before anything is estimated of a customer: "notice" or "consent", as its hello says. */
export const wanted = () => basis;
export const want = (given) => (basis = given ?? "notice");

/** What rules may look at that was inferred of the customer, as vocal.policy has it: gone when the notice is. */
export const INFERRED = [
  "customer_valence",
  "customer_stress",
  "mood_trend",
  "mood_confidence",
  "mood_change",
  "mood_recovery",
];

export class Call {
  constructor(started) {
    this.id = started.call;
    this.metadata = started.metadata;
    this.startedAt = started.started_at;
    this.hasCustomer = started.channels.some((one) => one.role === "customer");
    this.said = { notice: started.metadata.notice, consent: started.metadata.consent };
    this.moods = [];
    this.cues = [];
    this.help = null;
    this.seen = { last: -1, by: "" };
    this.muted = { untilS: -1, by: "" };
    this.conversation = null;
    this.levels = {};
    this.relativeDb = null;
    this.tempi = [];
    this.ended = null;
    this.#at(started.at_s);
  }

  /** Whether the customer was informed, or agreed where that is wanted. */
  get notice() {
    return this.said.consent || (this.said.notice && basis === "notice");
  }

  /** The call's clock now. It stands still when nothing was heard for `holdMs`. */
  atS(holdMs = 3000) {
    if (this.ended) return this.ended.duration_s;
    return this.heardS + Math.min(holdMs, performance.now() - this.heardMs) / 1000;
  }

  get mood() {
    return this.moods.at(-1) ?? null;
  }

  take(event, cursor) {
    if (event.at_s >= this.heardS) this.#at(event.at_s);
    this["_" + event.type]?.(event, cursor);
  }

  #at(atS) {
    this.heardS = atS;
    this.heardMs = performance.now();
  }

  _levels(event) {
    for (const one of event.channels) this.levels[one.role] = one;
  }

  _utterance(event) {
    if (event.role !== "agent") return;
    this.relativeDb = event.relative.level_db;
    if (event.articulation_rate_syll_s !== null && event.end_s - event.start_s >= 0.7) {
      bounded(this.tempi, event.articulation_rate_syll_s, MOST_TEMPI);
    }
  }

  _mood(event) {
    if (event.role === "customer" && this.notice) bounded(this.moods, event, MOST_MOODS);
  }

  _conversation(event) {
    this.conversation = event;
  }

  _cue(event, cursor) {
    bounded(this.cues, { ...event, cursor }, MOST_CUES);
  }

  _help_offered(event, cursor) {
    this.help = { ...event, cursor, wanted: null, answeredS: 0 };
  }

  _help_answered(event) {
    if (this.help) Object.assign(this.help, { wanted: event.wanted, answeredS: event.at_s });
  }

  _alerts_seen({ last, by }) {
    this.seen = { last, by };
  }

  _alerts_muted({ until_s: untilS, by }) {
    this.muted = { untilS, by };
  }

  _notice(event) {
    if (event.given) {
      this.said[event.basis] = true;
      return;
    }
    this.said = { notice: false, consent: false };
    this.moods = [];
    this.cues = this.cues.filter((cue) => !INFERRED.some((name) => name in cue.evidence));
  }

  _call_ended(event) {
    this.ended = event;
    this.conversation = event.conversation;
    this.levels = {};
  }
}

function bounded(list, one, most) {
  list.push(one);
  if (list.length > most) list.shift();
}

export function median(values) {
  const ranked = [...values].sort((a, b) => a - b);
  const half = ranked.length >> 1;
  if (!ranked.length) return null;
  return ranked.length % 2 ? ranked[half] : (ranked[half - 1] + ranked[half]) / 2;
}
