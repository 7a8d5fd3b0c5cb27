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

document.addEventListener("change", (event) => {
  if (event.target.name) showChosen(event.target);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-design]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  chooseDesign(link).catch(() => location.assign(link.href));
});
