// A server's page, live: each event of its stream is drawn in the next frame; what is not drawn (its state, what can be
// done with it) is taken from the page as the lab serves it, when that has changed.

import { announce, fetchPage, replace } from "./parts.js";
import { count } from "./figures.js";
import { Lanes, showStops, showWaiting, write } from "./server_lanes.js";
import { Minute } from "./server_minute.js";
import { follow } from "./stream.js";

const EVENTS_SHOWN = 200;
const CALM_MS = 1000; // for people who asked for less motion
const calm = matchMedia("(prefers-reduced-motion: reduce)");

class ServerPage {
  constructor(root) {
    this.root = root;
    this.frame = 0;
    this.shownAt = 0;
    this.known = ""; // what the fetched parts show
    this.end = follow(root.dataset.liveServer, {
      snapshot: (data) => this.begin(data),
      look: (look) => this.take(look),
      end: () => this.deleted(),
    });
  }

  begin({ server, look }) {
    this.lanes = new Lanes();
    this.minute = new Minute();
    this.wall = Date.now() / 1000 - look.at_s;
    this.root.querySelector("[data-events] tbody").replaceChildren();
    this.tell(look.events.length === 0);
    this.take(look);
    this.server = server;
  }

  take(look) {
    this.look = look;
    this.lanes.remember(look.busy, look.at_s);
    this.minute.remember(look.samples, look.at_s);
    this.note(look.events);
    const known = JSON.stringify([look.state, look.run_ids]);
    if (this.known && known !== this.known) this.renew().catch(() => {});
    this.known = known;
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  draw() {
    const early = calm.matches ? this.shownAt + CALM_MS - performance.now() : 0;
    if (early > 0) {
      this.frame = setTimeout(() => this.draw(), early); // the last look may have no other after it
      return;
    }
    this.frame = 0;
    this.shownAt = performance.now();
    showStops(this.root, this.look.stats);
    this.lanes.show(this.root, this.look);
    showWaiting(this.root, this.look);
    this.minute.show(this.root, this.look.at_s);
    this.outcomes(this.look.outcomes);
  }

  outcomes(counts) {
    const list = this.root.querySelector("[data-outcomes]");
    const names = Object.keys(counts);
    this.root.querySelector("[data-no-outcomes]").hidden = names.length > 0;
    while (list.children.length > names.length) list.lastElementChild.remove();
    names.forEach((name, place) => {
      const pair = list.children[place] ?? list.appendChild(document.createElement("div"));
      if (!pair.firstChild) pair.append(document.createElement("dt"), document.createElement("dd"));
      write(pair.firstElementChild, name.replaceAll("_", " "));
      write(pair.lastElementChild, count(counts[name]));
    });
  }

  note(events) {
    const body = this.root.querySelector("[data-events] tbody");
    for (const [at, kind, detail] of events) {
      const row = body.insertRow(0);
      const when = row.insertCell();
      when.className = "table__when";
      when.textContent = new Date((at + this.wall) * 1000).toLocaleTimeString("en-GB");
      const what = row.appendChild(document.createElement("th"));
      what.scope = "row";
      what.textContent = kind.replaceAll("_", " ");
      row.insertCell().textContent = detail;
    }
    while (body.rows.length > EVENTS_SHOWN) body.lastElementChild.remove();
    if (events.length) this.tell(false);
  }

  tell(isQuiet) {
    this.root.querySelector("[data-events]").hidden = isQuiet;
    this.root.querySelector("[data-no-events]").hidden = !isQuiet;
  }

  /** Take the parts that are not drawn here, and the frames of those that are, as the lab serves them now. */
  async renew() {
    const page = await fetchPage(this.root.dataset.liveFrom);
    for (const part of this.root.querySelectorAll("[data-part]")) {
      replace(part, page.querySelector(`[data-part="${part.dataset.part}"]`));
    }
    announce(this.look.state);
  }

  deleted() {
    this.end();
    const notice = document.createElement("p");
    notice.className = "notice notice--warn";
    notice.textContent = "This server was deleted.";
    this.root.querySelector("[data-part=notices]").replaceChildren(notice);
    this.root.querySelector("[data-part=actions]").replaceChildren();
  }
}

const root = document.querySelector("[data-live-server]");
if (root) new ServerPage(root);
