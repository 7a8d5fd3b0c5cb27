// Fetching a page of the lab again and taking parts of it into this one, as nodes.

/** The page at `url` as a document; throws when the lab does not answer with a page. */
export async function fetchPage(url) {
  const response = await fetch(url, { headers: { Accept: "text/html" }, cache: "no-store" });
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

/** Put `fresh` in the place of `stale` unless they are the same or someone is typing in it; whether it was replaced. */
export function replace(stale, fresh) {
  if (!fresh) return false;
  const focused = stale.contains(document.activeElement) ? document.activeElement : null;
  if (focused && !isTick(focused)) return false;
  keepChoices(stale, fresh);
  if (stale.isEqualNode(fresh)) return false;
  const taken = document.importNode(fresh, true);
  stale.replaceWith(taken);
  if (focused) sameTick(taken, focused)?.focus();
  return true;
}

function isTick(element) {
  return element.matches('input[type="checkbox"]');
}

/** The tick box within `part` that stands for the same thing as `box`. */
function sameTick(part, box) {
  return part.querySelector(`input[name="${CSS.escape(box.name)}"][value="${CSS.escape(box.value)}"]`);
}

/** What a person opened or chose stays opened and chosen. */
function keepChoices(stale, fresh) {
  const opened = stale.querySelectorAll("details");
  fresh.querySelectorAll("details").forEach((details, index) => {
    if (opened[index]) details.open = opened[index].open;
  });
  for (const select of fresh.querySelectorAll("select")) {
    const chosen = stale.querySelector(`#${CSS.escape(select.id)}`)?.value;
    for (const option of select.options) option.toggleAttribute("selected", option.value === chosen);
  }
  for (const box of stale.querySelectorAll('input[type="checkbox"]:checked')) {
    const same = sameTick(fresh, box);
    if (same) same.checked = true;
  }
}

/** Say something to people who listen to the page. */
export function announce(text) {
  document.querySelector("[data-announce]").textContent = text;
}
