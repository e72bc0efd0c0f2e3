// What is chosen, and drawing it.

function unique(values) {
  return [...new Set(values)];
}

function tasksWith(wanted) {
  return DATA.tasks.filter((task) => Object.entries(wanted).every(([name, value]) => task[name] === value));
}

function fillTaskPickers() {
  const task = theTask();
  const asOptions = (values) => unique(values).map((value) => [String(value), String(value)]);
  const { surrogate, cluster } = task;
  fillSelect(byId("pick-surrogate"), asOptions(DATA.tasks.map((one) => one.surrogate)), surrogate);
  fillSelect(byId("pick-cluster"), asOptions(tasksWith({ surrogate }).map((one) => one.cluster)), cluster);
  fillSelect(byId("pick-workers"), asOptions(tasksWith({ surrogate, cluster }).map((one) => one.workers)), task.workers);
}

// The task with what was picked last, and of the rest as much as there is.
function pickTask() {
  const surrogate = byId("pick-surrogate").value;
  const cluster = byId("pick-cluster").value;
  const workers = Number(byId("pick-workers").value);
  const near = tasksWith({ surrogate, cluster, workers })[0] || tasksWith({ surrogate, cluster })[0] || tasksWith({ surrogate, workers })[0] || tasksWith({ surrogate })[0];
  state.task = DATA.tasks.indexOf(near);
  update();
}

function bracketsOf(task) {
  return unique(shownRows(task.rungs).map((row) => row.bracket)).sort((a, b) => a - b);
}

// The one that was chosen; else the one with the largest loss at a rung.
function theBracket() {
  const found = bracketsOf(theTask());
  if (found.includes(state.bracket)) return state.bracket;
  const rows = shownRows(theTask().rungs).filter((row) => isNumber(row.loss));
  return rows.reduce((most, row) => (row.loss > most.loss ? row : most), { loss: 0, bracket: found[0] ?? 0 }).bracket;
}

function fillOtherPickers() {
  const task = theTask();
  for (const name of Object.keys(CHOICES).filter((one) => byId(`pick-${one}`))) byId(`pick-${name}`).value = state[name];
  byId("pick-y").value = regretAxis();
  fillSelect(byId("pick-bracket"), bracketsOf(task).map((bracket) => [String(bracket), String(bracket)]), theBracket());
  const timelines = task.timelines.map((one) => [nameOf(one.variant), nameOf(one.variant)]);
  if (timelines.length) fillSelect(byId("pick-timeline"), timelines, nameOf(theTimeline().variant));
}

function setHidden(variant, isHidden) {
  if (isHidden) state.hidden.add(variant);
  else state.hidden.delete(variant);
  update();
}

function buildVariantPickers() {
  const boxes = DATA.variants.map(({ name }, variant) => {
    const input = element("input", { type: "checkbox", value: variant });
    input.addEventListener("change", () => setHidden(variant, !input.checked));
    return element("label", { class: "box" }, input, swatch(variant), element("span", {}, name));
  });
  byId("variant-boxes").replaceChildren(...boxes);
  for (const key of document.querySelectorAll(".toggles")) {
    key.replaceChildren(...DATA.variants.map((_, variant) => toggle(variant)));
  }
}

function toggle(variant) {
  const { name, short } = DATA.variants[variant];
  const button = element("button", { type: "button", value: variant, title: name }, swatch(variant), element("span", {}, short));
  button.addEventListener("click", () => setHidden(variant, isShown(variant)));
  for (const [event, lit] of [["mouseenter", variant], ["focus", variant], ["mouseleave", null], ["blur", null]]) {
    button.addEventListener(event, () => lightUp(lit));
  }
  return button;
}

function showVariantPickers() {
  for (const input of document.querySelectorAll("#variant-boxes input")) input.checked = isShown(Number(input.value));
  for (const button of document.querySelectorAll(".toggles button")) button.setAttribute("aria-pressed", isShown(Number(button.value)));
  const count = DATA.variants.length;
  byId("variants-count").textContent = state.hidden.size ? `${count - state.hidden.size} of ${count}` : `all ${count}`;
}

function findVariants(text) {
  const wanted = text.trim().toLowerCase();
  const hidden = DATA.variants.map((_, i) => i).filter((i) => !DATA.variants[i].name.toLowerCase().includes(wanted));
  state.hidden = new Set(hidden);
  update();
}

function nameTask() {
  const task = theTask();
  const name = `${task.surrogate} · ${task.setting}`;
  byId("task-name").textContent = name;
  for (const one of document.querySelectorAll(".task-name")) one.textContent = name;
  for (const one of document.querySelectorAll(".setting-name")) one.textContent = task.setting;
  const words = measureWords(state.measure);
  byId("intervals-head").textContent = `${words[0].toUpperCase()}${words.slice(1)}, with 95% intervals; lower is better`;
  byId("said").textContent = `Shown: ${name}, ${DATA.variants.length - state.hidden.size} variants.`;
}

