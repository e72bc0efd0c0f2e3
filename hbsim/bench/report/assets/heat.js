// Heatmaps: brackets and reduction factor; what is lost at each rung.

// Viridis: an order that eyes without red or green see too.
const VIRIDIS = ["#440154", "#482878", "#3e4a89", "#31688e", "#26838f", "#1f9d8a", "#6cce5a", "#b6de2b", "#fee825"];

// From nothing lost to most.
const LOSSES = { light: ["#f3efe9", "#f9c795", "#e57b30", "#8c2d04"], dark: ["#262b32", "#6e3511", "#c9651f", "#ffb57d"] };

function cellTexts(values, places, [low, high], colour) {
  return values.flatMap((row, y) => row.map((value, x) => ({ value, x, y })).filter((one) => isNumber(one.value)).map(({ value, x }) => ({
    x,
    y,
    text: value === 0 ? "0" : fixed(value, places),
    showarrow: false,
    font: { color: colour(high > low ? (value - low) / (high - low) : 0) },
  })));
}

function heatmapChart(heatmap) {
  const { line } = theme();
  const values = heatmap.values;
  if (!values.flat().some(isNumber)) return "There is no score for these.";
  const places = decimals(values.flat().map((value) => [value]));
  return {
    traces: [{
      type: "heatmap",
      x: heatmap.etas.map((_, i) => i),
      y: heatmap.brackets.map((_, i) => i),
      z: values,
      zmin: heatmap.range[0],
      zmax: heatmap.range[1],
      colorscale: VIRIDIS.map((colour, i) => [i / 8, colour]),
      colorbar: { title: { text: "Normalised regret", side: "right" }, outlinewidth: 0, thickness: 12 },
      hoverinfo: "text",
      hovertext: values.map((row, i) => row.map((value, j) => `${plain(heatmap.brackets[i])} brackets, η = ${plain(heatmap.etas[j])}<br>${fixed(value, places)}`)),
      xgap: 2,
      ygap: 2,
      showscale: !isNarrow(),
    }],
    layout: {
      xaxis: axis("Reduction factor η", { tickvals: heatmap.etas.map((_, i) => i), ticktext: heatmap.etas.map(plain), showgrid: false, ticks: "" }),
      yaxis: axis("Brackets", { tickvals: heatmap.brackets.map((_, i) => i), ticktext: heatmap.brackets.map(plain), showgrid: false, ticks: "" }),
      plot_bgcolor: line,
      annotations: cellTexts(values, places, heatmap.range, (share) => (share < 0.55 ? "#ffffff" : "#000000")),
    },
    height: 110 + 48 * heatmap.brackets.length,
    label: `Mean normalised regret by brackets and reduction factor, ${heatmap.title}, ${heatmap.setting}`,
  };
}

function lossesChart() {
  const task = theTask();
  const rows = shownRows(task.rungs).filter((row) => row.bracket === theBracket());
  byId("losses-key").replaceChildren();
  if (!rows.length) return "There are no rungs for what is chosen.";
  const levels = unique(rows.map((row) => row.level)).sort((a, b) => a - b);
  const variants = inRankOrder(unique(rows.map((row) => row.variant)).map((variant) => ({ variant })));
  const at = new Map(rows.map((row) => [`${row.variant} ${row.level}`, row]));
  const cells = variants.map(({ variant }) => levels.map((level) => at.get(`${variant} ${level}`) || null));
  const values = cells.map((row) => row.map((one) => one && one.loss));
  const most = Math.max(0, ...values.flat().filter(isNumber));
  const places = decimals([[most]]);
  const colours = LOSSES[isDark() ? "dark" : "light"];
  const key = [0, 1, 2, 3].map((i) => [colours[i], i ? plain(+((i / 3) * most).toPrecision(2)) : "0"]);
  fillKey("losses-key", most > 0 ? key : key.slice(0, 1));
  const hasRoom = byId("losses-chart").clientWidth - (isNarrow() ? 110 : 230) > levels.length * 9 * (places + 2);
  return {
    traces: [{
      type: "heatmap",
      x: levels.map((_, i) => i),
      y: variants.map((_, i) => i),
      z: values,
      zmin: 0,
      zmax: most || 1,
      colorscale: colours.map((colour, i) => [i / 3, colour]),
      showscale: false,
      hoverinfo: "text",
      hovertext: cells.map((row) => row.map((one) => (one ? lossText(one) : ""))),
      xgap: 2,
      ygap: 2,
    }],
    layout: {
      xaxis: axis("Level of the rung", { tickvals: levels.map((_, i) => i), ticktext: levels.map(plain), showgrid: false, ticks: "", fixedrange: true }),
      yaxis: namesAxis(shortNames(variants)),
      margin: { l: 20, r: 16, t: 8, b: 48 },
      annotations: hasRoom || view.printing ? cellTexts(values, places, [0, most], lossInk) : [],
    },
    height: rowsHeight(shortNames(variants)),
    variants: variants.map((row) => row.variant),
    label: `Regret lost at each rung of bracket ${theBracket()}, ${task.surrogate}, ${task.setting}`,
  };
}

function lossInk(share) {
  if (isDark()) return share > 0.6 ? "#000000" : "#ffffff";
  return share > 0.6 ? "#ffffff" : "#000000";
}

function lossText(row) {
  return `${safe(nameOf(row.variant))}<br>level ${plain(row.level)}: ${plain(row.loss)} lost<br>${whole(row.better)} of ${whole(row.stopped)} stopped would have ended better`;
}
