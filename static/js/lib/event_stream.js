// The event stream of fragment versions. It runs in the shared worker, or in the page if there is no shared worker.

const RETRY_MS = 1000;
const SETTLE_MS = 50; // tabs that open together cause one new stream

export class EventStream {
  /** `onVersions` is called with {name: version} of changed fragments, `onLost` with whether the lab is unreachable. */
  constructor(onVersions, onLost) {
    this.onVersions = onVersions;
    this.onLost = onLost;
    this.names = "";
    this.source = null;
    this.timer = 0;
  }

  /** Follow these fragments instead of the previous ones. Without names the stream is closed. */
  follow(names) {
    const wanted = [...new Set(names)].sort().join(" ");
    if (wanted === this.names) return;
    this.names = wanted;
    this.#reopen(SETTLE_MS);
  }

  #reopen(delay) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#open(), delay);
  }

  #open() {
    this.source?.close();
    this.source = null;
    if (!this.names) {
      this.onLost(false);
      return;
    }
    const query = new URLSearchParams(this.names.split(" ").map((name) => ["fragment", name]));
    const source = new EventSource(`/live/events?${query}`);
    this.source = source;
    source.addEventListener("open", () => this.onLost(false));
    source.addEventListener("fragments", (event) => this.onVersions(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      // The browser's own retry gives up after an error status, and waits longer than a restart of the lab takes.
      source.close();
      if (source !== this.source) return;
      this.onLost(true);
      this.#reopen(RETRY_MS);
    });
  }
}
