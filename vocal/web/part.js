// What every custom element of ours begins with.

import { loadTexts } from "./texts.js";

let sheet = null;

/** The one style sheet, for shadow roots; `document` has it by its <link>. */
export function styles() {
  sheet ??= fetch(new URL("style.css", import.meta.url))
    .then((answer) => answer.text())
    .then((text) => new CSSStyleSheet().replace(text));
  return sheet;
}

/** A custom element in a shadow of its own, so that no page around it reaches in. `build` runs once texts are there. */
export class Part extends HTMLElement {
  connectedCallback() {
    this.isHere = true;
    if (this.shadowRoot) {
      this.resume?.();
      return;
    }
    const root = this.attachShadow({ mode: "open" });
    this.ready = (async () => {
      const [sheet, language] = await Promise.all([styles(), loadTexts(this.getAttribute("lang"))]);
      root.adoptedStyleSheets = [sheet];
      this.lang = language;
      await this.build(root);
      this.dataset.ready = "";
    })();
    this.ready.catch((error) => {
      root.textContent = `Vocal: ${error.message}`;
    });
  }

  disconnectedCallback() {
    this.isHere = false;
    this.pause?.();
  }
}
