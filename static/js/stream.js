// One event stream to the lab that says when it is lost and heals by itself, also after the lab was restarted.

const RETRY_MS = 1000;
const lostNotice = document.querySelector("[data-lost]");

/**
 * Follow the events at `url`. `handlers` maps event names to functions of the event's data, parsed from JSON;
 * `reopened` is called when the stream is back after a loss, since events may have been missed.
 * Returns a function that ends it.
 */
export function follow(url, handlers, reopened = () => {}) {
  let source = null;
  let retry = 0;
  let wasLost = false;

  function open() {
    source = new EventSource(url);
    source.addEventListener("open", () => {
      lostNotice.hidden = true;
      if (wasLost) reopened();
      wasLost = false;
    });
    source.addEventListener("error", () => {
      // The browser's own retry gives up on an error status, and waits longer than a restart takes.
      source.close();
      wasLost = true;
      lostNotice.hidden = false;
      retry = setTimeout(again, RETRY_MS);
    });
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
    }
  }

  /** Open it once more; what was deleted meanwhile will never answer again, and its page is told so. */
  async function again() {
    const control = new AbortController();
    const answer = await fetch(url, { signal: control.signal }).catch(() => null);
    control.abort();
    if (answer?.status !== 404) {
      open();
    } else {
      lostNotice.hidden = true;
      handlers.end?.({ state: "deleted" });
    }
  }

  function end() {
    clearTimeout(retry);
    source.close();
  }

  open();
  addEventListener("pagehide", end);
  addEventListener("pageshow", (event) => {
    if (event.persisted) open();
  });
  return end;
}
