// Shared worker with one event stream for all tabs of a browser. Browsers open at most six HTTP/1.1 connections per
// origin, so that a stream per tab could use up all of them.
//
// A tab sends {names, lock}: the fragments that it follows, and the name of a Web Lock that it holds until it ends. The
// browser also releases the lock of a tab that has crashed or was discarded, so the worker learns of every end.

import { EventStream } from "./event_stream.js";

const tabs = new Map(); // port to the set of names that its tab follows
const versions = new Map(); // name to version, of the fragments that are followed
let isLost = false;

const stream = new EventStream(
  (changed) => {
    for (const [name, version] of Object.entries(changed)) versions.set(name, version);
    for (const [port, names] of tabs) send(port, names, Object.keys(changed));
  },
  (lost) => {
    isLost = lost;
    for (const port of tabs.keys()) port.postMessage({ isLost });
  },
);

function send(port, names, changed) {
  const known = changed.filter((name) => names.has(name) && versions.has(name));
  if (known.length) port.postMessage({ versions: Object.fromEntries(known.map((name) => [name, versions.get(name)])) });
}

function followAll() {
  const all = new Set([...tabs.values()].flatMap((names) => [...names]));
  for (const name of versions.keys()) if (!all.has(name)) versions.delete(name); // not kept up to date any longer
  stream.follow(all);
}

function receive(port, { names, lock }) {
  if (!tabs.has(port)) navigator.locks.request(lock, () => drop(port));
  const followed = new Set(names);
  tabs.set(port, followed);
  followAll();
  port.postMessage({ isLost });
  send(port, followed, names);
}

function drop(port) {
  tabs.delete(port);
  followAll();
}

addEventListener("connect", ({ ports: [port] }) => {
  port.addEventListener("message", ({ data }) => receive(port, data));
  port.start();
});
