// Keeps the parts of a page marked `data-part` as the lab would serve them now.
// The lab's events only say that something changed; the page itself, fetched again, says what. A page that answers a
// form stands at the form's address and names its own in `data-live-from`.

import { fetchPage, replace } from "./parts.js";
import { follow } from "./stream.js";

const SLOWEST_MS = 500; // at most so often, however busy the lab is

class LiveParts {
  constructor(root) {
    this.root = root;
    this.due = 0;
    this.isFetching = false;
    this.isStale = false;
    const stale = () => this.refreshSoon();
    follow(root.dataset.liveParts, { snapshot: stale, servers: stale, server: stale, run: stale, runs: stale }, stale);
  }

  refreshSoon() {
    this.isStale = true;
    if (!this.due && !this.isFetching) this.due = setTimeout(() => this.refresh(), SLOWEST_MS);
  }

  async refresh() {
    this.due = 0;
    this.isFetching = true;
    this.isStale = false;
    try {
      const page = await fetchPage(this.root.dataset.liveFrom ?? location.href);
      for (const part of document.querySelectorAll("[data-part]")) {
        replace(part, page.querySelector(`[data-part="${part.dataset.part}"]`));
      }
    } catch {
      // The lab is away or this thing was deleted; the stream says which, and asks again when it is back.
    }
    this.isFetching = false;
    if (this.isStale) this.refreshSoon();
  }
}

for (const root of document.querySelectorAll("[data-live-parts]")) new LiveParts(root);
