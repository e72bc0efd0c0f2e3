// What each worker did in one study.

const OVERHEAD = "#a9b0b8";

function theTimeline() {
  const shown = theTask().timelines;
  return shown.find((one) => nameOf(one.variant) === state.timeline) || shown[0] || null;
}

function timelineChart() {
  const timeline = theTimeline();
  byId("timeline").hidden = !timeline;
  if (!timeline) return "There is no timeline for this task.";
  const unit = timeUnit(Math.max(0, ...timeline.end));
  const { levels } = timeline;
  const kinds = [[-1, OVERHEAD, "start-up and checkpoints"], ...levels.map((level, i) => [i, shade(i, levels.length), `to level ${plain(level)}`])];
  const used = kinds.filter(([kind]) => timeline.level.includes(kind));
  fillKey("timeline-key", spread(used, 10).map(([, colour, label]) => [colour, label]));
  const workers = 1 + Math.max(0, ...timeline.worker);
  noteTimeline(timeline, workers, unit);
  if (!timeline.worker.length) return "Nothing was done in this study.";
  return {
    traces: used.map(([kind, colour, label]) => stretches(timeline, kind, colour, label, unit)),
    layout: {
      barmode: "overlay",
      bargap: 0.15,
      xaxis: axis(`Simulated time (${unit.name})`, { rangemode: "tozero" }),
      yaxis: axis("Worker", { range: [workers - 0.5, -0.5], dtick: Math.ceil(workers / 16), tick0: 0, showgrid: false, ticks: "" }),
    },
    height: 90 + Math.min(Math.max(workers * 24, 90), 560),
    label: `What each worker did, ${nameOf(timeline.variant)}, seed ${timeline.seed}`,
  };
}

function spread(items, most) {
  if (items.length <= most) return items;
  return Array.from({ length: most }, (_, i) => items[Math.round((i * (items.length - 1)) / (most - 1))]);
}

function stretches(timeline, kind, color, label, unit) {
  const mine = timeline.level.map((_, i) => i).filter((i) => timeline.level[i] === kind);
  const at = (i) => `${plain(timeline.start[i] / unit.length)} to ${plain(timeline.end[i] / unit.length)} ${unit.name}`;
  return {
    type: "bar",
    orientation: "h",
    base: mine.map((i) => timeline.start[i] / unit.length),
    x: mine.map((i) => (timeline.end[i] - timeline.start[i]) / unit.length),
    y: mine.map((i) => timeline.worker[i]),
    marker: { color, line: { color: theme().paper, width: 0.5 } },
    name: label,
    hoverinfo: "text",
    hovertext: mine.map((i) => `worker ${timeline.worker[i]}, ${label}<br>${at(i)}`),
    textposition: "none",
  };
}

function noteTimeline(timeline, workers, unit) {
  const parts = [`Seed ${timeline.seed}.`];
  if (workers < timeline.workers) parts.push(`The first ${workers} of ${timeline.workers} workers.`);
  if (isNumber(timeline.cut)) parts.push(`Only the first ${whole(timeline.worker.length)} stretches are kept, so it is cut off at ${plain(timeline.cut / unit.length)} ${unit.name}.`);
  byId("timeline-note").textContent = parts.join(" ");
}
