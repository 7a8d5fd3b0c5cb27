// A picture of a run that can be explored: which connection is under the pointer or the keyboard and where its time
// went, and parts of the time or of the rows, enlarged. The lab draws every part; this asks for it and reads in it.

import { count } from "./figures.js";
import { HoverPanel } from "./timeline_look.js";

const SHORTEST_S = 2e-4; // of a view; the lab draws no shorter span than half of it
const STEP = 2; // a zoom's factor
const PAN = 0.25; // of what is shown
const FEWEST = 4; // rows
const KEYS = { "+": "in", "=": "in", "-": "out", "−": "out", 0: "whole", "]": "fewer", "[": "more" };

export class Picture {
  /** `root` is the element marked `data-explore`; its drawing is in the page already. */
  constructor(root) {
    this.view = {}; // what is not given is whole
    this.found = null; // the lab's answer, once somebody wants to know more than the drawing
    this.control = null;
    this.loading = null;
    this.mount(root);
  }

  /** Live in `root` from now on, an element of a page that was taken anew; the view stays. */
  mount(root) {
    this.root = root;
    this.figure = root.querySelector("[data-drawing]");
    this.found = null;
    root.classList.add("explore--ready");
    for (const part of root.querySelectorAll("[data-explore-tools], [data-explore-hint]")) part.hidden = false;
    this.figure.setAttribute("role", "application");
    this.figure.setAttribute("aria-describedby", root.querySelector("[data-explore-hint]").id);
    this.looker = new HoverPanel(this);
    root.querySelector("[data-explore-tools]").addEventListener("click", (event) => {
      const button = event.target.closest("[data-zoom]");
      if (button) this.zoom(button.dataset.zoom);
    });
    this.figure.addEventListener("keydown", (event) => this.#key(event));
    this.figure.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.#settle();
    if (Object.keys(this.view).length) this.load();
  }

  /** A new drawing of the whole run came, as markup. */
  drawn(markup) {
    if (this.looker.isChoosing) return;
    if (Object.keys(this.view).length || this.looker.isLooking) {
      this.load();
    } else {
      this.found = null;
      this.#draw(markup);
    }
  }

  /** Ask the lab for the view as it is now; resolves when it is drawn. Only the last one asked for is. */
  load() {
    this.control?.abort();
    this.control = new AbortController();
    this.loading = this.#load(this.control);
    return this.loading;
  }

  async #load(control) {
    const address = `${this.root.dataset.explore}?${new URLSearchParams(this.view)}`;
    this.root.classList.add("explore--busy");
    try {
      const answer = await fetch(address, { signal: control.signal, cache: "no-store" });
      if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
      this.found = await answer.json();
      if (!this.looker.isChoosing) this.#draw(this.found.drawing);
      this.looker.refresh();
    } catch (error) {
      if (control.signal.aborted) return;
      this.found = null; // the stream says when the lab is away; a look asks again
    }
    this.root.classList.remove("explore--busy");
  }

  /** The lab's answer for what is shown, asked for where that was not done yet. */
  async details() {
    if (!this.found) await (this.isLoading ? this.loading : this.load());
    return this.found;
  }

  get isLoading() {
    return this.root.classList.contains("explore--busy");
  }

  async zoom(how, at = 0.5) {
    const now = await this.details();
    if (!now) return;
    if (how === "whole") this.view = {};
    else if (how === "in") this.#time(now, 1 / STEP, at);
    else if (how === "out") this.#time(now, STEP, at);
    else this.#rows(now, how === "fewer" ? 1 / STEP : STEP);
    await this.#go();
  }

  /** Show this span of time and these rows; either may be null, which leaves it as it is. */
  async select(span, band) {
    if (span) {
      const spare = Math.max(0, SHORTEST_S - (span[1] - span[0])) / 2;
      this.#span(span[0] - spare, span[1] + spare);
    }
    if (band) Object.assign(this.view, { first: band[0], rows: band[1] - band[0] + 1 });
    await this.#go();
  }

  async pan(share) {
    const now = await this.details();
    if (!now || !("from_s" in this.view)) return;
    const length = now.to_s - now.from_s;
    const from = Math.min(Math.max(now.from_s + share * length, 0), Math.max(now.whole_s - length, 0));
    this.#span(from, from + length);
    await this.#go();
  }

