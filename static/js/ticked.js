// Says on each button of a form how many boxes are ticked for it, and holds it back when they are too few or too many.

const form = document.querySelector("[data-ticked]");

function tell() {
  const count = [...form.elements].filter((box) => box.type === "checkbox" && box.checked).length;
  for (const button of form.querySelectorAll("[data-words]")) {
    button.disabled = count < Number(button.dataset.least) || count > Number(button.dataset.most);
    button.dataset.none ??= button.textContent;
    button.textContent = count ? button.dataset.words.replace("#", count) : button.dataset.none;
  }
}

if (form) {
  document.addEventListener("change", tell);
  new MutationObserver(tell).observe(form.parentElement, { childList: true }); // the list comes anew by itself
  addEventListener("pageshow", tell); // a browser that goes back ticks the boxes again
  tell();
}
