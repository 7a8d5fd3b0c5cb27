// The forms that set up a server and its clients: shows the options of the chosen design and hides unused fields.

import { fetchPage } from "../lib/dom.js";

/** Show the variant of the current choice. Without script all variants are visible, each with its name. */
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
  for (const name of ["[data-options]", "#targets"]) {
    form.querySelector(name).replaceWith(document.importNode(page.querySelector(name), true));
  }
  history.replaceState(null, "", `/?model=${link.dataset.design}`);
}

/** Fetch the fields of other kinds of groups, with the values typed so far. */
async function chooseKinds(link) {
  const form = link.closest("form");
  const fields = new URLSearchParams();
  const kinds = new Set(Array.from(form.querySelectorAll("[data-groups] .designs__one"), (choice) => choice.textContent));
  for (const [name, value] of new FormData(form)) {
    const isGenerated = name.endsWith(".name") && kinds.has(value.replace(/-\d+$/, "")); // the default name depends on the kind
    if (!isGenerated) fields.set(place(name, link.dataset.without), value);
  }
  fields.set("kinds", link.dataset.kinds);
  const page = await fetchPage(`${new URL(link.href).pathname}?${fields}`);
  form.querySelector("[data-groups]").replaceWith(document.importNode(page.querySelector("[data-groups]"), true));
  form.querySelector(`[data-groups] [data-kinds="${link.dataset.kinds}"]`)?.focus();
}

/** Return the name of a field after group `taken` was removed: later groups move up; "" for fields of that group. */
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
