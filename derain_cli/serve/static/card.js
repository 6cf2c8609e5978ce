// One photo or clip: pictures, progress, settings and actions.

import { Compare } from "./compare.js";
import { bytes, clock, icon, left, make } from "./dom.js";

const APPLY_AFTER = 500; // milliseconds without a move of the strength slider
const WORKING = ["waiting", "preparing", "restoring"];

export class Card {
  // `page`: session, models, settings (to begin with), clipModel (to begin with), changed(card, text), removed(card), enlarge(card), ask(promise)
  constructor(file, page) {
    Object.assign(this, { file, page, view: null, share: 0, problem: null, moment: 0, saved: false });
    this.wanted = { ...page.settings };
    if (this.clip) this.wanted.model = page.clipModel;
    this.build();
    this.draw();
  }

  get name() { return this.view?.name ?? this.file.name; }
  get clip() { return this.view ? this.view.kind === "clip" : this.file.type.startsWith("video/"); }
  get active() { return !this.problem && (!this.view || WORKING.includes(this.view.status)); }
  get done() { return this.view?.status === "done"; }
  get failed() { return Boolean(this.problem) || this.view?.status === "failed"; }
  // Whether trying again can succeed: invalid files are refused every time.
  get hopeful() { return this.problem ? ![400, 413, 415, 422].includes(this.problem.status) : this.failed; }
  // Whether the result has the requested settings.
  get current() { return same(this.view?.result, this.wanted); }

  build() {
    this.compare = new Compare(this.name);
    this.placeholder = icon(this.clip ? "clip" : "photo");
    this.video = make("video", { controls: true, playsInline: true, hidden: true, preload: "none" });
    this.play = make("button", { type: "button", hidden: true, onclick: () => this.toggleVideo() }, icon("play"), "Play result");
    this.large = make("button", { type: "button", hidden: true, "aria-label": `Enlarge ${this.name}`, onclick: () => this.page.enlarge(this) }, icon("large"));
    this.stage = make("figure", { className: "stage" }, this.placeholder, this.video,
      make("div", { className: "stage-tools" }, this.play, this.large));

    this.title = make("h2", { textContent: this.name, title: this.name });
    this.meta = make("p", { className: "meta" });
    const close = make("button", { type: "button", className: "round", "aria-label": `Remove ${this.name}`, onclick: () => this.page.removed(this) }, icon("close"));

    this.says = make("span");
    this.says2 = make("span");
    this.meter = make("progress", { max: 1, "aria-label": `Progress of ${this.name}` });
    this.progress = make("div", { className: "progress" }, make("div", {}, this.says, this.says2), this.meter);

    this.reason = make("strong");
    this.hint = make("span");
    this.trouble = make("div", { className: "problem", role: "alert" }, icon("warn"), make("p", {}, this.reason, this.hint));

    this.moments = make("div", { className: "moments", role: "group", "aria-label": "Moments of the clip" });
    this.slider = make("input", { type: "range", min: 0, max: 100, step: 5, value: this.wanted.strength * 100,
      "aria-label": `Strength for ${this.name}`, oninput: () => this.slide() });
    this.percent = make("output");
    this.choice = make("select", { onchange: () => this.choose(), "aria-label": `Model for ${this.name}` });
    this.model = make("label", { className: "field" }, make("span", { textContent: "Model" }), this.choice);
    this.controls = make("div", { className: "controls" },
      make("label", { className: "field" }, make("span", { textContent: "Strength" }), this.slider, this.percent), this.model);

    this.download = make("a", { className: "button", onclick: () => this.save() });
    this.again = make("button", { type: "button", className: "quiet", onclick: () => this.retry() }, icon("again"), make("span"));
    this.notes = make("ul", { className: "notes", "aria-label": "Notes" });
    this.foot = make("div", { className: "foot" }, this.download, this.again);
    this.element = make("article", { className: "card", "aria-label": this.name }, this.stage,
      make("div", { className: "body" }, make("div", { className: "head" }, make("div", {}, this.title, this.meta), close),
        this.progress, this.trouble, this.moments, this.controls, this.foot, this.notes));
  }

