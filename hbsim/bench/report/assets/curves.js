// Charts of curves: anytime regret, share that reached the target, loss at each rung, intervals.

function lineStyle(variant) {
  const { dash, marker } = DATA.styles[variant];
  const colour = colourOf(variant);
  return { line: { color: colour, width: 2, dash, shape: "hv" }, marker: { color: colour, symbol: marker, size: 8, maxdisplayed: 7 } };
}

// Curves and, under them all, their bands.
function curveTraces(lines, unit, banded, text) {
  const traces = [];
  const [first] = timeEnds();
  const times = (line) => line.x.map((x) => (state.x === "log" ? Math.max(x, first) : x) / unit.length);
  for (const line of lines) {
    if (!banded.has(line.variant) || !line.low) continue;
    const edge = { x: times(line), mode: "lines", hoverinfo: "skip", line: { width: 0, shape: "hv", color: colourOf(line.variant) } };
    traces.push({ ...edge, y: line.low, name: "low" });
    traces.push({ ...edge, y: line.high, name: "band", fill: "tonexty", fillcolor: translucent(colourOf(line.variant), 0.16) });
  }
  for (const line of lines) {
    traces.push({
      x: times(line),
      y: line.mean,
      mode: "lines+markers",
      ...lineStyle(line.variant),
      name: safe(nameOf(line.variant)),
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
  if (state.bands === "none") return new Set();
  const wanted = (call) => state.bands === "all" || call === "best" || call === "too close to call";
  return new Set(task.rows.variant.filter((_, i) => wanted(task.rows.call[i])));
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

const NO_CURVES = "There are no curves for what is chosen.";

function anytimeChart() {
  const task = theTask();
  const lines = shownLines(task.anytime);
  if (!lines.some((line) => line.x.some((x) => x > 0))) return NO_CURVES;
  const unit = timeUnit(task.budget);
  const text = (line, i) => (line.low ? interval(line.mean[i], line.low[i], line.high[i], 4) : fixed(line.mean[i], 4));
  const y = state.y === "log" ? { range: logRange(lines) } : { rangemode: "tozero" };
  return {
    traces: curveTraces(lines, unit, bandedVariants(task), text),
    layout: {
      xaxis: timeAxis(unit),
      yaxis: logOrLinear(state.y, "Normalised regret", y),
      ...(isNumber(task.target) ? targetLine(task.target) : {}),
    },
    height: isNarrow() ? 340 : 460,
    label: `Normalised regret over simulated time, ${task.surrogate}, ${task.setting}`,
  };
}

// Of means and bands, a little more than what is above 0.
function logRange(lines) {
  const above = lines.flatMap((line) => [...line.mean, ...(line.low || []), ...(line.high || [])]).filter((y) => y > 0);
  if (!above.length) return [-3, 0];
  const [low, high] = [Math.min(...above), Math.max(...above)].map(Math.log10);
  return [Math.max(low, high - 6) - 0.05, high + 0.05];
}

function targetLine(target) {
  const { muted, ink } = theme();
  const y = state.y === "log" ? Math.log10(target) : target;
  return {
    shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: target, y1: target, line: { color: muted, dash: "dot", width: 1.5 } }],
    annotations: [{ xref: "paper", x: 0, xanchor: "left", y, yanchor: "bottom", text: "target", showarrow: false, font: { size: 11, color: ink } }],
  };
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
  const places = decimals(known.map((row) => ends(row)[0]));
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
    label: `${words} with 95 % intervals, ${task.surrogate}, ${task.setting}`,
  };
}

function errorBar([mean, low, high], color) {
  if (!isNumber(low) || !isNumber(high)) return { visible: false };
  return { type: "data", symmetric: false, array: [high - mean], arrayminus: [mean - low], color, thickness: 2, width: 4 };
}

function lossesChart() {
  const task = theTask();
  const rows = shownRows(task.rungs).filter((row) => row.bracket === theBracket());
  if (!rows.length) return "There are no rungs for what is chosen.";
  const levels = [...new Set(rows.map((row) => row.level))].sort((a, b) => a - b);
  const traces = [...new Set(rows.map((row) => row.variant))].map((variant) => {
    const mine = rows.filter((row) => row.variant === variant).sort((a, b) => a.level - b.level);
    const style = lineStyle(variant);
    return {
      x: mine.map((row) => row.level),
      y: mine.map((row) => row.loss),
      mode: "lines+markers",
      line: { ...style.line, shape: "linear" },
      marker: { ...style.marker, maxdisplayed: 0 },
      name: safe(nameOf(variant)),
      hoverinfo: "text",
      hovertext: mine.map((row) => `${safe(nameOf(variant))}<br>level ${plain(row.level)}: ${fixed(row.loss, 4)} lost<br>${whole(row.better)} of ${whole(row.stopped)} stopped would have ended better`),
    };
  });
  const ends = [levels[0], levels[levels.length - 1]].map(Math.log10);
  const around = 0.03 * (ends[1] - ends[0]) || 0.3;
  const x = { type: "log", tickvals: levels, ticktext: levels.map(plain), range: [ends[0] - around, ends[1] + around] };
  return {
    traces,
    layout: { xaxis: axis("Level of the rung", x), yaxis: axis("Normalised regret lost", { rangemode: "tozero" }) },
    height: isNarrow() ? 300 : 360,
    label: `Regret lost at each rung of bracket ${theBracket()}, ${task.surrogate}, ${task.setting}`,
  };
}
