// The set-up forms: options follow the chosen design at once, and fields that do not matter now step back.

import { fetchPage } from "./parts.js";

/** Show the variant that each choice stands at. Without script all of them are shown, each under its own name. */
function showChosen(changed) {
  for (const variant of document.querySelectorAll("[data-variant-of]")) {
    if (variant.dataset.variantOf === changed.name) {
      variant.toggleAttribute("data-chosen", variant.dataset.variant === changed.value);
    }
  }
}

async function chooseDesign(link) {
  const form = link.closest("form");
  const fields = new URLSearchParams(new FormData(form));
  fields.set("model", link.dataset.design);
  const page = await fetchPage(`/?${fields}`);
  for (const current of form.querySelectorAll("[data-design]")) {
    if (current === link) current.setAttribute("aria-current", "true");
    else current.removeAttribute("aria-current");
  }
  for (const name of ["[data-options]", "[data-part=targets]"]) {
    form.querySelector(name).replaceWith(document.importNode(page.querySelector(name), true));
  }
  const address = `/?model=${link.dataset.design}`;
  form.closest("[data-live-from]").dataset.liveFrom = address;
  history.replaceState(null, "", address);
}

/** The groups as the lab serves them for other kinds, holding what was typed. */
async function chooseKinds(link) {
  const form = link.closest("form");
  const fields = new URLSearchParams();
  const kinds = new Set(Array.from(form.querySelectorAll("[data-groups] .designs__one"), (choice) => choice.textContent));
  for (const [name, value] of new FormData(form)) {
    const isMadeUp = name.endsWith(".name") && kinds.has(value.replace(/-\d+$/, "")); // it goes with the kind
    if (!isMadeUp) fields.set(place(name, link.dataset.without), value);
  }
  fields.set("kinds", link.dataset.kinds);
  const page = await fetchPage(`${new URL(link.href).pathname}?${fields}`);
  form.querySelector("[data-groups]").replaceWith(document.importNode(page.querySelector("[data-groups]"), true));
  form.querySelector(`[data-groups] [data-kinds="${link.dataset.kinds}"]`)?.focus();
}

/** Where a field stands when the group at `taken` is taken away: those after it move up. */
function place(name, taken) {
  const [, number, field] = name.match(/^clients\.(\d+)\.(.*)$/) ?? [];
  if (taken === undefined || number === undefined || Number(number) < Number(taken)) return name;
  return number === taken ? "" : `clients.${number - 1}.${field}`;
}

document.addEventListener("change", (event) => {
  if (event.target.name) showChosen(event.target);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-design], [data-kinds]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const choose = link.dataset.kinds ? chooseKinds : chooseDesign;
  choose(link).catch(() => location.assign(link.href));
});
