// Fetches a fragment that is slow to render when it comes near the viewport.

import { fetchPage, morph } from "../lib/dom.js";

const MARGIN = "400px";

async function load(element) {
  element.setAttribute("aria-busy", "true");
  const page = await fetchPage(element.dataset.later);
  morph(element, page.getElementById(element.id));
}

const watcher = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      load(target).catch(() => target.removeAttribute("aria-busy")); // the link to the whole page remains
    }
  },
  { rootMargin: MARGIN },
);

for (const element of document.querySelectorAll("[data-later]")) watcher.observe(element);