  // --- state ----------------------------------------------------------------------------------------

  async send() {
    this.problem = null;
    this.share = 0;
    this.draw();
    this.upload = this.page.session.upload(this.file, this.wanted, (share) => { this.share = share; this.draw(); });
    try {
      this.update(await this.upload.sent);
    } catch (problem) {
      this.problem = problem;
      this.draw();
      this.page.changed(this, `${this.name}: ${problem.reason}`);
    }
  }

  refuse(reason, hint) {
    this.problem = { status: 413, reason, hint };
    this.draw();
  }

  update(view) {
    const before = this.view?.status;
    this.view = view;
    if (before && before !== view.status) {
      if (view.status === "done") this.page.changed(this, `${this.name} is done`);
      if (view.status === "failed") this.page.changed(this, `${this.name}: ${view.problem.reason}`);
    }
    this.draw();
  }

  // --- actions -----------------------------------------------------------------------------------

  slide() {
    this.wanted.strength = Number(this.slider.value) / 100;
    this.draw();
    clearTimeout(this.timer);
    if (!this.view || this.clip && this.view.result) return; // clips take long: only on request
    this.timer = setTimeout(() => this.apply(), APPLY_AFTER);
  }

  choose() {
    this.wanted.model = this.choice.value;
    this.draw();
    if (this.view && !(this.clip && this.view.result)) this.apply();
  }

  async apply() {
    const view = await this.page.ask(this.page.session.change(this.view.number, this.wanted));
    if (view) this.update(view);
    this.page.changed(this, null);
  }

  retry() {
    return this.problem ? this.page.again(this) : this.apply();
  }

  save() {
    this.saved = true;
  }

  toggleVideo() {
    const shown = this.video.hidden;
    if (shown) this.video.src = `${this.page.session.result(this.view.number)}?v=${this.view.after.version}`;
    else this.video.pause();
    this.video.hidden = !shown;
    this.compare.element.hidden = shown;
    this.play.replaceChildren(...(shown ? ["Compare"] : [icon("play"), "Play result"]));
    this.large.hidden = shown;
    if (shown) this.video.play().catch(() => {});
  }

  addresses(index = this.moment) {
    const { session } = this.page;
    const { number, before, after } = this.view;
    return [session.still(number, "before", before, index), after && session.still(number, "after", after.version, index)];
  }

  // Opacity of the picture after over the one before. Stills of photos have full strength and are blended here, as the server
  // does for the file; stills of clips have the strength of the result.
  opacity() {
    const made = this.view?.after?.strength ?? 1;
    return made ? Math.min(1, this.wanted.strength / made) : 1;
  }

  // --- drawing -------------------------------------------------------------------------------------------

  draw() {
    const { view } = this;
    this.title.textContent = this.name;
    this.meta.textContent = this.described();
    this.drawStage();
    this.drawProgress();
    this.drawProblem();
    this.drawMoments();
    this.drawControls();
    this.drawFoot();
    this.notes.hidden = !view?.result?.notes.length || this.failed;
    if (!this.notes.hidden) this.notes.replaceChildren(...view.result.notes.map((note) => make("li", { textContent: note })));
  }

  described() {
    const { view } = this;
    if (!view) return bytes(this.file.size);
    const pixels = `${view.width} × ${view.height}`;
    const length = view.kind === "clip" && view.duration !== null ? time(view.duration) : null;
    return [pixels, CODECS[view.format] ?? view.format.toUpperCase(), length, bytes(view.size)].filter(Boolean).join(" · ");
  }

  drawStage() {
    const { view } = this;
    this.large.hidden = !view?.after || !this.video.hidden;
    this.play.hidden = !(view?.kind === "clip" && view.result && playable(view.result.name));
    if (!view) return;
    if (this.placeholder.isConnected) this.placeholder.replaceWith(this.compare.element);
    this.compare.size(view.width, view.height);
    this.compare.strength(this.opacity());
    this.compare.show(...this.addresses());
  }

