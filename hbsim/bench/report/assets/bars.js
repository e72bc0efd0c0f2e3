// Charts of parts: where regret and time went, brackets.

const PARTS = DATA.parts; // [name, colour, pattern] each, as in the figures
const TITLES = { trials: "Trials", resource: "Trained resource", winners: "Winners" };

function barPart(rows, values, [label, color, shape], text, more) {
  const { paper } = theme();
  return {
    type: "bar",
    orientation: "h",
    y: rows.map((_, i) => i),
    x: values,
    name: label,
    marker: { color, line: { color: paper, width: 1 }, pattern: { shape, size: 6, solidity: 0.25, fgcolor: paper, fillmode: "overlay" } },
    hoverinfo: "text",
    hovertext: rows.map((row, i) => `${safe(nameOf(row.variant))}<br>${label}: ${text(values[i])}`),
    textposition: "none",
    ...more,
  };
}

function partsChart(kind, rows, title, text, axisMore) {
  const task = theTask();
  fillKey(`${kind}-key`, rows.length ? PARTS[kind].map(([label, colour]) => [colour, label]) : []);
  if (!rows.length) return "There is nothing of this for what is chosen.";
  return {
    traces: PARTS[kind].map((part) => barPart(rows, rows.map((row) => row[part[0]]), part, text)),
    layout: {
      barmode: "relative",
      bargap: 0.3,
      xaxis: axis(title, { zeroline: true, zerolinecolor: theme().muted, ...axisMore }),
      yaxis: namesAxis(shortNames(rows)),
      margin: { l: 20, r: 24, t: 8, b: 48 },
    },
    height: rowsHeight(shortNames(rows)),
    variants: rows.map((row) => row.variant),
    label: `${title}, ${task.surrogate}, ${task.setting}`,
  };
}

// The order of the task's table, so that charts and table can be read together.
function inRankOrder(rows) {
  const place = new Map(byMeasure(rowsOf(theTask().rows)).map((row, i) => [row.variant, i]));
  return rows.sort((a, b) => (place.get(a.variant) ?? 1e9) - (place.get(b.variant) ?? 1e9));
}

function totalOf(row) {
  return PARTS.regrets.reduce((sum, [name]) => sum + (row[name] ?? 0), 0);
}

// The least total first, with a mark at it: parts below 0 go to the left.
function regretsChart() {
  const rows = inRankOrder(shownRows(theTask().regrets)).sort((a, b) => totalOf(a) - totalOf(b));
  const made = partsChart("regrets", rows, "Normalised regret", plain, {});
  if (typeof made === "string") return made;
  const { ink, paper } = theme();
  const totals = rows.map(totalOf);
  byId("regrets-key").append(element("span", {}, element("span", { "aria-hidden": "true" }, "◆ "), "total"));
  made.traces.push({
    x: totals,
    y: rows.map((_, i) => i),
    mode: "markers",
    marker: { symbol: "diamond", size: 9, color: ink, line: { color: paper, width: 1.5 } },
    name: "total",
    hoverinfo: "text",
    hovertext: rows.map((row, i) => `${safe(nameOf(row.variant))}<br>total: ${plain(totals[i])}`),
    cliponaxis: false,
  });
  return made;
}

function sharesChart() {
  return partsChart("shares", inRankOrder(shownRows(theTask().shares)), "Share of the workers’ time", precisePercent, { range: [0, 1.001], dtick: 0.2, tickformat: ".0%" });
}

// Greens and blues in an order that eyes without red or green see too.
const LEVELS = [[211, 238, 188], [143, 212, 184], [79, 185, 195], [47, 147, 193], [42, 95, 176]];

function shade(index, count) {
  const place = count > 1 ? (4 * index) / (count - 1) : 2;
  const [one, next] = [LEVELS[Math.floor(place)], LEVELS[Math.ceil(place)]];
  const mixed = one.map((part, i) => Math.round(part + (next[i] - part) * (place % 1)));
  return "#" + mixed.map((part) => part.toString(16).padStart(2, "0")).join("");
}

function bracketsChart() {
  const task = theTask();
  const rows = shownRows(task.brackets);
  const count = 1 + Math.max(-1, ...rows.map((row) => row.bracket));
  const brackets = Array.from({ length: count }, (_, i) => i);
  fillKey("brackets-key", brackets.map((bracket) => [shade(bracket, count), `bracket ${bracket}`]));
  if (!count) return "There are no brackets for what is chosen.";
  const variants = inRankOrder([...new Set(rows.map((row) => row.variant))].map((variant) => ({ variant })));
  const share = new Map(rows.map((row) => [`${row.variant} ${row.bracket}`, row]));
  const kinds = Object.keys(TITLES);
  const traces = kinds.flatMap((kind, k) => brackets.map((bracket) => {
    const values = variants.map(({ variant }) => (share.get(`${variant} ${bracket}`) || {})[kind] ?? null);
    const at = k ? { xaxis: `x${k + 1}`, ...(isNarrow() ? { yaxis: `y${k + 1}` } : {}) } : {};
    const words = (value) => `${percent(value)} of ${TITLES[kind].toLowerCase()}`;
    return barPart(variants, values, [`bracket ${bracket}`, shade(bracket, count), ""], words, at);
  }));
  return {
    traces,
    layout: { barmode: "stack", bargap: 0.3, margin: { l: 20, r: 20, t: 8, b: 48 }, ...threeParts(shortNames(variants)) },
    height: isNarrow() ? 60 + 3 * rowsHeight(shortNames(variants)) : rowsHeight(shortNames(variants)),
    variants: variants.map((row) => row.variant),
    label: `Shares of each bracket in trials, resource and winners, ${task.surrogate}, ${task.setting}`,
  };
}

// Side by side, or on a narrow screen one below the other.
function threeParts(names) {
  const axes = {};
  Object.values(TITLES).forEach((title, k) => {
    const key = k ? k + 1 : "";
    const domain = isNarrow() ? [0, 1] : [k * 0.355, k * 0.355 + 0.29];
    axes[`xaxis${key}`] = axis(title, { range: [0, 1], tickformat: ".0%", dtick: isNarrow() ? 0.25 : 0.5, domain, anchor: isNarrow() ? `y${key}` : "y" });
    if (k && !isNarrow()) return;
    const height = isNarrow() ? { domain: [(2 - k) * 0.345 + 0.03, (2 - k) * 0.345 + 0.31] } : {};
    axes[`yaxis${key}`] = namesAxis(names, { anchor: `x${key}`, ...height });
  });
  return axes;
}
