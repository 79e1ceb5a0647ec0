// Conveniences of every page: menus close, the link is copied, F opens the filter. Each page works without this file.
(() => {
  "use strict";
  document.documentElement.classList.add("has-script");

  // The newest month stands last; where not all fit, it is what people came for.
  for (const region of document.querySelectorAll("[data-newest-last]")) region.scrollLeft = region.scrollWidth;

  const openMenus = () => document.querySelectorAll("details.pop[open]");

  document.addEventListener("click", (event) => {
    for (const menu of openMenus()) {
      if (!menu.contains(event.target)) menu.open = false;
    }
    const copy = event.target.closest("[data-copy-link]");
    if (copy) copyLink(copy);
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      for (const menu of openMenus()) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
      return;
    }
    const typing = event.target.closest("input, select, textarea, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const wanted = document.querySelector(`details[data-shortcut="${CSS.escape(event.key.toLowerCase())}"]`);
    if (wanted) {
      event.preventDefault();
      wanted.open = true;
      wanted.querySelector("summary").focus();
    }
  });

  // One menu at a time; the arrow keys walk through an open one.
  document.addEventListener(
    "toggle",
    (event) => {
      if (!event.target.matches?.("details.pop") || !event.target.open) return;
      for (const menu of openMenus()) {
        if (menu !== event.target && !menu.contains(event.target)) menu.open = false;
      }
    },
    true,
  );
  document.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const menu = event.target.closest("details.pop[open]");
    if (!menu || event.target.matches("input")) return;
    const items = [...menu.querySelectorAll("summary, a, button")].filter((item) => item.checkVisibility());
    const at = items.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
    const next = items[(at + items.length) % items.length];
    event.preventDefault();
    next.focus();
  });

  async function copyLink(button) {
    const words = button.querySelector("span");
    const link = new URL(button.dataset.path, location.href).href;
    try {
      await navigator.clipboard.writeText(link);
      words.textContent = "Copied";
    } catch {
      // No clipboard without https or permission: put the whole link into the address bar instead.
      history.replaceState(history.state, "", link);
      words.textContent = "In the address bar";
    }
    setTimeout(() => (words.textContent = "Copy link"), 2000);
  }

  // A partial update that is no part of this page (signed out, an error page) is shown as the page that it is.
  document.addEventListener("htmx:before:swap", (event) => {
    const context = event.detail.ctx;
    if (context?.target?.id === "column" && !(context.text || "").includes('id="column"')) {
      event.preventDefault();
      location.assign(context.request.action);
    }
  });
})();
