// Live events that survive a lost network: WS /v1/live, which comes back with the last cursor it saw.
//
//   connecting ──hello──► live ──silence──► stale ──more silence──► lost ──► connecting ...
//                                       1008 ──► refused, 4401 ──► expired: until somebody has signed in
//
// Nothing is kept here but one cursor, so a page that stays open over night stays as small as it was.

import { SERVER, protocols } from "./api.js";
import { want } from "./calls.js";

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 15_000;
const DEAD_MS = 13_000; // two of the server's beats, and some
const OUT = { 1008: "refused", 4401: "expired" };

export class Live {
  #socket = null;
  #timer = 0;
  #watch = 0;
  #attempt = 0;
  #heard = 0;
  #cursor = 0;
  #past = 0;
  #query;
  #onEvent;
  #onState;
  state = "connecting";

  /** onEvent(event, cursor, isPast): in order, none twice. onState(state). types: these kinds only; null: all. as: "coach". */
  constructor({ types = null, as = null, onEvent, onState = () => {} }) {
    this.#query = { ...(types && { types: types.join(",") }), ...(as && { as }) };
    this.#onEvent = onEvent;
    this.#onState = onState;
  }

  open() {
    addEventListener("online", this.#retryNow);
    document.addEventListener("visibilitychange", this.#retryNow);
    this.#watch = setInterval(() => this.#check(), 1000);
    this.#connect();
  }

  close() {
    removeEventListener("online", this.#retryNow);
    document.removeEventListener("visibilitychange", this.#retryNow);
    clearInterval(this.#watch);
    clearTimeout(this.#timer);
    this.#drop();
  }

  /** Now, rather than when it is time again. */
  retry() {
    this.#attempt = 0;
    this.#connect();
  }

  /** All that is kept once more, from the beginning. */
  again() {
    this.#cursor = 0;
    this.#connect();
  }

  /** Milliseconds since anything was heard. */
  get silenceMs() {
    return performance.now() - this.#heard;
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#drop();
    this.#heard = performance.now();
    const asked = new URLSearchParams({ since: String(this.#cursor), ...this.#query });
    const socket = new WebSocket(`${SERVER.replace(/^http/, "ws")}/v1/live?${asked}`, protocols());
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    socket.onclose = ({ code }) => this.#onClose(code);
  }

  #drop() {
    if (!this.#socket) return;
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  #take(frame) {
    this.#heard = performance.now();
    if (frame.hello) {
      this.#attempt = 0;
      this.#past = frame.hello.cursor;
      want(frame.hello.basis);
      this.#tell("live");
    } else if (frame.event && frame.cursor > this.#cursor) {
      this.#cursor = frame.cursor;
      this.#onEvent(frame.event, frame.cursor, frame.cursor <= this.#past);
    }
  }

  #onClose(code) {
    this.#socket = null;
    if (code in OUT) {
      this.#tell(OUT[code]);
      return;
    }
    this.#tell("lost");
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#attempt++);
    this.#timer = setTimeout(() => this.#connect(), wait * (0.5 + Math.random() / 2));
  }

  #check() {
    if (this.#socket && this.silenceMs > DEAD_MS) {
      this.#drop();
      this.#onClose(0);
    }
  }

  #retryNow = () => {
    // Whoever signed in on another page and comes back to this one goes on here.
    if (["lost", "refused", "expired"].includes(this.state) && !document.hidden) {
      this.#attempt = 0;
      this.#connect();
    }
  };

  #tell(state) {
    if (this.state === state) return;
    this.state = state;
    this.#onState(state);
  }
}