  drawProgress() {
    const { view } = this;
    this.progress.hidden = !this.active;
    if (this.progress.hidden) return;
    const [text, more, share] = view ? this.stateWords() : [this.share < 1 ? "Uploading" : "Checking", "", this.share < 1 ? this.share : null];
    this.says.textContent = text;
    this.says2.textContent = more;
    if (share === null) this.meter.removeAttribute("value");
    else this.meter.value = share;
  }

  stateWords() {
    const { status, ahead, pace, frames } = this.view;
    if (status === "waiting") return [ahead ? `Waiting, ${ahead} ahead` : "Next", "", 0];
    if (status === "preparing") return ["Getting ready", "", null];
    const remaining = pace.left === null ? "" : left(pace.left);
    if (this.clip) return [`Frame ${pace.frames ?? 0}${frames ? ` of ${frames}` : ""}`, remaining, frames ? pace.share : null];
    return ["Removing rain", remaining, pace.share];
  }

  drawProblem() {
    const problem = this.problem ?? this.view?.problem;
    this.trouble.hidden = !this.failed;
    if (this.trouble.hidden) return;
    if (this.reason.textContent === problem.reason) return; // avoid repeated announcements
    this.reason.textContent = problem.reason;
    this.hint.textContent = problem.hint ?? "";
  }

  drawMoments() {
    const times = this.view?.moments ?? [];
    this.moments.hidden = !this.clip || times.length < 2 || !this.video.hidden;
    if (this.moments.hidden) return;
    if (this.moments.childElementCount !== times.length) {
      this.moments.replaceChildren(...times.map((at, index) => make("button", { type: "button", textContent: time(at), "aria-label": `At ${time(at)}`,
        onclick: () => { this.moment = index; this.draw(); } })));
    }
    [...this.moments.children].forEach((button, index) => button.setAttribute("aria-pressed", index === this.moment));
  }

  drawControls() {
    const { models } = this.page;
    this.controls.hidden = !this.view;
    this.percent.textContent = `${Math.round(this.wanted.strength * 100)} %`;
    const offered = models.filter((model) => model.photos || this.clip);
    this.model.hidden = offered.length < 2;
    if (this.choice.childElementCount !== offered.length) {
      this.choice.replaceChildren(...offered.map(({ name, summary }) => make("option", { value: name, textContent: summary ? `${name}: ${summary}` : name })));
    }
    this.choice.value = this.wanted.model;
  }

  drawFoot() {
    const { view } = this;
    const redo = this.clip && view?.result && !this.current && !this.active;
    const ready = Boolean(view?.result) && this.current && !this.failed;
    this.foot.hidden = this.problem ? !this.hopeful : !view;
    this.download.hidden = this.failed || redo;
    this.download.setAttribute("aria-disabled", !ready);
    if (ready) {
      this.download.href = this.page.session.result(view.number);
      this.download.download = view.result.name;
    } else {
      this.download.removeAttribute("href");
    }
    const waits = view?.result ? `Applying ${this.percent.textContent}` : "Download";
    const key = ready ? `ready ${view.result.size}` : waits;
    if (this.download.key !== key) {
      this.download.key = key;
      this.download.replaceChildren(...(ready ? [icon("down"), `Download, ${bytes(view.result.size)}`] : [waits]));
    }
    this.again.hidden = !this.hopeful && !redo;
    this.again.lastChild.textContent = redo ? `Process again at ${this.percent.textContent}` : "Try again";
  }
}

const same = (one, other) => Boolean(one) && one.model === other.model && Math.abs(one.strength - other.strength) < 1e-6;

const CODECS = { h264: "H.264", hevc: "H.265", prores: "ProRes", mpeg4: "MPEG-4", mjpeg: "Motion JPEG" };
const time = (seconds) => (seconds < 10 ? `${seconds.toFixed(seconds < 2 ? 2 : 1)} s` : clock(seconds));

const TYPES = { mp4: "video/mp4", m4v: "video/mp4", mov: "video/quicktime", webm: "video/webm", mkv: "video/x-matroska", ogv: "video/ogg" };
const playable = (name) => Boolean(document.createElement("video").canPlayType(TYPES[name.split(".").pop().toLowerCase()] ?? ""));
