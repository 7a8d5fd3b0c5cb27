// Explorer of a timeline or of worker lanes: shows the parts of a connection's time, and zooms into a time span or into
// some rows. The lab renders every viewport.

import { count } from "../lib/format.js";
import { HoverPanel } from "./hover_panel.js";

const MIN_SPAN_S = 2e-4; // twice the minimum span of the lab
const ZOOM_FACTOR = 2;
const PAN_SHARE = 0.25; // of the current span
const MIN_ROWS = 4;
const KEYS = { "+": "in", "=": "in", "-": "out", "−": "out", 0: "whole", "]": "fewer", "[": "more" };

class Explorer {
  /** `root` is an element with `data-explore` that contains the drawing. */
  constructor(root) {
    this.view = {}; // the viewport as a query; empty: the whole run
    this.found = null; // the lab's answer for the viewport; null before the first zoom or pointer event
    this.control = null;
    this.loading = null;
    this.root = root;
    this.figure = root.querySelector("[data-drawing]");
    root.classList.add("explore--ready");
    for (const part of root.querySelectorAll("[data-explore-tools], [data-explore-hint]")) part.hidden = false;
    this.figure.setAttribute("role", "application");
    this.figure.setAttribute("aria-describedby", root.querySelector("[data-explore-hint]").id);
    this.panel = new HoverPanel(this);
    root.querySelector("[data-explore-tools]").addEventListener("click", (event) => {
      const button = event.target.closest("[data-zoom]");
      if (button) this.zoom(button.dataset.zoom);
    });
    this.figure.addEventListener("keydown", (event) => this.#key(event));
    this.figure.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    root.addEventListener("fresh", (event) => {
      event.preventDefault();
      this.#replace(event.detail);
    });
    this.#settle();
  }

  /** Whether there is a zoom, a selected connection or a drag, which a new drawing of the whole run would discard. */
  get isExplored() {
    return this.panel.isChoosing || this.panel.isOpen || Object.keys(this.view).length > 0;
  }

  /** Use the drawing and the URLs of `fresh`, a newer version of this element. */
  #replace(fresh) {
    Object.assign(this.root.dataset, fresh.dataset);
    if (this.isExplored) {
      this.refresh();
    } else {
      this.found = null;
      this.#draw(fresh);
    }
  }

  /** Load the current viewport again, except during a drag. */
  refresh() {
    if (!this.panel.isChoosing) this.load();
  }

  /** Fetch the current viewport; resolves when it is drawn. A later call cancels an earlier one. */
  load() {
    this.control?.abort();
    this.control = new AbortController();
    this.loading = this.#load(this.control);
    return this.loading;
  }