  /** Show the view that somebody asked for, and say so; what changes by itself is not read out. */
  async #go() {
    await this.load();
    if (this.found) this.root.querySelector("[data-explore-said]").textContent = shown(this.found);
  }

  #time(now, factor, at) {
    const length = now.to_s - now.from_s;
    const longer = Math.max(length * factor, SHORTEST_S);
    if (longer >= now.whole_s) {
      delete this.view.from_s;
      delete this.view.to_s;
      return;
    }
    const from = Math.min(Math.max(now.from_s + at * (length - longer), 0), now.whole_s - longer);
    this.#span(from, from + longer);
  }

  #span(from, to) {
    Object.assign(this.view, { from_s: Math.max(from, 0).toFixed(6), to_s: Math.max(to, SHORTEST_S).toFixed(6) });
  }

  #rows(now, factor) {
    const rows = Math.max(Math.round(now.rows * factor), FEWEST);
    if (rows >= now.total) {
      delete this.view.first;
      delete this.view.rows;
      return;
    }
    const middle = this.looker.place ?? now.first + now.rows / 2;
    const first = Math.min(Math.max(Math.round(middle - rows / 2), 0), now.total - rows);
    Object.assign(this.view, { first, rows });
  }

  #draw(markup) {
    const drawing = new DOMParser().parseFromString(markup, "text/html").querySelector(".timeline-set");
    if (!drawing) return;
    this.figure.replaceChildren(document.importNode(drawing, true));
    this.#settle();
  }

  /** The browser's own tooltips would come on top of ours; the drawing keeps its name. */
  #settle() {
    for (const svg of this.figure.querySelectorAll("svg")) {
      svg.setAttribute("aria-label", svg.querySelector(":scope > title")?.textContent ?? "");
      for (const title of svg.querySelectorAll("title")) title.remove();
    }
    if (this.found) this.#tell(this.found);
  }

  /** What is shown, and which ways lead on from there. */
  #tell(found) {
    this.root.querySelector("[data-explore-shown]").textContent = shown(found);
    const isWhole = found.from_s === 0 && found.to_s >= found.whole_s;
    const ends = {
      in: found.to_s - found.from_s <= SHORTEST_S,
      out: isWhole,
      fewer: found.rows <= FEWEST,
      more: found.rows >= found.total,
      whole: isWhole && found.rows >= found.total,
    };
    for (const [how, isOver] of Object.entries(ends)) {
      this.root.querySelector(`[data-zoom=${how}]`).setAttribute("aria-disabled", isOver);
    }
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const how = KEYS[event.key];
    if (how) this.zoom(how, this.looker.at);
    else if (event.key === "ArrowLeft") this.pan(-PAN);
    else if (event.key === "ArrowRight") this.pan(PAN);
    else if (!this.looker.key(event.key)) return;
    event.preventDefault();
  }

  /** With Ctrl alone: the wheel by itself belongs to the page. */
  #wheel(event) {
    if (!event.ctrlKey || !event.deltaY) return;
    event.preventDefault();
    if (!this.isLoading) this.zoom(event.deltaY < 0 ? "in" : "out", this.looker.share(event));
  }
}

function shown(found) {
  const what = (found.of === "lanes" ? "lane" : "row") + (found.total === 1 ? "" : "s");
  const [from, to, total] = [found.first + 1, found.first + found.rows, found.total].map(count);
  const band = found.rows < found.total ? `${what} ${from} to ${to} of ${total}` : `${total} ${what}`;
  const places = Math.min(Math.max(2 - Math.floor(Math.log10(found.to_s - found.from_s)), 0), 6);
  return `${found.from_s.toFixed(places)} to ${found.to_s.toFixed(places)} s, ${band}`;
}

/** Every picture of the page that can be explored, by its address. */
export const pictures = new Map();

/** Find the pictures of the page as it is now; those that were there before go on in the new elements. */
export function explore() {
  for (const root of document.querySelectorAll("[data-explore]")) {
    const known = pictures.get(root.dataset.explore);
    if (!known) pictures.set(root.dataset.explore, new Picture(root));
    else if (known.root !== root) known.mount(root);
  }
}

explore();
