// The last minute of a server, or of a run, as small charts; the drawing is the one of `webapp/live/sparklines.py`.

import { count, niceTop, percent, size } from "./figures.js";
import { write } from "./server_lanes.js";

const COLUMNS = ["at_s", "in_service", "waiting", "accept_queue", "threads_alive", "threads_busy", "cpu_percent", "rss_bytes", "listen_overflows", "vms_bytes", "voluntary_per_s", "involuntary_per_s"];
const READINGS = { cpu_percent: percent, rss_bytes: size, vms_bytes: size };
const UNITS = { cpu_percent: 10, rss_bytes: 2 ** 20, vms_bytes: 2 ** 30 }; // scales begin at one unit
const WINDOW_S = 60;
const WIDTH = 600;
const HEIGHT = 100;
const SPEAK_S = 5; // what is said of a picture need not change faster

export class Minute {
  /** `columns` are those of the rows; the charts' elements name theirs in `data-minute`. */
  constructor(columns = COLUMNS) {
    this.columns = columns;
    this.rows = [];
    this.spoken = 0;
  }

  remember(samples, at) {
    this.rows.push(...samples);
    const first = this.rows.findIndex((row) => at - row[0] <= WINDOW_S);
    if (first > 0) this.rows.splice(0, first);
  }

  /** Draw the last `window` seconds up to `at`. */
  show(root, at, window = WINDOW_S) {
    this.window = window;
    const speaks = at - this.spoken >= SPEAK_S;
    if (speaks) this.spoken = at;
    for (const chart of root.querySelectorAll("[data-minute]")) this.#draw(chart, at, speaks);
  }

  #draw(chart, at, speaks) {
    const columns = chart.dataset.minute.split(" ");
    const reading = READINGS[columns[0]] ?? count;
    const places = columns.map((column) => this.columns.indexOf(column));
    let highest = 0;
    for (const row of this.rows) for (const place of places) highest = Math.max(highest, row[place] ?? 0);
    const unit = UNITS[columns[0]] ?? 1;
    const top = niceTop(highest / unit) * unit;
    const last = this.rows.at(-1) ?? [];
    const known = places.filter((place) => last[place] != null).map((place) => reading(last[place]));
    write(chart.querySelector(".minute__value"), known.join(", ") || count(null));
    write(chart.querySelector(".minute__top"), reading(top));
    const lines = chart.querySelectorAll(".minute__line");
    places.forEach((place, number) => {
      const path = this.#line(place, top, at);
      lines[number].setAttribute("d", path);
      if (number === 0) chart.querySelector(".minute__area").setAttribute("d", areaUnder(path));
    });
    if (!speaks) return;
    const words = `${chart.querySelector(".minute__label").textContent}, the last minute: now ${known.join(" and ") || "not known"}, at most ${reading(highest)}`;
    chart.querySelector("svg").setAttribute("aria-label", words);
  }

  #line(place, top, at) {
    let path = "";
    let pen = "M";
    for (const row of this.rows) {
      const x = WIDTH * (1 - (at - row[0]) / this.window);
      if (row[place] == null) {
        pen = "M";
      } else if (x >= 0) {
        path += `${pen}${x.toFixed(0)} ${(HEIGHT * (1 - row[place] / top)).toFixed(1)}`;
        pen = "L";
      }
    }
    return path;
  }
}

/** The area between a line without breaks and the bottom. */
function areaUnder(path) {
  if (path.split("M").length !== 2) return "";
  const first = path.slice(1, path.indexOf(" "));
  const last = path.slice(path.lastIndexOf("L") + 1, path.lastIndexOf(" ")).replace(/^M/, "");
  return `${path}L${last} ${HEIGHT}L${first} ${HEIGHT}z`;
}
