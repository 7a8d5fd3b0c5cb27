// Buttons that copy the text of an element to the clipboard.

import { announce } from "../lib/dom.js";

const SHOWN_MS = 2000;

async function copy(button) {
  const listing = document.getElementById(button.dataset.copy);
  await navigator.clipboard.writeText(listing.textContent);
  button.textContent = "Copied";
  announce("Copied");
  setTimeout(() => {
    button.textContent = "Copy";
  }, SHOWN_MS);
}

/** Select the text, if the browser denies access to the clipboard. */
function select(button) {
  getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button).catch(() => select(button));
});
