// A WebRTC connection through Vocal: one offer out, one answer in, nothing trickled (docs/softphone-protocol.md).

import { ApiError, getJson, post, request } from "./api.js";

const GATHER_MS = 2000;
const POLL_MS = 2000;
const UNMADE = ["not connected", "connection failed"]; // why a session ended that never stood
const STORED = "vocal-softphone";

/** What went wrong, as a key of web.phone.error. */
export class PhoneError extends Error {
  constructor(key, values = {}) {
    super(key);
    this.key = key;
    this.values = values;
  }
}

/** The microphone. `processing: false` leaves the sound as it is, but for echo where there are no headphones. */
export async function openMicrophone(deviceId) {
  if (!navigator.mediaDevices?.getUserMedia) throw new PhoneError("insecure");
  const isPlain = new URLSearchParams(location.search).get("processing") === "off";
  const audio = { echoCancellation: !isPlain, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
  if (deviceId) audio.deviceId = { exact: deviceId };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    const keys = { NotAllowedError: "permission", SecurityError: "permission", NotFoundError: "device", OverconstrainedError: "device", NotReadableError: "busy" };
    throw new PhoneError(keys[error.name] ?? "busy");
  }
}

/** How loud a microphone is, 0-1, ten times a second. */
export class Meter {
  #context;
  #timer;

  constructor(microphone, onLevel) {
    this.#context = new AudioContext();
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = 2048;
    this.#context.createMediaStreamSource(microphone).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    this.#timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, one) => sum + one * one, 0) / samples.length;
      const db = 10 * Math.log10(power + 1e-9);
      onLevel(Math.min(1, Math.max(0, (db + 60) / 50)));
    }, 100);
  }

  close() {
    clearInterval(this.#timer);
    this.#context.close().catch(() => {});
  }
}

/** A running session: onState("connecting" | "alone" | "together" | "lost" | "ended", status). */
export class Session {
  #connection = null;
  #poll = 0;
  #isOver = false;
  #lostMs = 0;

  constructor({ microphone, asked, onState, onTrack, onFail }) {
    this.microphone = microphone;
    this.asked = asked;
    this.onState = onState;
    this.onTrack = onTrack;
    this.onFail = onFail;
  }

  async open(replaces = null) {
    this.onState("connecting");
    this.#connection?.close();
    const connection = new RTCPeerConnection(await iceServers(this.asked.invite));
    this.#connection = connection;
    for (const track of this.microphone.getAudioTracks()) connection.addTrack(track, this.microphone);
    connection.ontrack = ({ track, streams }) => this.onTrack(streams[0] ?? new MediaStream([track]));
    connection.onconnectionstatechange = () => this.#onConnection(connection);
    await connection.setLocalDescription(await connection.createOffer());
    await gathered(connection);
    const body = { ...this.asked, sdp: connection.localDescription.sdp };
    if (replaces) body.replaces = replaces;
    let answer;
    try {
      answer = await post("/v1/softphone/offer", body);
    } catch (error) {
      connection.close();
      throw error instanceof ApiError ? phoneError(error) : error;
    }
    Object.assign(this, { call: answer.call, role: answer.role, session: answer.session, url: answer.url, notice: answer.notice });
    if (!this.asked.invite) this.asked.call = answer.call;
    const { session, url, call, role } = answer;
    sessionStorage.setItem(STORED, JSON.stringify({ session, url, call, role, invite: this.asked.invite }));
    await connection.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    clearInterval(this.#poll);
    this.#poll = setInterval(() => this.#ask(), POLL_MS);
    return answer;
  }

  #onConnection(connection) {
    if (connection !== this.#connection || this.#isOver) return;
    const { connectionState: state } = connection;
    if (state === "connected") {
      this.wasConnected = true;
      this.#lostMs = 0;
      this.onState("alone");
      this.#ask();
    } else if (state === "failed" || state === "closed") {
      if (this.wasConnected) this.#ask(true);
      else this.#unmade();
    } else if (state === "disconnected") this.onState("lost");
  }

  /** The audio never came to stand. */
  #unmade() {
    this.hangUp();
    this.onFail(new PhoneError("ice"));
  }

  /** How the server sees it. isBroken: the connection is gone, so begin again if the call still stands. */
  async #ask(isBroken = false) {
    let status;
    try {
      status = await getJson(this.url);
    } catch (error) {
      if (error.status === 404) this.#over("ended", { reason: "" });
      return;
    }
    if (this.#isOver) return;
    this.notice = status.notice;
    if (status.state === "ended" && !this.wasConnected && UNMADE.includes(status.reason)) this.#unmade();
    else if (status.state === "ended") this.#over("ended", status);
    else if (isBroken || status.state === "lost") {
      this.onState("lost", status);
      if (performance.now() - this.#lostMs < 3000) return;
      this.#lostMs = performance.now();
      this.open(this.session).catch((error) => {
        if (error instanceof PhoneError && error.key === "taken") this.#over("ended", { reason: "" });
      });
    } else if (status.state === "connected") this.onState(status.others.length ? "together" : "alone", status);
  }

  mute(is) {
    for (const track of this.microphone.getAudioTracks()) track.enabled = !is;
  }

  async setNotice(given) {
    await post(`${this.url}/notice`, { given, basis: "consent" });
    this.notice = given;
  }

  hangUp() {
    if (this.#isOver) return;
    if (this.url) request("DELETE", this.url, undefined, { keepalive: true }).catch(() => {});
    this.#over("ended", { reason: "hangup" });
  }

  #over(state, status) {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#poll);
    sessionStorage.removeItem(STORED);
    this.#connection?.close();
    for (const track of this.microphone.getTracks()) track.stop();
    this.onState(state, status);
  }
}

/** A session that a reload cut off. */
export function storedSession() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED));
  } catch {
    return null;
  }
}

export const forgetSession = () => sessionStorage.removeItem(STORED);

function phoneError({ status, message, retryAfter }) {
  if (status === 401 || status === 403) return new PhoneError("sign_in");
  if (status === 409) return new PhoneError("taken");
  if (status === 429 || status === 503) return new PhoneError("full", { seconds: retryAfter ?? 10 });
  return new PhoneError(null, { why: message });
}

/** STUN and TURN servers, where the server has any; it is asked each time, for their passwords pass. */
function iceServers(invite) {
  const query = invite ? `?invite=${encodeURIComponent(invite)}` : "";
  return getJson(`/v1/softphone/ice${query}`).catch(() => ({ iceServers: [] }));
}

/** All candidates are in the offer; where one network is slow to answer, those that are there have to do. */
function gathered(connection) {
  return new Promise((done) => {
    if (connection.iceGatheringState === "complete") done();
    connection.addEventListener("icegatheringstatechange", () => connection.iceGatheringState === "complete" && done());
    setTimeout(done, GATHER_MS);
  });
}
