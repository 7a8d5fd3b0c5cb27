// Panel with the parts of one connection's time. The connection is selected by pointer, touch or keyboard. Dragging
// with a mouse or pen selects a time span or rows to zoom into; touch scrolls the page.

import { ms, seconds } from "../lib/format.js";

const MAX_DISTANCE = 6; // pixels from the pointer to the mark that it selects
const MIN_DRAG = 5; // pixels; a shorter movement is a click
const SVG = "http://www.w3.org/2000/svg";
const MOVES = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

export class HoverPanel {
  constructor(explorer) {
    this.explorer = explorer;
    this.connection = null; // the selected one, as an object with the columns of the lab's answer
    this.press = null;
    this.isOver = false;
    this.panel = explorer.root.querySelector("[data-explore-parts]");
    this.said = explorer.root.querySelector("[data-explore-said]");
    this.labels = JSON.parse(explorer.root.dataset.parts); // by part of a connection's time
    const figure = explorer.figure;
    figure.addEventListener("pointermove", (event) => this.#moved(event));
    figure.addEventListener("pointerdown", (event) => this.#pressed(event));
    figure.addEventListener("pointerup", (event) => this.#released(event));
    figure.addEventListener("pointercancel", () => this.#drop());
    figure.addEventListener("pointerleave", (event) => this.#left(event));
    figure.addEventListener("blur", () => this.leave());
  }

  get isOpen() {
    return this.connection !== null;
  }

  /** Whether a drag is in progress. */
  get isChoosing() {
    return this.press !== null;
  }

  /** Index of the row or lane of the selected connection, if there is one. */
  get place() {
    return this.connection?.place;
  }

  /** Centre of a zoom by keyboard, 0 to 1: the selected connection, or the middle. */
  get at() {
    if (!this.connection) return 0.5;
    const { from, to } = plotOf(this.#svg());
    const middle = (Math.max(this.connection.from_s, from) + Math.min(this.connection.to_s, to)) / 2;
    return Math.min(Math.max((middle - from) / (to - from), 0), 1);
  }

  /** Return the pointer's position in the current time span, 0 to 1. */
  share(event) {
    const { x, plot } = this.#place(event);
    return Math.min(Math.max((x - plot.left) / (plot.right - plot.left), 0), 1);
  }

  /** Select the same connection in a new drawing. */
  refresh() {
    if (!this.connection) return;
    const again = this.#all().find((connection) => this.#isChosen(connection));
    if (again) this.#choose(again);
    else this.leave();
  }

  leave() {
    this.connection = null;
    this.panel.hidden = true;
    for (const mark of this.explorer.figure.querySelectorAll(".tl-looked")) mark.remove();
  }

  /** Handle a key that moves or ends the selection. Returns whether it was such a key. */
  key(name) {
    if (name === "Escape" && this.connection) this.leave();
    else if (name in MOVES) this.#step(MOVES[name]);
    else return false;
    return true;
  }

  async #step(steps) {
    if (!(await this.explorer.details())) return;
    const all = this.#all();
    if (!all.length) return;
    const now = all.findIndex((connection) => this.#isChosen(connection));
    const next = now < 0 && steps < 0 ? all.length - 1 : Math.min(Math.max(now + steps, 0), all.length - 1);
    this.#choose(all[next]);
    this.said.textContent = `${next + 1} of ${all.length}: ${words(all[next], this.labels)}`;
  }

  // --- the pointer -------------------------------------------------------------------------------------------------

  async #moved(event) {
    if (this.press) {
      this.#drag(event);
      return;
    }
    this.isOver = true;
    const found = this.explorer.found ?? (await this.explorer.details());
    if (!found || !this.isOver) return;
    const near = this.#near(event);
    if (near) this.#choose(near, event);
    else this.leave();
  }

  /** Hide the panel, except after touch: lifting a finger also fires pointerleave. */
  #left(event) {
    if (event.pointerType === "touch") return;
    this.isOver = false;
    if (!this.press) this.leave();
  }

  #pressed(event) {
    if (event.pointerType === "touch") this.#moved(event);
    else if (event.button === 0 && !event.ctrlKey) {
      this.press = { from: this.#place(event), x: event.clientX, y: event.clientY };
    }
  }

  #drag(event) {
    const far = [Math.abs(event.clientX - this.press.x), Math.abs(event.clientY - this.press.y)];
    if (!this.press.mark && Math.max(...far) < MIN_DRAG) return;
    if (!this.press.mark) {
      this.leave();
      this.explorer.figure.setPointerCapture(event.pointerId);
      this.press.mark = document.createElementNS(SVG, "rect");
      this.press.mark.setAttribute("class", "tl-chosen");
      this.press.from.svg.append(this.press.mark);
    }
    const { from } = this.press;
    const to = this.#place(event);
    this.press.to = to;
    this.press.hasTime = far[0] >= MIN_DRAG * 2;
    this.press.hasRows = far[1] >= Math.max(24, 1.5 * (this.explorer.found?.pitch ?? 0)) || !this.press.hasTime;
    const { plot } = from;
    const [x1, x2] = this.press.hasTime ? within([from.x, to.x], plot.left, plot.right) : [plot.left, plot.right];
    const [y1, y2] = this.press.hasRows ? within([from.y, to.y], plot.top, plot.bottom) : [plot.top, plot.bottom];
    place(this.press.mark, x1, y1, x2 - x1, y2 - y1);
  }

  #released(event) {
    const press = this.press;
    this.#drop();
    if (!press?.to) return;
    const { figure } = this.explorer;
    if (figure.hasPointerCapture(event.pointerId)) figure.releasePointerCapture(event.pointerId);
    this.explorer.details().then((found) => {
      if (found) this.explorer.select(...this.#chosen(press, found));
    });
  }

  #chosen({ from, to, hasTime, hasRows }, found) {
    const { plot } = from;
    const second = (x) => plot.from + ((x - plot.left) / (plot.right - plot.left)) * (plot.to - plot.from);
    const [x1, x2] = within([from.x, to.x], plot.left, plot.right);
    const [y1, y2] = within([from.y, to.y], plot.top, plot.bottom).map((y) => y - plot.top);
    const half = found.pitch / 2;
    const rows = found.lines.filter(([y]) => y >= y1 - half && y <= y2 + half).map(([, row]) => row);
    const band = hasRows && rows.length ? [Math.min(...rows), Math.max(...rows)] : null;
    return [hasTime ? [second(x1), second(x2)] : null, band];
  }

  #drop() {
    this.press?.mark?.remove();
    this.press = null;
  }

  // --- positions -----------------------------------------------------------------------------------------------

  #svg() {
    return [...this.explorer.figure.querySelectorAll("svg.timeline")].find((svg) => svg.getClientRects().length);
  }

