// A run under way: figures and drawing follow the lab's events, and the whole page is taken anew when its state changes.

import { announce, fetchPage } from "./parts.js";
import { follow } from "./stream.js";

function showProgress(root, run) {
  if (!run.progress) return;
  const counts = run.progress.counts;
  const figures = { ...counts, elapsed: `${run.progress.elapsed_s.toFixed(1)}\u202Fs` };
  for (const [key, value] of Object.entries(figures)) {
    const figure = root.querySelector(`[data-figure="${CSS.escape(key)}"]`);
    if (figure) figure.textContent = value;
  }
  const bar = root.querySelector("progress");
  if (bar) bar.value = (counts.completed ?? 0) + (counts.failed ?? 0);
}

function showTimeline(root, text) {
  const figure = root.querySelector("[data-timeline]");
  const drawing = new DOMParser().parseFromString(text, "text/html").querySelector("svg, .timeline-set");
  if (!figure || !drawing) return;
  figure.replaceChildren(document.importNode(drawing.closest(".timeline-set") ?? drawing, true));
  figure.parentElement.querySelector(".empty")?.remove();
}

/** Take the page as the lab serves it now; the stream goes on, only what it writes to is new. */
async function renew() {
  const page = await fetchPage(location.href);
  const [stale, fresh] = [document.querySelector("main"), page.querySelector("main")];
  stale.replaceChildren(...document.importNode(fresh, true).childNodes);
  document.title = page.title;
  announce(page.title);
}

function watch(url) {
  const root = () => document.querySelector("main");
  const shownState = () => root().querySelector("[data-run-state]").dataset.runState;
  const lab = {
    run(run) {
      if (run.state !== shownState()) lab.renewal = renew().catch(() => {});
      else showProgress(root(), run);
    },
    timeline: (text) => showTimeline(root(), text),
    async end() {
      close();
      await lab.renewal;
      await renew();
    },
  };
  const close = follow(url, {
    snapshot: lab.run,
    run: lab.run,
    timeline: lab.timeline,
    end: () => lab.end().catch(() => location.reload()),
  });
}

const live = document.querySelector("[data-live-run]");
if (live) watch(live.dataset.liveRun);
