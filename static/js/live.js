// A live part of a page asks for itself again; not while somebody types in it, or has a menu of it open.
(() => {
  "use strict";

  const isBusy = (part) => {
    const active = document.activeElement;
    const typing = part.contains(active) && active.matches("input, textarea, select");
    const written = [...part.querySelectorAll("input:not([type=hidden]), textarea")].some((each) => each.value !== each.defaultValue);
    return typing || written || part.querySelector("details[open]") !== null;
  };

  document.addEventListener("htmx:before:request", (event) => {
    const part = event.target.closest?.(".live");
    if (part && event.target === part && (isBusy(part) || document.hidden)) event.preventDefault();
  });

  // Signed out, or an error page: show that page instead of nothing.
  document.addEventListener("htmx:before:swap", (event) => {
    const context = event.detail.ctx;
    if (context?.target?.id === "live" && !(context.text || "").includes('id="live"')) {
      event.preventDefault();
      if (context.response?.status < 500) location.reload();
    }
  });
})();
