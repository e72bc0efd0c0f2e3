// Charts of curves over time: anytime regret, share that reached the target; and of intervals.

const LEADERS = 4; // curves that stand out, and have bands

// The shown variants of a task, best first: what each is called there, and whether it leads.
function standings(task) {
  return byMeasure(shownRows(task.rows)).map(({ variant, call }, i) => {
    const isClose = call === "best" || call === "too close to call";
    return { variant, isClose, isLeader: isClose && i < LEADERS };
  });
}

// What leads is thick and on top, what is worse thin.
function lineStyle({ variant, isClose, isLeader }) {
  const { dash, marker } = DATA.styles[variant];
  const color = colourOf(variant);
  const [width, size, opacity] = isLeader ? [2.6, 8, 1] : isClose ? [1.6, 6, 0.9] : [1.1, 5, 0.75];
  return { opacity, line: { color, width, dash, shape: "hv" }, marker: { color, symbol: marker, size, maxdisplayed: 7 } };
}

// Curves and, under them all, their bands.
function curveTraces(lines, unit, banded, text) {
  const traces = [];
  const places = standings(theTask());
  const placeOf = (line) => places.findIndex((one) => one.variant === line.variant);
  lines.sort((one, other) => placeOf(other) - placeOf(one));
  const [first] = timeEnds();
  const times = (line) => line.x.map((x) => (state.x === "log" ? Math.max(x, first) : x) / unit.length);
  for (const line of lines) {
    if (!banded.has(line.variant) || !line.low) continue;
    const edge = { x: times(line), mode: "lines", hoverinfo: "skip", meta: line.variant, line: { width: 0, shape: "hv", color: colourOf(line.variant) } };
    traces.push({ ...edge, y: line.low, name: "low" });
    traces.push({ ...edge, y: line.high, name: "band", fill: "tonexty", fillcolor: translucent(colourOf(line.variant), 0.16) });
  }
  for (const line of lines) {
    traces.push({
      x: times(line),
      y: line.shown || line.mean,
      mode: "lines+markers",
      ...lineStyle(places[placeOf(line)] || { variant: line.variant }),
      name: safe(nameOf(line.variant)),
      meta: line.variant,
      hoverinfo: "text",
      hovertext: line.mean.map((_, i) => `${safe(nameOf(line.variant))}<br>${plain(line.x[i] / unit.length)} ${unit.name}: ${text(line, i)}`),
    });
  }
  return traces;
}

function shownLines(packed) {
  return unpackLines({ ...packed, lines: packed.lines.filter((line) => isShown(line[0])) });
}

function bandedVariants(task) {
  const wanted = { none: () => false, four: (one) => one.isLeader, close: (one) => one.isClose, all: () => true };
  return new Set(standings(task).filter(wanted[state.bands]).map((one) => one.variant));
}

// Where scores are small, a linear axis would show nothing of them.
function regretAxis() {
  const scores = theTask().rows.score[0].filter(isNumber);
  return state.y || (scores.length && middle(scores) < SMALL ? "log" : "linear");
}

// The first time above 0 and the last one, the same for all charts of a task; what was at 0 starts at the first.
function timeEnds() {
  const { anytime, curves } = theTask();
  const above = [...anytime.grids, ...curves.grids].flat().filter((x) => x > 0);
  return [Math.min(...above), Math.max(...above)];
}

function timeAxis(unit) {
  const [low, high] = timeEnds().map((x) => x / unit.length);
  const range = state.x === "log" ? [Math.log10(low), Math.log10(high) + 0.01] : [0, high * 1.005];
  return logOrLinear(state.x, `Simulated time (${unit.name})`, { range });
}

const SMALL = 0.15; // a normalised regret
const HIGHEST = 1.1; // on a linear axis: what is worse than a guess is all alike
const NO_CURVES = "There are no curves for what is chosen.";

function anytimeChart() {
  const task = theTask();
  const lines = shownLines(task.anytime);
  if (!lines.some((line) => line.x.some((x) => x > 0))) return NO_CURVES;
  const unit = timeUnit(task.budget);
  const text = (line, i) => interval(line.mean[i], ...(line.low ? [line.low[i], line.high[i]] : []));
  const type = regretAxis();
  const [low, high] = regretEnds(lines, type);
  noteRegretAxis(lines, type, low, high);
  const raised = type === "log" ? lines.map((line) => raisedTo(low, line)) : lines;
  const range = type === "log" ? [Math.log10(low), Math.log10(high)] : [low, high];
  return {
    traces: curveTraces(raised, unit, bandedVariants(task), text),
    layout: { xaxis: timeAxis(unit), yaxis: logOrLinear(type, "Normalised regret", { range }), ...levelLines(task, type, low, high) },
    height: isNarrow() ? 340 : 460,
    label: `Normalised regret over simulated time, ${task.surrogate}, ${task.setting}`,
  };
}

