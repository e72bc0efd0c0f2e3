// The tables of what is chosen.

const ALL_SETTINGS = "all settings";
const ALL_PAIRS = "\n"; // no variant is called that

const CALLS = { best: "call-best", worse: "call-worse" };
const MARKS = { best: "★", worse: "▼", "too close to call": "≈" };

// The call with its mark; on a narrow screen the mark alone.
function callColumn() {
  const text = (call) => (isNarrow() && MARKS[call] ? MARKS[call] : [MARKS[call], call].join(" ").trim());
  const help = "★ best, ≈ too close to it to call, ▼ worse: whether the difference to the best is more than chance, at 5%";
  return { label: "Call", value: (row) => row.call, text, kind: (row) => CALLS[row.call] || "", help };
}

function taskColumns(rows) {
  return [
    numberColumn("Rank", (row) => row.rank, whole, "By score; 1 is the best"),
    variantColumn(),
    callColumn(),
    intervalColumn("Score", rows, (row) => row.score, "Normalised regret at equal time: mean over seeds and 95% bootstrap interval; lower is better"),
    intervalColumn("Behind the best", rows, (row) => (row.rank === 1 ? null : row.difference), "Score less the best variant’s with the same seed; above 0 is worse"),
    numberColumn("p", (row) => row.p, pValue, "Wilcoxon’s signed-rank test of that difference, Holm-corrected over all pairs of variants of the task"),
    numberColumn("Effect", (row) => row.effect, (value) => fixed(value, 2), "Matched-pairs rank-biserial correlation with the best, from −1 to 1; above 0 is worse than it"),
    numberColumn("Ahead in", (row) => row.superiority, percent, "Share of seeds in which it is better than the best variant, ties counted half"),
    numberColumn("New seeds needed", (row) => row.seeds_needed, (value) => (isNumber(value) ? "≈ " + whole(value) : DASH), "About how many new seeds would show a difference of this size in 4 of 5 cases, where it is too close to call; – where no number would"),
  ];
}

function costColumns(task, rows) {
  const unit = timeUnit(task.budget);
  const per = (label, get, help) => intervalColumn(label, rows, get, help, unit.length);
  return [
    variantColumn(),
    intervalColumn(`Regret in ${task.metric}`, rows, (row) => row.regret, "The score in the metric’s own unit"),
    intervalColumn("Area", rows, (row) => row.area, "Normalised regret averaged over the time until then: the area under the anytime curve"),
    medianColumn(`Median time to target, ${unit.name}`, (row) => row.median_time, "Simulated time until half of the seeds have reached the target, and its 95% interval; “not by half” where fewer reach it within the budget; ∞ is after the budget", unit.length),
    numberColumn("Reached target", (row) => row.reached, percent, "Share of seeds that reached the target within the budget"),
    per(`Mean time without the target, ${unit.name}`, (row) => row.to_target, "At most the budget: seeds that do not reach the target count as all of it (restricted mean)"),
    numberColumn("p of the times", (row) => row.p_target, pValue, "Wilcoxon’s signed-rank test of the times without the target against those of the best variant, Holm-corrected"),
    numberColumn("Completed trials", (row) => row.completed, whole, "Trials that were trained to R, mean over seeds"),
    numberColumn("Busy", (row) => row.busy_share, precisePercent, "Share of the workers’ time in which they had work"),
    per(`Study, ${unit.name}`, (row) => [row.simulated_seconds, null, null], "Simulated time of the whole study"),
    ...(rows.some((row) => isNumber(row.cost)) ? [intervalColumn("Cost", rows, (row) => [row.cost, null, null], "Mean cost of a study, in the unit of the cluster’s price")] : []),
    ...(rows.some((row) => row.missing) ? [numberColumn("Seeds without a score", (row) => row.missing, whole, "They count as worse than any score")] : []),
  ];
}

