// Conveniences of the Budgets pages: single keys lead on, Ctrl+Enter saves, a changed form is not left by accident.
(() => {
  "use strict";
  const form = document.getElementById("budget-form");
  let changed = false;

  document.addEventListener("keydown", (event) => {
    if (form && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit(form.querySelector("[name=save]"));
      return;
    }
    const typing = event.target.closest("input, select, textarea, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const link = document.querySelector(`a[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
    if (link) {
      event.preventDefault();
      link.click();
    }
  });

  if (!form) return;
  form.addEventListener("input", () => (changed = true));
  form.addEventListener("submit", () => (changed = false));
  window.addEventListener("beforeunload", (event) => {
    if (changed) event.preventDefault();
  });
  // The first field that needs something has the focus: the first mistake, else the limit of a new budget.
  const first = form.querySelector("[aria-invalid=true]") || (form.elements.amount.value ? null : form.elements.amount);
  first?.focus();
})();
