// Charts: a figure with `data-chart` is drawn from the Vega-Lite spec at that address when it comes near the screen,
// and again when its width or the reader's colours change. The page has every figure as a table as well.

const SCRIPT = document.querySelector("script[data-vega]").dataset.vega;
const NEAR_PX = 400;
const LEAST_PLOT_PX = 180;
const LEGEND_ENTRY_PX = 85;
const NARROW_PX = 420; // below this width, the legends of a chart are stacked
const RETRY_S = 5;

const dark = matchMedia("(prefers-color-scheme: dark)");
const charts = new Map(); // figure to what is known of it
let engine;

/** An answer of the lab; waits for as long as it asks to while a run keeps it from drawing. */
async function ask(url, wait) {
  for (;;) {
    const answer = await fetch(url, { cache: url === SCRIPT ? "default" : "no-store" });
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({ detail: `the lab answered ${answer.status}` }));
    if (answer.status !== 503) throw new Error(problem.detail);
    wait(problem.detail);
    await new Promise((resolve) => setTimeout(resolve, 1000 * (Number(answer.headers.get("Retry-After")) || RETRY_S)));
  }
}

/** The program that draws, fetched once; a module that failed to load would be remembered as failed. */
async function drawingProgram(wait) {
  engine ??= ask(SCRIPT, wait).then(() => import(SCRIPT)).then(() => window.vegaEmbed);
  try {
    return await engine;
  } catch (error) {
    engine = undefined;
    throw error;
  }
}

/** The same value with every string that is a key of `colours` replaced. */
function recoloured(value, colours) {
  if (typeof value === "string") return colours[value] ?? value;
  if (Array.isArray(value)) return value.map((item) => recoloured(item, colours));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, key === "datasets" || key === "values" ? item : recoloured(item, colours)]),
  );
}

/** Give every plot of full width the width that there is here. */
function widen(view, full, width) {
  if (view.width === full) view.width = width;
  for (const part of [...(view.vconcat ?? []), ...(view.layer ?? [])]) widen(part, full, width);
}

function fitted(spec, room) {
  const { width: full, beside, dark: colours } = spec.usermeta;
  const width = Math.max(room - beside, LEAST_PLOT_PX);
  const mine = structuredClone(dark.matches ? recoloured(spec, colours) : spec);
  delete mine.title; // the page has it as a heading
  widen(mine, full, width);
  mine.config.aria = false; // the figure says it in a sentence; hundreds of marks would not
  mine.config.legend.columns = Math.max(1, Math.floor(width / LEGEND_ENTRY_PX));
  if (width < NARROW_PX) mine.config.legend.layout = { top: { direction: "vertical", anchor: "start" } };
  return mine;
}

function say(figure, text, failed = false) {
  const status = document.createElement("p");
  status.className = failed ? "chart__status chart__status--failed" : "chart__status";
  status.textContent = text;
  figure.replaceChildren(status);
}

async function draw(figure, chart) {
  const wait = (why) => chart.result || say(figure, `It is drawn as soon as it can be: ${why}.`);
  chart.spec ??= await (await ask(figure.dataset.chart, wait)).json();
  const embed = await drawingProgram(wait);
  const plot = document.createElement("div");
  plot.className = "chart__plot";
  chart.width = figure.clientWidth;
  const result = await embed(plot, fitted(chart.spec, chart.width), {
    ast: true, // no code made from text: the page's policy forbids it
    actions: false,
    defaultStyle: false,
    renderer: chart.spec.usermeta.renderer ?? "svg",
    tooltip: { disableDefaultStyle: true },
  });
  plot.firstElementChild?.setAttribute("aria-hidden", "true"); // some marks keep their roles in spite of the setting
  chart.result?.finalize();
  chart.result = result;
  figure.replaceChildren(plot);
}

/** Draw the chart, and once more if its size or theme changed in the meantime; an error is shown in the figure. */
async function refresh(figure) {
  const chart = charts.get(figure);
  chart.stale = true;
  if (chart.busy) return;
  chart.busy = true;
  while (chart.stale && figure.isConnected) {
    chart.stale = false;
    try {
      await draw(figure, chart);
    } catch (error) {
      say(figure, `This chart could not be drawn: ${error.message}. Its figures are in the table below.`, true);
    }
  }
  chart.busy = false;
}

const near = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      widths.observe(target);
      refresh(target);
    }
  },
  { rootMargin: `${NEAR_PX}px` },
);

const widths = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const { result, width } = charts.get(target);
    if (result && target.clientWidth !== width) refresh(target);
  }
});

/** Start to draw figures that are new in the page, and release those that were removed. */
function findFigures() {
  for (const [figure, chart] of charts) {
    if (figure.isConnected) continue;
    chart.result?.finalize();
    widths.unobserve(figure);
    charts.delete(figure);
  }
  for (const figure of document.querySelectorAll("figure.chart[data-chart]")) {
    if (charts.has(figure)) continue;
    charts.set(figure, {});
    near.observe(figure);
  }
}

dark.addEventListener("change", () => {
  for (const [figure, { result }] of charts) if (result) refresh(figure);
});
document.addEventListener("refreshed", findFigures);
findFigures();