function drawTaskTable() {
  const task = theTask();
  const rows = byMeasure(shownRows(task.rows));
  const tables = [["task-table", taskColumns(rows), "who is ahead, and how sure that is"], ["cost-table", costColumns(task, rows), "in the metric’s unit, over time, and what it took"]];
  const by = state.measure === "area" ? "by area" : "by score";
  for (const [id, columns, what] of tables) drawTable(byId(id), { caption: `${task.surrogate}, ${task.setting}: ${what}, ${by}`, columns, rows });
  const words = tables.flatMap(([, columns]) => columns.filter((column) => column.help));
  byId("task-columns").replaceChildren(...words.flatMap((c) => [element("dt", {}, c.label), element("dd", {}, c.help + ".")]));
  byId("task-few").textContent = task.few;
}

// The best first by the chosen measure, those without a value last.
function byMeasure(rows) {
  if (state.measure === "score") return rows.sort((a, b) => a.rank - b.rank);
  const mean = (row) => (isNumber(row.area[0]) ? row.area[0] : Infinity);
  return rows.sort((a, b) => mean(a) - mean(b) || a.rank - b.rank);
}

function drawFacts() {
  const task = theTask();
  const unit = timeUnit(task.budget);
  const known = task.is_optimum_known ? "Optimum" : "Best seen (the optimum is not known)";
  const goal = task.mode === "max" ? "maximised" : "minimised";
  const facts = [
    ["Decides", `${task.metric} at R = ${plain(task.max_t)}, ${goal}`],
    ["Seeds", `${task.seeds}, finished for all variants`],
    [known, plain(task.optimum)],
    ["A random configuration shows", isNumber(task.guess) ? `${plain(task.guess)} (median)` : DASH],
    ["Target", isNumber(task.target) ? `normalised regret ${plain(task.target)}` : DASH],
    ["Group of tasks", task.group],
    ["Scored at", isNumber(task.budget) ? `${plain(task.budget / unit.length)} ${unit.name} (${task.budget_text})` : DASH, "row"],
  ];
  byId("task-facts").replaceChildren(...facts.map(([key, value, style]) => element("div", { class: style }, element("dt", {}, key), element("dd", {}, value))));
  byId("task-notes").replaceChildren(...task.notes.map((note) => element("li", {}, note)));
}

function theAcross() {
  const one = acrossOf(theTask().setting);
  return (state.over === "all" && acrossOf(ALL_SETTINGS)) || one;
}

function acrossOf(setting) {
  const mine = DATA.across.map((across, index) => ({ ...across, index })).filter((across) => across.setting === setting);
  return mine.find((across) => across.measure === state.measure) || mine[0] || null;
}

function drawAcross() {
  for (const one of document.querySelectorAll("[data-variant]")) one.classList.toggle("off", !isShown(Number(one.dataset.variant)));
  if (!DATA.across.length) return;
  const across = theAcross();
  byId("over").hidden = !acrossOf(ALL_SETTINGS);
  for (const block of document.querySelectorAll(".across")) block.hidden = !across || block.dataset.across !== String(across.index);
  byId("no-across").hidden = Boolean(across);
  byId("duels").hidden = !across;
  if (!across) return;
  drawDuels(across);
  drawGroups(across);
}

function duelOptions(across) {
  const names = across.variants.filter(isShown).map((variant) => [nameOf(variant), `all pairs with ${nameOf(variant)}`]);
  return [[ALL_PAIRS, "all pairs"], ...names];
}

function drawDuels(across) {
  const options = duelOptions(across);
  const usual = options.length > 7 ? options[1][0] : ALL_PAIRS;
  const chosen = options.some((option) => option[0] === state.duels) ? state.duels : usual;
  fillSelect(byId("pick-duels"), options, chosen);
  const duels = { ...across.duels, variant: across.duels.first };
  let rows = rowsOf(duels).filter((row) => isShown(row.first) && isShown(row.second));
  const one = DATA.variants.findIndex((variant) => variant.name === chosen);
  if (chosen !== ALL_PAIRS) rows = rows.filter((row) => [row.first, row.second].includes(one)).map((row) => (row.first === one ? row : turned(row)));
  const columns = [
    variantColumn("First", "first"),
    variantColumn("Second", "second"),
    numberColumn("First ahead", (row) => row.wins, whole, "Groups of tasks"),
    numberColumn("Level", (row) => row.ties, whole, "Groups of tasks"),
    numberColumn("First behind", (row) => row.losses, whole, "Groups of tasks"),
    numberColumn("p (Wilcoxon)", (row) => row.p, pValue, "Holm-corrected for all pairs"),
    numberColumn("p (Nemenyi)", (row) => row.p_nemenyi, pValue, "Of the difference in mean ranks"),
  ];
  const caption = `${across.setting}, ${measureWords(across.measure)}: wins over ${across.groups.length} groups of tasks`;
  drawTable(byId("duels-table"), { caption, columns, rows, tall: true });
}

