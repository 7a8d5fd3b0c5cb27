// Whom a server serves and who waits: squares for the places where connections are, a lane a worker, the queue.

import { age, count, niceTop } from "./figures.js";

const WINDOW_S = 60;
const UNITS_PER_S = 10;
const SQUARES = 120;
const SQUARES_A_ROW = 30;
const STOPS = ["accept_queue", "waiting", "in_service"];

/** Set the text of `node` where it is another one. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function cell(row, tag, className, text = "") {
  const made = row.appendChild(document.createElement(tag));
  if (className) made.className = className;
  if (tag === "th") made.scope = "row";
  made.textContent = text;
  return made;
}

function svg(parent, name, attributes) {
  const made = parent.appendChild(document.createElementNS("http://www.w3.org/2000/svg", name));
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** A square for each of `number`, or for every so many of them. */
function squares(number) {
  let each = 1;
  if (number > SQUARES) each = niceTop(number / SQUARES);
  let path = "";
  for (let place = 0; place < Math.ceil(number / each); place += 1) {
    path += `M${(place % SQUARES_A_ROW) * 10} ${Math.floor(place / SQUARES_A_ROW) * 10}h7v7h-7z`;
  }
  return [path, each];
}

export function showStops(root, stats) {
  for (const key of STOPS) {
    const stop = root.querySelector(`[data-stop="${key}"]`);
    if (!stop || !stats) continue;
    const text = count(stats[key]);
    if (stop.querySelector(".stops__count").textContent === text) continue;
    const [path, each] = squares(stats[key] ?? 0);
    write(stop.querySelector(".stops__count"), text);
    write(stop.querySelector(".stops__note"), each > 1 ? `a square is ${each} connections` : "");
    stop.querySelector("path").setAttribute("d", path);
  }
}

/** The table of workers; remembers when each was busy during the last minute. */
export class Lanes {
  constructor() {
    this.spans = new Map();
    this.rows = new Map();
  }

  /** Remember what ended, and forget what is older than the window. */
  remember(busy, at) {
    for (const [name, start, end] of busy) {
      const spans = this.spans.get(name) ?? [];
      const last = spans.at(-1);
      if (last && start - last[1] < 1 / UNITS_PER_S) last[1] = Math.max(end, last[1]);
      else spans.push([start, end]);
      this.spans.set(name, spans);
    }
    for (const [name, spans] of this.spans) {
      const kept = spans.filter(([, end]) => at - end < WINDOW_S);
      if (kept.length) this.spans.set(name, kept);
      else this.spans.delete(name);
    }
  }

  show(root, look) {
    const body = root.querySelector("[data-lanes]");
    if (!body) return;
    if (body !== this.body) this.rows.clear();
    this.body = body;
    const rows = look.lanes.map((lane) => this.#row(lane[0]));
    if (rows.length !== body.rows.length || rows.some((row, place) => row !== body.rows[place])) {
      body.replaceChildren(...rows);
      for (const [name, row] of this.rows) if (!row.isConnected) this.rows.delete(name);
    }
    look.lanes.forEach((lane, place) => this.#fill(rows[place], lane, look.at_s));
    const more = look.more_lanes
      ? `and ${count(look.more_lanes)} more, serving ${count(look.more_serving)} in all`
      : "";
    write(root.querySelector("[data-more-lanes]"), more);
  }

  #row(name) {
    if (!this.rows.has(name)) {
      const row = document.createElement("tr");
      cell(row, "th", "", name);
      cell(row, "td", "lane__does");
      cell(row, "td", "table__number table__roomy");
      cell(row, "td", "table__roomy");
      cell(row, "td", "table__number");
      const attributes = { class: "lane__minute", viewBox: "0 0 600 10", preserveAspectRatio: "none", "aria-hidden": "true" };
      svg(svg(cell(row, "td", "lanes__minute"), "svg", attributes), "path", { d: "" });
      this.rows.set(name, row);
    }
    return this.rows.get(name);
  }

  #fill(row, [name, does, number, peer, since, serving], at) {
    row.className = number ? "lane lane--serves" : "lane";
    write(row.cells[1], serving > 1 ? `${does} ${count(serving)}, longest` : does);
    write(row.cells[2], number ? count(number) : "");
    write(row.cells[3], peer ?? "");
    write(row.cells[4], number ? age(at - since) : "");
    const path = row.cells[5].querySelector("path");
    const shape = this.#path(name, number ? since : null, at);
    if (path.getAttribute("d") !== shape) path.setAttribute("d", shape);
  }

  #path(name, since, at) {
    const spans = this.spans.get(name) ?? [];
    let path = "";
    for (const [start, end] of since === null ? spans : [...spans, [since, at]]) {
      const left = Math.max((WINDOW_S - (at - start)) * UNITS_PER_S, 0);
      const width = Math.max((WINDOW_S - (at - end)) * UNITS_PER_S - left, 1);
      path += `M${left.toFixed(0)} 0h${width.toFixed(0)}v10h-${width.toFixed(0)}z`;
    }
    return path;
  }
}

export function showWaiting(root, look) {
  const section = root.querySelector("[data-part=waiting]");
  const body = section.querySelector("tbody");
  section.querySelector(".scroll").hidden = look.waiting.length === 0;
  section.querySelector(".empty").hidden = look.waiting.length > 0;
  while (body.rows.length > look.waiting.length) body.lastElementChild.remove();
  look.waiting.forEach(([number, peer, since], place) => {
    const row = body.rows[place] ?? body.insertRow();
    if (!row.cells.length) {
      cell(row, "th");
      cell(row, "td");
      cell(row, "td", "table__number");
    }
    write(row.cells[0], count(number));
    write(row.cells[1], peer);
    write(row.cells[2], age(look.at_s - since));
  });
  write(section.querySelector("[data-more-waiting]"), look.more_waiting ? `and ${count(look.more_waiting)} more` : "");
}
