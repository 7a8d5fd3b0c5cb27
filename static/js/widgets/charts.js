// Draws each figure with `data-chart` from the Vega-Lite spec at that URL as soon as it is near the viewport, and again
// when its width or the colour scheme changes. The page also has the values of every chart as a table.

const SCRIPT = document.querySelector("script[data-vega]").dataset.vega;
const NEAR_PX = 400;
const MIN_PLOT_PX = 180;
const LEGEND_ENTRY_PX = 85;
const NARROW_PX = 420; // below this width, the legends of a chart are stacked
const RETRY_S = 5;

const dark = matchMedia("(prefers-color-scheme: dark)");
const charts = new Map(); // figure to {spec, result, width, busy, stale}
let engine; // promise of vegaEmbed

/** Fetch `url`; retry while the lab answers 503 because of a run, and report its reason to `wait`. */
async function request(url, wait) {
  for (;;) {
    const answer = await fetch(url, { cache: url === SCRIPT ? "default" : "no-store" });
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({ detail: `the lab answered with status ${answer.status}` }));
    if (answer.status !== 503) throw new Error(problem.detail);
    wait(problem.detail);
    await new Promise((resolve) => setTimeout(resolve, 1000 * (Number(answer.headers.get("Retry-After")) || RETRY_S)));
  }
}

/** Load Vega once. It is fetched before the import, because browsers cache the failure of an import. */
async function loadVega(wait) {
  engine ??= request(SCRIPT, wait).then(() => import(SCRIPT)).then(() => window.vegaEmbed);
  try {
    return await engine;
  } catch (error) {
    engine = undefined;
    throw error;
  }
}

/** Return a copy of `value` in which every string that is a key of `colours` is replaced. */
function replaceColours(value, colours) {
  if (typeof value === "string") return colours[value] ?? value;
  if (Array.isArray(value)) return value.map((item) => replaceColours(item, colours));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, key === "datasets" || key === "values" ? item : replaceColours(item, colours)]),
  );
}

/** Set the width of every plot that has the full width of the spec. */
function setWidth(view, full, width) {
  if (view.width === full) view.width = width;
  for (const part of [...(view.vconcat ?? []), ...(view.layer ?? [])]) setWidth(part, full, width);
}

/** Return a copy of the spec for `room` pixels and the current colour scheme. */
function fitSpec(spec, room) {
  const { width: full, beside, dark: colours } = spec.usermeta;
  const width = Math.max(room - beside, MIN_PLOT_PX);
  const mine = structuredClone(dark.matches ? replaceColours(spec, colours) : spec);
  delete mine.title; // the page shows it as a heading
  setWidth(mine, full, width);
  mine.config.aria = false; // the figure has a sentence as its label, which is more useful than hundreds of labelled marks
  mine.config.legend.columns = Math.max(1, Math.floor(width / LEGEND_ENTRY_PX));
  if (width < NARROW_PX) mine.config.legend.layout = { top: { direction: "vertical", anchor: "start" } };
  return mine;
}

function showStatus(figure, text, failed = false) {
  const status = document.createElement("p");
  status.className = failed ? "chart__status chart__status--failed" : "chart__status";
  status.textContent = text;
  figure.replaceChildren(status);
}

async function draw(figure, chart) {
  const wait = (why) => chart.result || showStatus(figure, `The chart is drawn later: ${why}.`);
  chart.spec ??= await (await request(figure.dataset.chart, wait)).json();
  const embed = await loadVega(wait);
  const plot = document.createElement("div");
  plot.className = "chart__plot";
  chart.width = figure.clientWidth;
  const result = await embed(plot, fitSpec(chart.spec, chart.width), {
    ast: true, // evaluate expressions without eval, which the Content-Security-Policy forbids
    actions: false,
    defaultStyle: false,
    renderer: chart.spec.usermeta.renderer ?? "svg",
    tooltip: { disableDefaultStyle: true },
  });
  plot.firstElementChild?.setAttribute("aria-hidden", "true"); // some marks keep ARIA roles in spite of `config.aria`
  chart.result?.finalize();
  chart.result = result;
  figure.replaceChildren(plot);
}

/** Draw the chart, again if its size or colours changed meanwhile. An error is shown in the figure. */
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
      showStatus(figure, `This chart could not be drawn: ${error.message}. The table below has its values.`, true);
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

/** Observe figures that are new in the page, and release those that were removed. */
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
