// Before and after, stacked. A transparent range input on top provides keyboard, touch and screen reader support.

import { make } from "./dom.js";

const NUDGE = 2;

export class Compare {
  constructor(name) {
    this.before = make("img", { alt: `${name}, before`, className: "before", draggable: false });
    this.after = make("img", { alt: `${name}, after`, className: "after", draggable: false, hidden: true });
    this.range = make("input", {
      type: "range", min: 0, max: 100, step: "any", value: 50,
      "aria-label": `Position of the divider between before and after of ${name}`,
      oninput: () => this.place(Number(this.range.value)),
      onkeydown: (event) => this.key(event),
    });
    this.element = make("div", { className: "compare" }, this.before, this.after,
      make("span", { className: "tag left", textContent: "Before", "aria-hidden": "true" }),
      make("span", { className: "tag right", textContent: "After", "aria-hidden": "true" }),
      make("div", { className: "handle" }), this.range);
    this.place(50);
  }

  size(width, height) {
    this.element.style.setProperty("--ratio", width / height);
  }

  // Both pictures change together once they are loaded, without flicker.
  async show(before, after) {
    const key = `${before} ${after}`;
    if (key === this.shown) return;
    this.shown = key;
    await Promise.all([before, after].filter(Boolean).map(loaded));
    if (key !== this.shown) return;
    this.before.src = before;
    if (after) this.after.src = after;
    this.after.hidden = !after;
    this.element.classList.toggle("both", Boolean(after));
  }

  strength(share) {
    this.element.style.setProperty("--strength", share);
  }

  place(percent) {
    this.at = percent;
    this.range.value = percent;
    this.element.style.setProperty("--at", `${percent}%`);
    this.element.classList.toggle("far-left", percent < 15);
    this.element.classList.toggle("far-right", percent > 85);
    this.range.setAttribute("aria-valuetext", `${Math.round(percent)} % before, the rest after`);
  }

  key(event) {
    const steps = { ArrowLeft: -NUDGE, ArrowDown: -NUDGE, ArrowRight: NUDGE, ArrowUp: NUDGE, PageDown: -10, PageUp: 10 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    this.place(Math.min(100, Math.max(0, this.at + steps[event.key])));
  }
}

function loaded(address) {
  const picture = new Image();
  picture.src = address;
  return picture.decode().catch(() => {});
}
