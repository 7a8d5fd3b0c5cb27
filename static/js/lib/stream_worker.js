// A shared worker: one event stream for all tabs of a browser. A browser opens six connections to one origin, and a
// stream in each tab would leave none for forms.
//
// A tab sends {names, lock}: the fragments that it follows, and the name of a Web Lock that it holds as long as it
// lives. The browser releases the lock of a tab that was closed, has crashed or was discarded without a farewell.

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
  for (const name of versions.keys()) if (!all.has(name)) versions.delete(name); // it would be out of date
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
