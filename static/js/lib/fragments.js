// Keeps the elements marked `data-fragment` as the lab renders them now: an event names a fragment and its version; the
// fragments whose version the page does not have are fetched with one request and put in their places. An element with
// `data-from` is a part of the page at that address.
//
// A hidden tab fetches the fragments with `data-while-hidden` only, and the others when it becomes visible.

import { announce, fetchFragments, fetchPage, morph } from "./dom.js";
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
  const byPage = new Map(); // address of a page, or "" for fragments, to the elements
  for (const element of elements().filter(isStale)) {
    shown.set(element, latest.get(element.dataset.fragment));
    // A widget in the element can cancel the event and fetch its own viewport.
    if (!element.dispatchEvent(new CustomEvent("stale", { bubbles: true, cancelable: true }))) continue;
    const url = element.dataset.from ?? "";
    byPage.set(url, [...(byPage.get(url) ?? []), element]);
  }
  const results = await Promise.allSettled(Array.from(byPage, ([url, stale]) => fetchInto(url, stale)));
  const errors = results.filter(({ status }) => status === "rejected").map(({ reason }) => reason);
  const deleted = errors.find(({ status }) => status === 404);
  if (deleted) showDeleted(deleted.page);
  followShown();
  return errors.length > 0;
}

async function fetchInto(url, stale) {
  try {
    if (url) {
      const page = await fetchPage(url);
      for (const element of stale) put(element, page);
    } else {
      const fragments = await fetchFragments(new Set(stale.map((element) => element.dataset.fragment)));
      for (const element of stale) {
        const name = element.dataset.fragment;
        const found = fragments.get(name);
        if (!found) continue; // it was deleted
        // The stream is about to name a version that is newer than the one that it has named.
        if (latest.get(name) === shown.get(element)) latest.set(name, found.version);
        put(element, found.page, found.version);
      }
    }
  } catch (error) {
    for (const element of stale) shown.delete(element);
    throw error;
  }
}

function put(element, page, version = shown.get(element)) {
  const fresh = page.getElementById(element.id);
  if (!fresh || !element.isConnected) return;
  shown.set(element, version);
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