  async #load(control) {
    const address = `${this.root.dataset.picture}?${new URLSearchParams(this.view)}`;
    this.root.classList.add("explore--busy");
    try {
      const answer = await fetch(address, { signal: control.signal, cache: "no-store" });
      if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
      this.found = await answer.json();
      if (!this.panel.isChoosing) this.#draw(new DOMParser().parseFromString(this.found.drawing, "text/html"));
      this.panel.refresh();
    } catch (error) {
      if (control.signal.aborted) return;
      this.found = null; // the page shows a notice while the lab is unreachable
    }
    this.root.classList.remove("explore--busy");
  }

  /** Return the lab's answer for the current viewport, fetched if necessary; null if that has failed. */
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
    else if (how === "in") this.#time(now, 1 / ZOOM_FACTOR, at);
    else if (how === "out") this.#time(now, ZOOM_FACTOR, at);
    else this.#rows(now, how === "fewer" ? 1 / ZOOM_FACTOR : ZOOM_FACTOR);
    await this.#go();
  }

  /** Show this time span and these rows; null keeps the current one. */
  async select(span, band) {
    if (span) {
      const spare = Math.max(0, MIN_SPAN_S - (span[1] - span[0])) / 2;
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

  /** Load a viewport chosen by the user and announce it. Updates of a live run are not announced. */
  async #go() {
    await this.load();
    if (this.found) this.root.querySelector("[data-explore-said]").textContent = extent(this.found);
  }

  #time(now, factor, at) {
    const length = now.to_s - now.from_s;
    const longer = Math.max(length * factor, MIN_SPAN_S);
    if (longer >= now.whole_s) {
      delete this.view.from_s;
      delete this.view.to_s;
      return;
    }
    const from = Math.min(Math.max(now.from_s + at * (length - longer), 0), now.whole_s - longer);
    this.#span(from, from + longer);
  }

  #span(from, to) {
    Object.assign(this.view, { from_s: Math.max(from, 0).toFixed(6), to_s: Math.max(to, MIN_SPAN_S).toFixed(6) });
  }

  #rows(now, factor) {
    const rows = Math.max(Math.round(now.rows * factor), MIN_ROWS);
    if (rows >= now.total) {
      delete this.view.first;
      delete this.view.rows;
      return;
    }
    const middle = this.panel.place ?? now.first + now.rows / 2;
    const first = Math.min(Math.max(Math.round(middle - rows / 2), 0), now.total - rows);
    Object.assign(this.view, { first, rows });
  }

  #draw(markup) {
    const drawing = markup.querySelector(".timeline-set");
    if (!drawing) return;
    this.figure.replaceChildren(document.importNode(drawing, true));
    this.#settle();
  }

  /** Replace titles by accessible names, because the browser would show titles as tooltips over the panel. */
  #settle() {
    for (const svg of this.figure.querySelectorAll("svg")) {
      svg.setAttribute("aria-label", svg.querySelector(":scope > title")?.textContent ?? "");
      for (const title of svg.querySelectorAll("title")) title.remove();
    }
    if (this.found) this.#showExtent(this.found);
  }

  /** Show the extent of the viewport, and disable the buttons that have reached their limit. */
  #showExtent(found) {
    this.root.querySelector("[data-explore-shown]").textContent = extent(found);
    const isWhole = found.from_s === 0 && found.to_s >= found.whole_s;
    const ends = {
      in: found.to_s - found.from_s <= MIN_SPAN_S,
      out: isWhole,
      fewer: found.rows <= MIN_ROWS,
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
    if (how) this.zoom(how, this.panel.at);
    else if (event.key === "ArrowLeft") this.pan(-PAN_SHARE);
    else if (event.key === "ArrowRight") this.pan(PAN_SHARE);
    else if (!this.panel.key(event.key)) return;
    event.preventDefault();
  }

  /** Zoom with Ctrl and the wheel; the wheel alone scrolls the page. */
  #wheel(event) {
    if (!event.ctrlKey || !event.deltaY) return;
    event.preventDefault();
    if (!this.isLoading) this.zoom(event.deltaY < 0 ? "in" : "out", this.panel.share(event));
  }
}

function extent(found) {
  const what = (found.of === "lanes" ? "lane" : "row") + (found.total === 1 ? "" : "s");
  const [from, to, total] = [found.first + 1, found.first + found.rows, found.total].map(count);
  const band = found.rows < found.total ? `${what} ${from} to ${to} of ${total}` : `${total} ${what}`;
  const places = Math.min(Math.max(2 - Math.floor(Math.log10(found.to_s - found.from_s)), 0), 6);
  return `${found.from_s.toFixed(places)} to ${found.to_s.toFixed(places)} s, ${band}`;
}

const explorers = new WeakMap(); // by element with `data-explore`

function findDrawings() {
  for (const root of document.querySelectorAll("[data-explore]")) {
    if (!explorers.has(root)) explorers.set(root, new Explorer(root));
  }
}

document.addEventListener("refreshed", findDrawings);
document.addEventListener("stale", (event) => {
  const explorer = explorers.get(event.target.querySelector(":scope > [data-explore]"));
  if (!explorer?.isExplored) return;
  event.preventDefault(); // the explorer fetches its own viewport
  explorer.refresh();
});
findDrawings();
