// Charts: one look, drawn one after the other, redrawn for the dark and for paper.

const LIGHT = { ink: "#1d2126", muted: "#59616b", line: "#d9dde2", paper: "#ffffff", hover: "#f4f6f8" };
const DARK = { ink: "#e6e9ed", muted: "#a3abb5", line: "#353b43", paper: "#15181c", hover: "#1f242a" };
const PAPER_WIDTH = 680;
const CHARTS = []; // {id, make}: make() returns {traces, layout, height, label}, or why there is nothing
const darkness = matchMedia("(prefers-color-scheme: dark)");
const view = { printing: false, queue: [] };

function isDark() {
  return darkness.matches && !view.printing;
}

function theme() {
  return isDark() ? DARK : LIGHT;
}

function colourOf(variant) {
  const style = DATA.styles[variant];
  return isDark() ? style.dark : style.colour;
}

function translucent(colour, share) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${share})`;
}

function isNarrow() {
  return !view.printing && document.documentElement.clientWidth < 640;
}

function axis(title, more) {
  const { ink, muted, line } = theme();
  return {
    title: { text: title, font: { size: 13, color: ink }, standoff: 8 },
    gridcolor: line,
    linecolor: muted,
    tickfont: { color: ink },
    zeroline: false,
    showline: true,
    ticks: "outside",
    tickcolor: muted,
    ticklen: 4,
    automargin: true,
    ...more,
  };
}

function logOrLinear(type, title, more) {
  return axis(title, { type, ...more, ...(type === "log" ? logTicks(more.range) : {}) });
}

// 1, 2, 5, 10 and so on; over many powers of ten only these.
function logTicks([low, high]) {
  const steps = high - low > (isNarrow() ? 2 : 4) ? [1] : [1, 2, 5];
  const powers = Array.from({ length: Math.ceil(high) - Math.floor(low) + 1 }, (_, i) => Math.floor(low) + i);
  const tickvals = powers.flatMap((power) => steps.map((step) => Number(`${step}e${power}`)));
  return { tickvals, ticktext: tickvals.map(plain) };
}

// An axis of names: places are numbers, so that no name is taken for a number, a date or HTML.
function namesAxis(names, more) {
  return axis("", {
    fixedrange: true,
    tickvals: names.map((_, i) => i),
    ticktext: names.map((name) => wrapped(name, labelWidth())),
    range: [names.length - 0.5, -0.5],
    showgrid: false,
    tickcolor: "rgba(0,0,0,0)",
    showline: false,
    ...more,
  });
}

function shortNames(rows) {
  return rows.map((row) => DATA.variants[row.variant].short);
}

// Of a chart with a row for each name, some of them in two lines.
function rowsHeight(names) {
  const lines = Math.max(1, ...names.map((name) => wrapped(name, labelWidth()).split("<br>").length));
  return 90 + names.length * Math.max(26, (isNarrow() ? 14 : 16) * lines + 4);
}

function labelWidth() {
  return isNarrow() ? 15 : 34;
}

function fullLayout({ layout, height, label }) {
  const { ink, muted, hover } = theme();
  return {
    font: { family: getComputedStyle(document.body).fontFamily, size: isNarrow() ? 11 : 12, color: ink },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: isNarrow() ? 52 : 68, r: 16, t: 12, b: 48 },
    showlegend: false,
    hovermode: "closest",
    hoverlabel: { bgcolor: hover, bordercolor: muted, font: { color: ink, family: getComputedStyle(document.body).fontFamily }, align: "left", namelength: -1 },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    meta: label,
    ...layout,
    height,
    autosize: !view.printing,
    ...(view.printing ? { width: PAPER_WIDTH } : {}),
  };
}

function drawChart({ id, make }) {
  const box = byId(id);
  const made = make();
  if (typeof made === "string") {
    Plotly.purge(box);
    box.drawnAs = "";
    box.replaceChildren(made);
    box.classList.add("empty");
    box.removeAttribute("role");
    return;
  }
  if (box.classList.contains("empty")) {
    box.replaceChildren();
    box.classList.remove("empty");
  }
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", made.label);
  const layout = fullLayout(made);
  const drawing = JSON.stringify([made.traces, layout]);
  if (box.drawnAs === drawing) return;
  box.drawnAs = drawing;
  Plotly.react(box, made.traces, layout, { displayModeBar: false, responsive: true }).then(() => nameTicks(box, made.variants || []));
}

// The full name of a variant as the tooltip of its short one.
function nameTicks(box, variants) {
  const titled = variants.map((variant) => DATA.variants[variant]);
  box.querySelectorAll(".ytick text").forEach((text, i) => {
    const { name, short } = titled[i % titled.length] || {};
    if (name === short) return;
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = name;
    text.append(title);
  });
}

// One chart a turn, so that the page can be used meanwhile; what can be seen first.
function drawCharts() {
  const isIdle = view.queue.length === 0;
  const away = ({ id }) => Math.abs(byId(id).getBoundingClientRect().top);
  const places = new Map(CHARTS.map((chart) => [chart, away(chart)]));
  view.queue = CHARTS.slice().sort((one, other) => places.get(one) - places.get(other));
  document.documentElement.removeAttribute("data-drawn");
  if (isIdle) setTimeout(drawNext, 0);
}

function drawNext() {
  const chart = view.queue.shift();
  if (chart) drawChart(chart);
  if (view.queue.length) setTimeout(drawNext, 0);
  else document.documentElement.setAttribute("data-drawn", "");
}

function drawAllNow() {
  view.queue = [];
  CHARTS.forEach(drawChart);
}

function print(isPrinting) {
  view.printing = isPrinting;
  drawAllNow();
}