  /** Return the event's position in units of the drawing, and the edges of the plot with its time span. */
  #place(event) {
    const svg = this.#svg();
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return { svg, plot: plotOf(svg), x: point.x, y: point.y };
  }

  #all() {
    const found = this.explorer.found;
    if (!found) return [];
    return found.connections.map((row) => Object.fromEntries(found.columns.map((column, k) => [column, row[k]])));
  }

  #isChosen({ name, group }) {
    return this.connection?.name === name && this.connection.group === group;
  }

  /** Return the connection at the pointer; in dense drawings the nearest one that was open at that time. */
  #near(event) {
    const { x, y, plot } = this.#place(event);
    const found = this.explorer.found;
    const scale = (plot.right - plot.left) / (plot.to - plot.from);
    const second = plot.from + (x - plot.left) / scale;
    const columns = Object.fromEntries(found.columns.map((column, k) => [column, k]));
    let best = null;
    for (const row of found.connections) {
      const dy = Math.abs(plot.top + row[columns.y] - y);
      if (dy > Math.max(found.pitch / 2, MAX_DISTANCE)) continue;
      const dx = scale * Math.max(row[columns.from_s] - second, second - row[columns.to_s], 0);
      if (found.of === "lanes" && dx > MAX_DISTANCE) continue;
      const far = 1000 * Math.max(dy - Math.max(found.pitch / 2, 2), 0) + dx + dy;
      if (!best || far < best.far) best = { far, row };
    }
    return best && Object.fromEntries(found.columns.map((column, k) => [column, best.row[k]]));
  }

  // --- the panel -----------------------------------------------------------------------------------------------

  #choose(connection, event = null) {
    const svg = this.#svg();
    if (!svg) return;
    this.connection = connection;
    const found = this.explorer.found;
    const plot = plotOf(svg);
    const scale = (plot.right - plot.left) / (plot.to - plot.from);
    const x = (second) => Math.min(Math.max(plot.left + scale * (second - plot.from), plot.left), plot.right);
    const height = Math.max(found.pitch, 3);
    const mark = svg.querySelector(".tl-looked") ?? svg.appendChild(document.createElementNS(SVG, "rect"));
    mark.setAttribute("class", "tl-looked");
    const y = plot.top + connection.y;
    const [x1, x2] = found.of === "lanes" ? [x(connection.from_s), x(connection.to_s)] : [plot.left, plot.right];
    place(mark, x1, y - height / 2, Math.max(x2 - x1, 2), height);
    this.#fill(connection);
    const stage = this.panel.parentElement.getBoundingClientRect();
    const box = mark.getBoundingClientRect();
    const middle = (Math.max(box.left, stage.left) + Math.min(box.right, stage.right)) / 2;
    this.#put(stage, event ? event.clientX : middle, box);
  }

  #fill(connection) {
    const name = document.createElement("strong");
    name.textContent = connection.name;
    const list = document.createElement("dl");
    for (const [label, value] of facts(connection, this.labels)) {
      const [term, figure] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = label;
      figure.textContent = value;
      list.append(term, figure);
    }
    this.panel.replaceChildren(name, list);
    this.panel.hidden = false;
  }

  /** Place the panel at the pointer, below the row, or above it if there is no room below. */
  #put(stage, clientX, row) {
    const { offsetWidth: width, offsetHeight: height } = this.panel;
    const left = Math.min(Math.max(clientX - stage.left + 14, 0), Math.max(stage.width - width, 0));
    const isBelow = row.bottom + height + 12 < innerHeight;
    this.panel.style.left = `${left}px`;
    this.panel.style.top = `${isBelow ? row.bottom - stage.top + 8 : row.top - stage.top - height - 8}px`;
  }
}

function facts(connection, labels) {
  const parts = Object.entries(labels).filter(([name]) => connection[name] !== null);
  return [
    ["group", connection.group],
    ["due", seconds(connection.due_s)],
    ...parts.map(([name, label]) => [label, ms(connection[name])]),
    ...(connection.worker ? [["worker", connection.worker]] : []),
    ["outcome", (connection.outcome ?? "in progress").replaceAll("_", " ")],
    ...(connection.stands_for > 1 ? [["represents", `${connection.stands_for} connections`]] : []),
  ];
}

function words(connection, labels) {
  return `${connection.name}, ${facts(connection, labels).map((pair) => pair.join(" ")).join(", ")}`;
}

function plotOf(svg) {
  const [left, right, top, bottom, from, to] = svg.dataset.plot.split(" ").map(Number);
  return { left, right, top, bottom, from, to };
}

function within(pair, min, max) {
  return pair.map((value) => Math.min(Math.max(value, min), max)).sort((a, b) => a - b);
}

function place(rect, x, y, width, height) {
  for (const [name, value] of Object.entries({ x, y, width, height })) rect.setAttribute(name, value.toFixed(2));
}
