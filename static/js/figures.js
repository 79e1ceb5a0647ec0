// Draws the figures that the server made (plain Plotly dicts in json_script), in the colours of the current theme.
(() => {
  "use strict";
  const NARROW = 560;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // The server names colours ("slot:3", "slot:3:line", "token:grid"); the style sheet decides what they are.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

  function rgb(colour) {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return `rgba(${red},${green},${blue},${alpha / 255})`;
  }

  function resolver() {
    const probe = document.createElement("i");
    probe.hidden = true;
    document.body.append(probe);
    const known = new Map();
    const look = (name) => {
      const [kind, what, part] = name.split(":");
      if (kind === "token" && what === "font") return getComputedStyle(document.body).fontFamily;
      if (kind === "token") {
        probe.className = "";
        probe.style.color = `var(--${what})`;
        return rgb(getComputedStyle(probe).color);
      }
      probe.className = `swatch slot${what}`;
      const style = getComputedStyle(probe);
      return rgb(part === "line" ? style.borderTopColor : style.backgroundColor);
    };
    const resolve = (value) => {
      if (typeof value === "string" && /^(slot|token):/.test(value)) {
        if (!known.has(value)) known.set(value, look(value));
        return known.get(value);
      }
      if (Array.isArray(value)) return value.map(resolve);
      if (value && typeof value === "object") {
        return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, resolve(one)]));
      }
      return value;
    };
    return { resolve, done: () => probe.remove() };
  }

  function draw(plot) {
    const source = document.getElementById(plot.dataset.figure);
    if (!source || !window.Plotly) return;
    let area = plot.querySelector(".canvas");
    if (!area) {
      area = document.createElement("div");
      area.className = "canvas";
      plot.append(area);
    }
    const figure = JSON.parse(source.textContent);
    const { resolve, done } = resolver();
    const narrow = plot.clientWidth < NARROW;
    const layout = { ...resolve(narrow ? figure.narrow : figure.wide), width: plot.clientWidth, height: plot.clientHeight };
    Plotly.react(area, resolve(figure.data), layout, { displayModeBar: false, responsive: false, showTips: false });
    done();
    plot.dataset.layout = narrow ? "narrow" : "wide";
    plot.dataset.ready = "";
  }

  const sizes = new WeakMap();
  const watcher = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const size = `${target.clientWidth}x${target.clientHeight}`;
      if (sizes.get(target) === size) continue;
      sizes.set(target, size);
      draw(target);
    }
  });

  function start() {
    for (const plot of document.querySelectorAll(".plot[data-figure]")) watcher.observe(plot);
  }

  const again = () => document.querySelectorAll(".plot[data-ready]").forEach(draw);
  dark.addEventListener("change", again);
  addEventListener("beforeprint", again);
  document.addEventListener("htmx:after:swap", start);
  start();
})();