// A figure for each heatmap of the setting; those that are there are used again.
function drawHeatmaps() {
  const mine = DATA.heatmaps.filter((heatmap) => heatmap.setting === theTask().setting);
  for (const one of document.querySelectorAll(".heat")) one.hidden = !mine.length;
  const first = CHARTS.findIndex((chart) => chart.id.startsWith("heatmap-"));
  if (first >= 0) CHARTS.splice(first).slice(mine.length).forEach((chart) => Plotly.purge(byId(chart.id))); // and then their boxes go
  const figures = [...byId("heatmap-figures").children].slice(0, mine.length);
  mine.forEach((heatmap, i) => {
    CHARTS.push({ id: `heatmap-${i}`, make: () => heatmapChart(heatmap) });
    figures[i] = figures[i] || element("figure", {}, element("h3"), element("div", { id: `heatmap-${i}`, class: "plot" }));
    figures[i].firstChild.textContent = `${heatmap.title}: mean normalised regret; darker is better`;
  });
  byId("heatmap-figures").replaceChildren(...figures);
}

function show() {
  fillTaskPickers();
  fillOtherPickers();
  showVariantPickers();
  nameTask();
  drawAcross();
  drawFacts();
  drawTaskTable();
  drawRungsTable();
  drawSharesTable();
  drawHeatmaps();
  drawCharts();
}

function update() {
  writeAddress();
  show();
}

function listen() {
  for (const name of ["surrogate", "cluster", "workers"]) byId(`pick-${name}`).addEventListener("change", pickTask);
  for (const name of [...Object.keys(CHOICES), "duels"]) listenTo(`pick-${name}`, name, String);
  listenTo("pick-bracket", "bracket", Number);
  listenTo("pick-timeline", "timeline", String);
  byId("find-variant").addEventListener("input", (event) => findVariants(event.target.value));
  byId("all-variants").addEventListener("click", () => findVariants((byId("find-variant").value = "")));
  byId("no-variants").addEventListener("click", () => {
    state.hidden = new Set(DATA.variants.map((_, i) => i));
    update();
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && byId("pick-variants").open) {
      byId("pick-variants").open = false;
      byId("pick-variants").firstElementChild.focus();
    }
  });
  document.addEventListener("click", (event) => {
    if (!byId("pick-variants").contains(event.target)) byId("pick-variants").open = false;
  });
  addEventListener("hashchange", () => {
    if (readAddress()) {
      show();
      (sectionAt() || byId("task")).scrollIntoView();
    }
  });
  listenToContents();
  listenToSurroundings();
}

function listenTo(id, name, convert) {
  const select = byId(id); // not there where there is nothing to choose
  if (!select) return;
  select.addEventListener("change", (event) => {
    state[name] = convert(event.target.value);
    update();
  });
}

// The section that the address names.
function sectionAt() {
  const found = state.at && byId(state.at);
  return found && found.matches("main > section") ? found : null;
}

// A link of the contents keeps what is chosen in the address.
function listenToContents() {
  byId("contents").addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link) return;
    event.preventDefault();
    state.at = link.hash.slice(1);
    const section = byId(state.at);
    section.scrollIntoView();
    section.tabIndex = -1;
    section.focus({ preventScroll: true });
    writeAddress();
  });
}

function listenToSurroundings() {
  darkness.addEventListener("change", drawCharts);
  let wasNarrow = isNarrow();
  addEventListener("resize", () => {
    if (isNarrow() === wasNarrow) return;
    wasNarrow = isNarrow();
    show();
  });
  const closed = [];
  addEventListener("beforeprint", () => {
    closed.push(...document.querySelectorAll("main details:not([open]):not(.drop):not(.wide)"));
    closed.forEach((one) => (one.open = true));
    print(true);
  });
  addEventListener("afterprint", () => {
    closed.splice(0).forEach((one) => (one.open = false));
    print(false);
  });
}

function start() {
  document.documentElement.classList.add("js");
  for (const name of ["intervals", "anytime", "reached", "regrets", "losses", "brackets", "shares", "timeline"]) {
    CHARTS.push({ id: `${name}-chart`, make: MAKERS[name] });
  }
  readAddress();
  buildVariantPickers();
  listen();
  show();
  if (sectionAt()) sectionAt().scrollIntoView();
}

const MAKERS = {
  intervals: intervalsChart,
  anytime: anytimeChart,
  reached: reachedChart,
  regrets: regretsChart,
  losses: lossesChart,
  brackets: bracketsChart,
  shares: sharesChart,
  timeline: timelineChart,
};

if (DATA.tasks.length) start();
