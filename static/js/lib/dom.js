// Fetches pages and fragments of the lab and updates the current page with them.

/** The document at `url`; throws an error with the status if that is not 200. */
export async function fetchPage(url) {
  const response = await fetch(url, { headers: { Accept: "text/html" }, cache: "no-store" });
  const page = parse(await response.text());
  if (!response.ok) throw Object.assign(new Error(`${url}: ${response.status}`), { status: response.status, page });
  return page;
}

/** Fragments with these names, each a document and its version; without those whose server or run was deleted. */
export async function fetchFragments(names) {
  const url = `/live/fragments?${new URLSearchParams(Array.from(names, (name) => ["fragment", name]))}`;
  const response = await fetch(url, { cache: "no-store" });
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  const found = Object.entries(await response.json());
  return new Map(found.map(([name, { version, html }]) => [name, { version, page: parse(html) }]));
}

function parse(html) {
  return new DOMParser().parseFromString(html, "text/html");
}

/**
 * Make `stale`, a node of this page, equal to `fresh`. Equal nodes are not replaced, so that focus, scroll positions
 * and selections are kept. Elements with an id or a `data-key` are matched by it, others by their order. The state of
 * form controls and details elements is kept. An element with `data-widget` receives the event `fresh`; if a listener
 * cancels it, the element is left unchanged and the listener uses `event.detail`.
 */
export function morph(stale, fresh) {
  if (stale.isEqualNode(fresh)) return;
  if (!isSame(stale, fresh) || stale instanceof SVGSVGElement) {
    stale.replaceWith(document.importNode(fresh, true));
  } else if (stale.nodeType !== Node.ELEMENT_NODE) {
    stale.data = fresh.data;
  } else if (stale.dataset.widget === undefined || stale.dispatchEvent(new CustomEvent("fresh", { detail: fresh, cancelable: true }))) {
    const chosen = stale.localName === "select" ? stale.value : null;
    morphAttributes(stale, fresh);
    morphChildren(stale, fresh);
    if ([...(stale.options ?? [])].some(({ value }) => value === chosen)) stale.value = chosen;
  }
}

function isSame(stale, fresh) {
  return stale.nodeName === fresh.nodeName && keyOf(stale) === keyOf(fresh);
}

function keyOf(node) {
  return node.dataset?.key || node.id || null;
}

function morphAttributes(stale, fresh) {
  for (const { name } of [...stale.attributes]) {
    if (!fresh.hasAttribute(name) && !isOpenState(stale, name)) stale.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (stale.getAttribute(name) !== value && !isOpenState(stale, name)) stale.setAttribute(name, value);
  }
}

function isOpenState(element, name) {
  return name === "open" && element.localName === "details";
}

function morphChildren(stale, fresh) {
  const keys = new Set(Array.from(fresh.children, keyOf));
  for (const child of [...stale.children]) if (keyOf(child) !== null && !keys.has(keyOf(child))) child.remove();
  const keyed = new Map(Array.from(stale.children, (child) => [keyOf(child), child]));
  let at = stale.firstChild;
  for (const node of [...fresh.childNodes]) {
    const match = keyOf(node) === null ? next(at, node) : keyed.get(keyOf(node));
    if (!match || match.nodeName !== node.nodeName) {
      stale.insertBefore(document.importNode(node, true), at);
      continue;
    }
    if (keyOf(node) === null) {
      while (at !== match) at = removeNode(at);
    } else if (match !== at) {
      stale.insertBefore(match, at);
    }
    if (match === at) at = at.nextSibling;
    morph(match, node);
  }
  while (at) at = removeNode(at);
}

/** Return the first node from `at` on that can become `node` while only nodes without a key are removed before it. */
function next(at, node) {
  for (let sibling = at; sibling && keyOf(sibling) === null; sibling = sibling.nextSibling) {
    if (sibling.nodeName === node.nodeName) return sibling;
    if (node.nodeType !== Node.ELEMENT_NODE) return null;
  }
  return null;
}

function removeNode(node) {
  const following = node.nextSibling;
  node.remove();
  return following;
}

/** Announce `text` to screen readers. */
export function announce(text) {
  document.querySelector("[data-announce]").textContent = text;
}
