// Elements without a framework: h("p", {class: "note"}, "text"), s("circle", {r: 4}).

const SVG = "http://www.w3.org/2000/svg";

export const h = (name, given, ...children) => fill(document.createElement(name), given, children);
export const s = (name, given, ...children) => fill(document.createElementNS(SVG, name), given, children);

function fill(element, given, children) {
  for (const [key, value] of Object.entries(given ?? {})) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// What is the same is not written again: screen readers would say it again, and the browser lay it out again.

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function put(element, key, value) {
  if (value === null || value === false) element.removeAttribute(key);
  else if (element.getAttribute(key) !== String(value)) element.setAttribute(key, value);
}

export function show(element, is) {
  if (element.hidden === is) element.hidden = !is;
}