// Of means, a little more; on a logarithmic axis from below the least above 0, at most six powers of ten.
function regretEnds(lines, type) {
  const known = lines.flatMap((line) => line.mean).filter(isNumber);
  const above = known.filter((y) => y > 0);
  const high = 1.1 * Math.max(0, ...known) || 1;
  if (type === "linear") return [0, Math.min(high, HIGHEST)];
  return [Math.max(0.8 * Math.min(high, ...above), high / 1e6), high];
}

function raisedTo(low, line) {
  const raise = (values) => values && values.map((y) => (isNumber(y) ? Math.max(y, low) : y));
  return { ...line, shown: raise(line.mean), low: raise(line.low) };
}

function noteRegretAxis(lines, type, low, high) {
  const highest = Math.max(...lines.flatMap((line) => line.mean).filter(isNumber));
  const isZero = lines.some((line) => line.mean.some((y) => y !== null && y < low));
  const notes = { log: isZero ? "Means of 0 are drawn at the lower edge. " : "", linear: highest > high ? `The axis ends at ${plain(high)}. ` : "" };
  byId("anytime-note").textContent = notes[type];
}

// Thin lines at the target and at what a random configuration shows.
function levelLines(task, type, low, high) {
  const { muted, ink } = theme();
  const levels = [[task.target, "target", "dot"], [1, "a guess", "solid"]].filter(([y]) => isNumber(y) && y > low && y < high);
  const line = ([y, , dash]) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, layer: "below", line: { color: muted, dash, width: dash === "dot" ? 1.5 : 1 } });
  // Curves come down from the left: the upper name is at the right, the lower one at the left.
  const name = ([y, text]) => ({ xref: "paper", x: y === 1 ? 1 : 0, xanchor: y === 1 ? "right" : "left", y: type === "log" ? Math.log10(y) : y, yanchor: "bottom", text, showarrow: false, font: { size: 11, color: ink } });
  return { shapes: levels.map(line), annotations: levels.map(name) };
}

function reachedChart() {
  const task = theTask();
  const lines = shownLines(task.curves);
  if (!lines.some((line) => line.x.some((x) => x > 0))) return NO_CURVES;
  const unit = timeUnit(task.budget);
  return {
    traces: curveTraces(lines, unit, new Set(), (line, i) => percent(line.mean[i])),
    layout: { xaxis: timeAxis(unit), yaxis: axis("Seeds that reached the target", { range: [-0.02, 1.02], tickformat: ".0%" }) },
    height: isNarrow() ? 300 : 360,
    label: `Share of seeds that reached the target over simulated time, ${task.surrogate}, ${task.setting}`,
  };
}

function intervalsChart() {
  const task = theTask();
  const rows = byMeasure(shownRows(task.rows));
  const ends = (row) => row[state.measure];
  const known = rows.filter((row) => isNumber(ends(row)[0]));
  if (!known.length) return "There is no score for what is chosen.";
  const places = decimals(known.map(ends));
  const traces = known.map((row, i) => ({
    x: [ends(row)[0]],
    y: [i],
    mode: "markers",
    marker: { color: colourOf(row.variant), symbol: DATA.styles[row.variant].marker, size: 10 },
    error_x: errorBar(ends(row), colourOf(row.variant)),
    name: safe(nameOf(row.variant)),
    hoverinfo: "text",
    hovertext: [`${safe(nameOf(row.variant))}<br>${interval(...ends(row), places)}<br>${safe(row.call)}`],
  }));
  const words = measureWords(state.measure);
  return {
    traces,
    layout: { xaxis: axis(words[0].toUpperCase() + words.slice(1), { rangemode: "tozero" }), yaxis: namesAxis(shortNames(known)), margin: { l: 20, r: 16, t: 8, b: 48 } },
    height: rowsHeight(shortNames(known)),
    variants: known.map((row) => row.variant),
    label: `${words} with 95% intervals, ${task.surrogate}, ${task.setting}`,
  };
}

function errorBar([mean, low, high], color) {
  if (!isNumber(low) || !isNumber(high)) return { visible: false };
  return { type: "data", symmetric: false, array: [high - mean], arrayminus: [mean - low], color, thickness: 2, width: 4 };
}

// The curve of a variant alone, the others pale; null for all as they were.
function lightUp(variant) {
  for (const id of ["anytime-chart", "reached-chart"]) {
    const box = byId(id);
    for (const trace of box._fullData || []) {
      const drawn = box.querySelector(`.trace${trace.uid}`);
      const share = variant === null || trace.meta === variant ? 1 : 0.12;
      if (drawn) drawn.style.opacity = share * (trace.opacity ?? 1);
    }
  }
}
