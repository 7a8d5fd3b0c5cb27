// A run under way: figures, charts, errors and drawing follow the lab's events, and the whole page is taken anew when the
// run's state changes. A snapshot has all that was before, so nothing is missing and nothing double after a loss.

import { age, count } from "./figures.js";
import { announce, fetchPage } from "./parts.js";
import { write } from "./server_lanes.js";
import { Minute } from "./server_minute.js";
import { follow } from "./stream.js";
import { explore, pictures } from "./timeline.js";

const COLUMNS = ["at_s", "messages_per_s", "connections_per_s", "in_service", "waiting", "queue_depth", "threads_alive"];
const [LEAST_WINDOW_S, WINDOW_S] = [10, 60];
const CALM_MS = 1000; // for people who asked for less motion
const calm = matchMedia("(prefers-reduced-motion: reduce)");

class LiveRun {
  constructor(url) {
    this.minute = new Minute(COLUMNS);
    this.drawnAt = -Infinity;
    this.chartedAt = -Infinity;
    this.renewal = null;
    this.close = follow(url, {
      snapshot: (run) => this.begin(run),
      run: (run) => this.take(run),
      timeline: (text) => this.draw(text),
      end: () => this.end().catch(() => location.reload()),
    });
  }

  get root() {
    return document.querySelector("main");
  }

  begin({ history, ...run }) {
    this.minute = new Minute(COLUMNS);
    if (history) this.minute.remember(history.rows, history.rows.at(-1)?.[0] ?? 0);
    this.take(run);
  }

  take(run) {
    if (run.state !== this.root.querySelector("[data-run-state]").dataset.runState) {
      this.renewal = renew().catch(() => {});
      return;
    }
    if (run.stage) this.#stage(run.stage, run.progress);
    if (!run.progress) return;
    this.#figures(run.progress);
    this.#errors(run.progress);
    this.#chart(run.progress);
  }

  /** Only a change of the phase is written to what is read out. */
  #stage(stage, progress) {
    const words = this.root.querySelector("[data-run-phase]");
    if (!words) return;
    words.dataset.runPhase = stage.phase;
    write(words, stage.words);
    const over = (progress?.elapsed_s ?? 0) - stage.expected_end_s;
    const late = over > 0 ? `, over by ${age(over)}` : "";
    this.#figure("expected", `${stage.is_about ? "about " : ""}${age(stage.expected_end_s)}${late}`);
  }

  #figures(progress) {
    const { counts, server } = progress;
    for (const [name, value] of Object.entries(counts)) this.#figure(name, count(value));
    for (const [name, value] of Object.entries(server ?? {})) this.#figure(name, count(value));
    for (const name of ["messages_per_s", "connections_per_s", "in_flight"]) this.#figure(name, count(progress[name]));
    this.#figure("elapsed", age(Math.max(progress.elapsed_s, 0)));
    const bar = this.root.querySelector("progress");
    if (bar) bar.value = (counts.completed ?? 0) + (counts.failed ?? 0);
  }

  #figure(name, text) {
    const figure = this.root.querySelector(`[data-figure="${CSS.escape(name)}"]`);
    if (figure) write(figure, text);
  }

  #chart({ elapsed_s: at, counts, server, ...rates }) {
    const known = { ...counts, ...server, ...rates, at_s: at };
    const row = COLUMNS.map((column) => known[column] ?? null);
    if (at > (this.minute.rows.at(-1)?.[0] ?? 0)) this.minute.remember([row], at);
    if (calm.matches && performance.now() - this.chartedAt < CALM_MS) return;
    this.chartedAt = performance.now();
    this.minute.show(this.root, at, Math.min(Math.max(at, LEAST_WINDOW_S), WINDOW_S));
  }

  #errors({ errors, errors_untold: untold }) {
    const box = this.root.querySelector("[data-errors]");
    if (!box) return;
    box.hidden = !errors.length && !untold;
    write(box.querySelector("[data-errors-untold]"), untold ? `and ${count(untold)} more that are not told yet` : "");
    const body = box.querySelector("tbody");
    while (body.rows.length > errors.length) body.lastElementChild.remove();
    errors.forEach((error, place) => {
      const row = body.rows[place] ?? newRow(body);
      const texts = [count(error.count), error.outcome.replaceAll("_", " "), error.detail, age(error.last_s)];
      texts.forEach((text, k) => write(row.cells[k], text));
    });
  }

  draw(text) {
    if (calm.matches && performance.now() - this.drawnAt < CALM_MS && !this.renewal) return;
    this.drawnAt = performance.now();
    const root = this.root.querySelector("[data-explore$='/timeline']");
    if (!root) return;
    pictures.get(root.dataset.explore)?.drawn(text);
    root.parentElement.querySelector(".empty")?.remove();
  }

  async end() {
    this.close();
    await this.renewal;
    await renew();
  }
}

function newRow(body) {
  const row = body.insertRow();
  row.insertCell().className = "table__number";
  const outcome = row.appendChild(document.createElement("th"));
  outcome.scope = "row";
  row.insertCell();
  row.insertCell().className = "table__number";
  return row;
}

/** Take the page as the lab serves it now; the stream goes on, only what it writes to is new. */
async function renew() {
  const page = await fetchPage(location.href);
  const [stale, fresh] = [document.querySelector("main"), page.querySelector("main")];
  stale.replaceChildren(...document.importNode(fresh, true).childNodes);
  document.title = page.title;
  explore();
  document.dispatchEvent(new Event("renewed")); // for whoever draws into the page's elements
  announce(page.title);
}

const live = document.querySelector("[data-live-run]");
if (live) new LiveRun(live.dataset.liveRun);
