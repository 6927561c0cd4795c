// Texts in German or English from the server's one catalogue, and how numbers and times are written.

import { asked, getJson } from "./api.js";

let texts = {};
let language = "en";
let loading = null;

const LANGUAGES = ["de", "en"];

/** ?lang= before the element's lang before what the browser asks for. */
function chosen(wanted) {
  const all = [asked("lang"), wanted, ...navigator.languages].filter(Boolean).map((one) => one.slice(0, 2).toLowerCase());
  return all.find((one) => LANGUAGES.includes(one)) ?? "en";
}

export function loadTexts(wanted) {
  loading ??= (async () => {
    language = chosen(wanted);
    texts = await getJson(`/v1/texts/${language}`);
    return language;
  })();
  return loading;
}

export const currentLanguage = () => language;

export function t(key, values = {}) {
  const text = texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export const has = (key) => key in texts;

const formats = new Map();

export function number(value, decimals = 1) {
  if (value === null || value === undefined || !Number.isFinite(value)) return t("format.none");
  const key = `${language}${decimals}`;
  const options = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(language, options));
  const rounded = Number(value.toFixed(decimals)) + 0; // no minus before a zero
  return formats.get(key).format(rounded).replace("-", "\u2212");
}

export const signed = (value, decimals = 1) => (Number(value.toFixed(decimals)) > 0 ? "+" : "") + number(value, decimals);
export const quantity = (value, unit, decimals = 1) => `${number(value, decimals)}\u00a0${t(`unit.${unit}`)}`;
export const perCent = (share) => t("format.per_cent", { value: number(share * 100, 0) }).replace(" ", "\u00a0");

/** Seconds as m:ss. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** The time of day. */
export const timeOfDay = (ms) =>
  new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" }).format(new Date(ms));

const UNITS = [["_syll_s", "syll_s", 1], ["_dbov", "dbov", 0], ["_db", "db", 0], ["_hz", "hz", 0], ["_s", "s", 1]];

/** A cue's evidence in words: «customer's stress (0–1) 0.62». */
export function evidence(name, value) {
  const [, unit, decimals] = UNITS.find(([ending]) => name.endsWith(ending)) ?? [];
  return `${measure(name)} ${unit ? quantity(value, unit, decimals) : number(value, 2)}`;
}

export function measure(name) {
  const bare = name.replace(/^customer_/, "");
  const keys = [`evidence.live.${name}`, `evidence.customer.${bare}`, `evidence.${name}`, `evidence.${bare}`];
  const key = keys.find(has);
  return key ? t(key) : name.replaceAll("_", " ");
}
