(function () {
"use strict";
const byId = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];
const themes = JSON.parse(byId("themes").textContent);
const darkness = matchMedia("(prefers-color-scheme: dark)");
const unpacked = new Map();
const drawn = new Map(); // box -> what vegaEmbed returned
let waiting = 0;

// What a script element holds: deflated JSON.
function unpack(id) {
  if (!unpacked.has(id)) {
    const bytes = Uint8Array.from(atob(byId(`data-${id}`).textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    unpacked.set(id, new Response(stream).json());
  }
  return unpacked.get(id);
}

// Legends take as many columns as fit; charts the width there is, but those that are as wide as they are.
function fitted(spec, width) {
  const made = structuredClone(spec);
  const walk = (part) => {
    if (Array.isArray(part)) return part.forEach(walk);
    if (!part || typeof part !== "object") return;
    if (part.legend && part.scale && Array.isArray(part.scale.domain)) {
      const longest = Math.max(...part.scale.domain.map((name) => String(name).length));
      part.legend.columns = Math.max(1, Math.floor((width - 40) / (44 + 6 * longest)));
    }
    for (const [key, value] of Object.entries(part)) if (key !== "datasets") walk(value);
  };
  walk(made);
  if (made.facet) {
    made.columns = width < 560 ? 1 : 3;
    if (typeof made.spec.width === "number") made.spec.width = Math.max(90, (width - (width < 560 ? 140 : 270)) / made.columns - 24);
  } else if (typeof made.width === "number" && made.usermeta?.fit !== "none") {
    if (made.usermeta) made.height = Math.max(made.height, Math.min(360, 0.36 * width));
    made.width = Math.max(width, made.usermeta?.least ?? 0);
    made.autosize = { type: "fit-x", contains: "padding" };
  }
  return made;
}

async function draw(box) {
  const [id, name] = box.dataset.chart.split("/");
  waiting += 1;
  delete document.documentElement.dataset.drawn;
  try {
    const isNarrow = box.clientWidth < 560;
    const width = box.clientWidth - (isNarrow ? 0 : 40); // beside the menu
    const spec = fitted((await unpack(id))[name], width);
    spec.description = box.getAttribute("aria-label");
    const config = structuredClone(darkness.matches ? themes.dark : themes.light);
    if (isNarrow) config.axis.labelLimit = 120;
    config.legend.labelLimit = width - 60;
    drawn.get(box)?.finalize();
    drawn.set(box, await vegaEmbed(box, spec, {
      ast: true, renderer: "svg", logLevel: 1, mode: "vega-lite", config, downloadFileName: name,
      actions: isNarrow ? false : { export: true, source: false, compiled: false, editor: false },
      tooltip: { theme: darkness.matches ? "dark" : "light" },
    }));
  } catch (error) {
    box.textContent = "This browser cannot draw the chart.";
    box.classList.add("failed");
    console.error(error);
  }
  waiting -= 1;
  if (!waiting) document.documentElement.dataset.drawn = "";
}

// A chart is drawn when it comes near.
const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    draw(target);
  }
}, { rootMargin: "1000px" });

function redraw() {
  document.documentElement.classList.toggle("dark", darkness.matches);
  for (const box of drawn.keys()) if (box.clientWidth) draw(box);
}

function choose() {
  const tasks = all(".task");
  const chosen = tasks.find((one) => `#${one.id}` === location.hash) || tasks[0];
  const open = all(".task.chosen > details[open]").map((one) => one.dataset.fold);
  for (const one of tasks) one.classList.toggle("chosen", one === chosen);
  for (const one of all(".task.chosen > details")) one.open ||= open.includes(one.dataset.fold);
  if (byId("pick") && chosen) byId("pick").value = chosen.id;
}

async function fill(box) {
  const { tables } = await unpack(box.dataset.tables);
  box.innerHTML = tables.map((one) => `<div class="scroll" tabindex="0">${one}</div>`).join("");
}

document.documentElement.classList.add("js");
choose();
addEventListener("hashchange", choose);
byId("pick")?.addEventListener("change", (event) => { location.hash = event.target.value; });
for (const box of all("[data-tables]")) box.parentElement.addEventListener("toggle", () => fill(box), { once: true });
for (const box of all(".chart")) near.observe(box);
darkness.addEventListener("change", redraw);
let width = innerWidth;
let timer = 0;
addEventListener("resize", () => {
  clearTimeout(timer);
  timer = setTimeout(() => { if (innerWidth !== width) redraw(); width = innerWidth; }, 200);
});
document.documentElement.classList.toggle("dark", darkness.matches);
if (!all(".chart").length) document.documentElement.dataset.drawn = "";
})();
