// The page: every file becomes a card; the server is polled for progress.

import { Session, about } from "./api.js";
import { Card } from "./card.js";
import { Compare } from "./compare.js";
import { icon, make } from "./dom.js";

const OFTEN = 500, SELDOM = 15000; // polling intervals, milliseconds
const AT_A_TIME = 2; // simultaneous uploads

const byId = (id) => document.getElementById(id);
const [drop, files, cards, bar, summary, banner, large] = ["drop", "files", "cards", "bar", "summary", "banner", "large"].map(byId);

class Page {
  constructor() {
    Object.assign(this, { cards: [], waiting: [], sending: 0, models: [], settings: null, session: null, timer: 0 });
  }

  async start() {
    const facts = await this.ask(about());
    if (!facts) return;
    this.facts = facts;
    this.models = facts.models;
    this.settings = { model: facts.model, strength: facts.strength };
    this.clipModel = facts.clip_model;
    this.session = await this.ask(Session.open());
    tellFacts(facts);
    this.poll();
  }

  // --- called by cards ----------------------------------------------------------------------------------------------

  changed(card, text) {
    this.told = text ?? this.told;
    this.draw();
    this.poll();
  }

  async removed(card) {
    this.cards = this.cards.filter((each) => each !== card);
    this.waiting = this.waiting.filter((each) => each !== card);
    card.element.remove();
    this.draw();
    if (card.view) await this.ask(this.session.remove(card.view.number));
    else {
      card.upload?.stop();
      const view = await card.upload?.sent.catch(() => null); // it had been received already
      if (view) await this.ask(this.session.remove(view.number));
    }
  }

  again(card) {
    this.waiting.push(card);
    this.next();
  }

  enlarge(card) {
    const compare = new Compare(card.name);
    compare.size(card.view.width, card.view.height);
    compare.strength(card.opacity());
    compare.place(card.compare.at);
    compare.show(...card.addresses());
    const close = make("button", { type: "button", "aria-label": "Close", onclick: () => large.close() }, icon("close"));
    large.replaceChildren(compare.element, make("div", { className: "stage-tools" }, close));
    large.showModal();
    compare.range.focus();
  }

  async ask(promise) {
    try {
      const answer = await promise;
      banner.hidden = true;
      return answer;
    } catch (problem) {
      if (problem.status === undefined) throw problem;
      banner.textContent = `${capital(problem.reason)}${problem.hint ? `: ${problem.hint}` : ""}.`;
      banner.hidden = false;
      return null;
    }
  }

  // --- uploads ------------------------------------------------------------------------------------------

  add(list) {
    for (const file of list) {
      const card = new Card(file, this);
      this.cards.push(card);
      this.waiting.push(card);
      cards.append(card.element);
    }
    this.draw();
    this.next();
  }

  next() {
    while (this.session && this.sending < AT_A_TIME && this.waiting.length) {
      this.sending += 1;
      const card = this.waiting.shift();
      const send = card.file.size > this.facts.max_upload
        ? card.refuse("too large", `the limit is ${Math.round(this.facts.max_upload / 2 ** 20)} MB`)
        : card.send();
      Promise.resolve(send).finally(() => {
        this.sending -= 1;
        this.draw();
        this.next();
        this.poll();
      });
    }
  }

  // --- progress ---------------------------------------------------------------------------------------

  async poll() {
    clearTimeout(this.timer);
    if (!this.session || this.asking) return;
    this.asking = true;
    const views = await this.ask(this.session.files());
    this.asking = false;
    for (const view of views ?? []) {
      const card = this.cards.find((each) => each.view?.number === view.number);
      if (card) card.update(view);
      else if (!this.sending) this.ask(this.session.remove(view.number)); // its upload was cancelled too late
    }
    this.draw();
    const busy = this.cards.some((card) => card.view && card.active);
    this.timer = setTimeout(() => this.poll(), busy && views ? OFTEN : SELDOM);
  }

  draw() {
    const { length } = this.cards;
    const done = this.cards.filter((card) => card.done && card.current);
    const failed = this.cards.filter((card) => card.failed).length;
    document.body.classList.toggle("busy", length > 0);
    byId("invites").textContent = length ? "Drop more here" : "Drop photos or a clip here";
    cards.classList.toggle("one", length === 1);
    bar.hidden = length < 2;
    const text = `${done.length} of ${length} done${failed ? `, ${failed} failed` : ""}`;
    if (summary.textContent !== text) summary.textContent = text;
    byId("download-all").setAttribute("aria-disabled", done.length === 0);
    if (this.session) byId("download-all").href = this.session.all();
    document.title = length && done.length < length - failed ? `(${done.length}/${length}) derain` : "derain";
    if (byId("told").textContent !== (this.told ?? "")) byId("told").textContent = this.told ?? "";
  }
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function tellFacts({ version, models, model, keep, max_upload }) {
  const here = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  const where = here ? "this computer" : location.hostname;
  byId("where").textContent = `On ${where}`;
  byId("kept").textContent = `Your files are processed on ${where} and not sent anywhere else. They are deleted when you close this page, `
    + `after ${Math.round(keep / 60)} minutes of inactivity, and when the program ends.`;
  const { licence, name } = models.find((each) => each.name === model);
  byId("licence").textContent = licence ? `Licence of the weights “${name}”: ${licence.replace(/[.\s]*$/, "")}.` : "";
  byId("version").textContent = `derain ${version}`;
  const most = max_upload >= 2 ** 30 ? `${Math.round(max_upload / 2 ** 30)} GB` : `${Math.round(max_upload / 2 ** 20)} MB`;
  byId("accepts").textContent += `, up to ${most} each`;
}

// --- dropping, pasting, choosing ----------------------------------------------------------------------------------

const page = new Page();

files.addEventListener("change", () => {
  page.add([...files.files]);
  files.value = "";
});

let over = 0;
const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragenter", (event) => { if (hasFiles(event)) { over += 1; drop.classList.add("over"); } });
addEventListener("dragleave", (event) => { if (hasFiles(event) && --over <= 0) calm(); });
addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
addEventListener("drop", async (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  calm();
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  page.add(entries.length ? (await Promise.all(entries.map(filesIn))).flat() : [...event.dataTransfer.files]);
});
addEventListener("paste", (event) => page.add([...(event.clipboardData?.files ?? [])]));

function calm() {
  over = 0;
  drop.classList.remove("over");
}

async function filesIn(entry) {
  if (entry.isFile) return new Promise((resolve) => entry.file((file) => resolve([file]), () => resolve([])));
  const reader = entry.createReader(), found = [];
  for (;;) {
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!some.length) break;
    found.push(...some.filter((each) => !each.name.startsWith(".")));
  }
  return (await Promise.all(found.map(filesIn))).flat();
}

byId("remove-all").addEventListener("click", () => page.cards.slice().forEach((card) => page.removed(card)));
byId("download-all").addEventListener("click", () => page.cards.forEach((card) => card.save()));
large.addEventListener("click", (event) => { if (event.target === large) large.close(); });
large.addEventListener("close", () => large.replaceChildren());

// --- leaving ------------------------------------------------------------------------------------------------------

addEventListener("beforeunload", (event) => {
  if (page.cards.some((card) => card.active || (card.done && !card.saved))) event.preventDefault();
});
addEventListener("pagehide", () => page.session?.close());
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) page.poll(); });

page.start();