function turned(row) {
  return { ...row, first: row.second, second: row.first, wins: row.losses, losses: row.wins };
}

function drawGroups(across) {
  const shown = across.variants.map((variant, place) => ({ variant, place })).filter((one) => isShown(one.variant));
  const rows = across.groups.map((group, i) => ({ group, scores: across.scores[i] }));
  const places = decimals(across.scores.flat().map((score) => [score]));
  const least = (row) => Math.min(...row.scores.filter(isNumber));
  const columns = [
    { label: "Group", head: true, kind: () => "name", value: (row) => row.group, text: (group) => group },
    ...shown.map(({ variant, place }) => ({
      ...numberColumn(DATA.variants[variant].short, (row) => row.scores[place], (value) => fixed(value, places)),
      kind: (row) => (row.scores[place] === least(row) ? "best" : ""),
    })),
  ];
  byId("groups").classList.toggle("wide", shown.length > 8); // too wide for paper
  drawTable(byId("groups-table"), { caption: `Mean scores of each group of tasks, ${across.setting}; the best in bold`, columns, rows });
}

function measureWords(measure) {
  return measure === "area" ? "normalised regret averaged over time" : "normalised regret at equal time";
}

function drawRungsTable() {
  const task = theTask();
  const rows = inRankOrder(shownRows(task.rungs));
  const places = decimals([[Math.max(...rows.map((row) => row.loss ?? 0))]]);
  const share = (part, all) => (all > 0 ? part / all : null);
  const columns = [
    variantColumn(),
    numberColumn("Bracket", (row) => row.bracket, whole, "0 starts at the lowest level"),
    numberColumn("Level", (row) => row.level, plain, "What a trial is trained to at this rung"),
    numberColumn("Recorded", (row) => row.recorded, whole, "Trials that had a value there, over all seeds"),
    numberColumn("Stopped", (row) => row.stopped, whole, "Those of them that did not go on"),
    numberColumn("Would have ended better", (row) => row.better, whole, "Of those stopped: better at R than the best that went on"),
    numberColumn("Share of stopped", (row) => share(row.better, row.stopped), precisePercent, "Would have ended better, of those stopped"),
    numberColumn("False promotions", (row) => row.false_promotions, whole, "Went on without being among as many of the rung’s best at R"),
    numberColumn("Regret lost", (row) => row.loss, (value) => fixed(value, places), "What the rung’s decisions cost: normalised regret, mean over seeds"),
  ];
  drawTable(byId("rungs-table"), { caption: "Decisions at each rung, summed over seeds", columns, rows, tall: true });
}

// Where all is training, there is nothing to show.
function drawSharesTable() {
  const { is_all_training: isAll } = theTask();
  byId("all-training").hidden = !isAll;
  byId("shares").hidden = byId("shares-table").hidden = isAll;
  const rows = inRankOrder(shownRows(theTask().shares));
  const part = (label, name, help) => numberColumn(label, (row) => row[name], precisePercent, help);
  const columns = [
    variantColumn(),
    part("Training", "training", "Training that was done for the first time"),
    part("Retrained", "retrained", "Training that was done again"),
    part("Overhead", "overhead", "Start-up, checkpoints and waits"),
    part("Idle", "idle", "Workers without work"),
    part("Absent", "absent", "Workers that were not there"),
    part("Saved by resuming", "saved", "Training that resuming from checkpoints saved, over that which was done"),
  ];
  drawTable(byId("shares-table"), { caption: "Shares of the workers’ time, means over seeds", columns, rows, tall: true });
}
