// What takes the lab some seconds is left out of a page at first, and fetched when it is about to be seen.

import { fetchPage, replace } from "./parts.js";

const AHEAD = "400px";

async function take(part) {
  part.setAttribute("aria-busy", "true");
  const page = await fetchPage(part.dataset.later);
  replace(part, page.querySelector(`[data-part="${part.dataset.part}"]`));
}

const watcher = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      take(target).catch(() => target.removeAttribute("aria-busy")); // the link in it is still there
    }
  },
  { rootMargin: AHEAD },
);

for (const part of document.querySelectorAll("[data-later]")) watcher.observe(part);
