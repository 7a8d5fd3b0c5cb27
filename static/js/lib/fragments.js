// Keeps elements with `data-fragment` up to date. An event names fragments and their versions; an element that shows
// another version is fetched again from its `data-from` and replaced.
//
// A hidden tab fetches the fragments with `data-while-hidden` only, and the others when it becomes visible.

import { announce, fetchPage, morph } from "./dom.js";
import { EventStream } from "./event_stream.js";

const CALM_MS = 1000; // between updates if the user prefers reduced motion
const RETRY_MS = 1000;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const lostNotice = document.querySelector("[data-lost]");
const latest = new Map(); // fragment name to the version that the stream named last
const shown = new WeakMap(); // element to the version that it shows
let isRefreshing = false;
let timer = 0;

/** Connect to the shared worker, which has one stream for all tabs. Returns a setter of the followed names. */
function shareStream() {
  const worker = new SharedWorker("/static/js/lib/stream_worker.js", { type: "module", name: "serverlab" });
  const lock = `serverlab-tab-${crypto.randomUUID()}`;
  const held = new Promise((resolve) => {
    navigator.locks.request(lock, () => {
      resolve();
      return new Promise(() => {}); // held until the tab is closed
    });
  });
  worker.addEventListener("error", () => {
    follow = openStream();
    followShown();
  });
  worker.port.addEventListener("message", ({ data }) => {
    if (data.versions) take(data.versions);
    if ("isLost" in data) showLost(data.isLost);
  });
  worker.port.start();
  return (names) => held.then(() => worker.port.postMessage({ names, lock }));
}

/** Use a stream of this page while it is visible. Returns a setter of the followed names. */
function openStream() {
  const stream = new EventStream(take, showLost);
  return (names) => stream.follow(document.hidden ? [] : names);
}

function showLost(isLost) {
  lostNotice.hidden = !isLost;
}

/** Return the elements to keep up to date. */
function elements() {
  const all = [...document.querySelectorAll("[data-fragment]")];
  return document.hidden ? all.filter((element) => "whileHidden" in element.dataset) : all;
}

function followShown() {
  follow([...new Set(elements().map((element) => element.dataset.fragment))]);
}

function take(versions) {
  for (const [name, version] of Object.entries(versions)) latest.set(name, version);
  refreshSoon(0);
}

function isStale(element) {
  const version = latest.get(element.dataset.fragment);
  return version !== undefined && version !== shown.get(element);
}

function refreshSoon(delay) {
  if (isRefreshing || timer) return;
  timer = setTimeout(async () => {
    timer = 0;
    isRefreshing = true;
    const hasFailed = await refresh();
    isRefreshing = false;
    if (elements().some(isStale)) refreshSoon(hasFailed ? RETRY_MS : 0);
  }, Math.max(delay, calm.matches ? CALM_MS : 0));
}

/** Fetch every stale element once. Returns whether a fetch has failed. */
async function refresh() {
  const byAddress = new Map();
  for (const element of elements().filter(isStale)) {
    const url = element.dataset.from;
    byAddress.set(url, [...(byAddress.get(url) ?? []), element]);
  }
  const results = await Promise.allSettled(Array.from(byAddress, ([url, stale]) => fetchInto(url, stale)));
  const errors = results.filter(({ status }) => status === "rejected").map(({ reason }) => reason);
  const deleted = errors.find(({ status }) => status === 404);
  if (deleted) showDeleted(deleted.page);
  followShown();
  return errors.length > 0;
}

async function fetchInto(url, stale) {
  const wanted = stale.filter((element) => {
    shown.set(element, latest.get(element.dataset.fragment));
    return element.dispatchEvent(new CustomEvent("stale", { bubbles: true, cancelable: true }));
  });
  if (!wanted.length) return; // the widget in each element fetches its own viewport
  try {
    const { page, version } = await fetchPage(url);
    for (const element of wanted) put(element, page, version);
  } catch (error) {
    for (const element of wanted) shown.delete(element);
    throw error;
  }
}

function put(element, page, version) {
  const fresh = page.getElementById(element.id);
  if (!fresh || !element.isConnected) return;
  if (version) shown.set(element, version);
  morph(element, fresh);
  const title = page.title || document.title;
  if (title !== document.title) {
    document.title = title;
    announce(title);
  }
  document.dispatchEvent(new Event("refreshed")); // for scripts that enhance elements
}

/** Show the error page of the lab, after the server or run of this page was deleted. */
function showDeleted(page) {
  document.querySelector("main").replaceChildren(...document.importNode(page.querySelector("main"), true).childNodes);
  document.title = page.title;
  announce(page.title);
}

let follow = window.SharedWorker && navigator.locks ? shareStream() : openStream();
document.addEventListener("visibilitychange", followShown);
addEventListener("pagehide", () => follow([]));
addEventListener("pageshow", followShown);
followShown();
