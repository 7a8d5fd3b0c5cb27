// Copies a listing to the clipboard when its button is pressed.

import { announce } from "./parts.js";

const SAID_MS = 2000;

async function copy(button) {
  const listing = document.getElementById(button.dataset.copy);
  await navigator.clipboard.writeText(listing.textContent);
  button.textContent = "Copied";
  announce("Copied");
  setTimeout(() => {
    button.textContent = "Copy";
  }, SAID_MS);
}

/** Where the clipboard is not ours to write, the text is at least selected. */
function select(button) {
  getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button).catch(() => select(button));
});
