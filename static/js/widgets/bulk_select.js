// Shows the number of selected checkboxes on each button of a form, and disables a button outside of its limits.

const form = document.querySelector("[data-ticked]");

function update() {
  const count = [...form.elements].filter((box) => box.type === "checkbox" && box.checked).length;
  for (const button of form.querySelectorAll("[data-words]")) {
    button.disabled = count < Number(button.dataset.least) || count > Number(button.dataset.most);
    button.dataset.none ??= button.textContent;
    button.textContent = count ? button.dataset.words.replace("#", count) : button.dataset.none;
  }
}

if (form) {
  document.addEventListener("change", update);
  document.addEventListener("refreshed", update);
  addEventListener("pageshow", update); // the browser restores checkboxes when a user goes back
  update();
}
