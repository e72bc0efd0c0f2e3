// The report's data, what is chosen, and the part of the address that holds it.

const DATA = JSON.parse(document.getElementById("data").textContent);
const TASK = ["surrogate", "cluster", "workers"];
const CHOICES = {
  measure: ["score", "area"],
  x: ["log", "linear"],
  y: ["", "linear", "log"], // "" for what suits the task
  bands: ["four", "close", "all", "none"],
  over: ["all", "one"],
};
const state = { task: 0, bracket: null, timeline: "", duels: "", hidden: new Set(), at: "" };
for (const name of Object.keys(CHOICES)) state[name] = CHOICES[name][0];

function theTask() {
  return DATA.tasks[state.task];
}

function isShown(variant) {
  return !state.hidden.has(variant);
}

function nameOf(variant) {
  return DATA.variants[variant].name;
}

function numberOr(text, limit, otherwise) {
  const value = /^\d{1,9}$/.test(text || "") ? Number(text) : -1;
  return value >= 0 && value < limit ? value : otherwise;
}

// The place of the task with the names in an address: names, since places change as a sweep grows.
function taskAt(found) {
  const place = DATA.tasks.findIndex((task) => TASK.every((name) => found.get(name) === String(task[name])));
  return Math.max(0, place);
}

function readAddress() {
  const hash = location.hash.slice(1);
  if (!hash.includes("=")) return false;
  const found = new URLSearchParams(hash);
  state.task = taskAt(found);
  state.bracket = numberOr(found.get("bracket"), 1e9, null);
  state.timeline = found.get("timeline") || "";
  state.duels = found.get("duels") || "";
  state.at = found.get("at") || "";
  for (const [name, allowed] of Object.entries(CHOICES)) {
    state[name] = allowed.includes(found.get(name)) ? found.get(name) : allowed[0];
  }
  const hidden = found.getAll("hide");
  state.hidden = new Set(DATA.variants.map((_, i) => i).filter((i) => hidden.includes(nameOf(i))));
  return true;
}

function writeAddress() {
  const made = new URLSearchParams(TASK.map((name) => [name, theTask()[name]]));
  for (const [name, allowed] of Object.entries(CHOICES)) {
    if (state[name] !== allowed[0]) made.set(name, state[name]);
  }
  for (const variant of [...state.hidden].sort((a, b) => a - b)) made.append("hide", nameOf(variant));
  for (const name of ["bracket", "timeline", "duels", "at"]) {
    if (state[name] !== null && state[name] !== "") made.set(name, state[name]);
  }
  try {
    history.replaceState(null, "", "#" + made);
  } catch {
    // Some browsers refuse that for a file: the page works without.
  }
}

// Columns as a list of rows.
function rowsOf(columns) {
  const names = Object.keys(columns);
  return columns.variant.map((_, i) => Object.fromEntries(names.map((name) => [name, cell(columns[name], i)])));
}

// An interval is three columns.
function cell(column, i) {
  return Array.isArray(column[0]) && column.length === 3 ? column.map((part) => part[i]) : column[i];
}

function shownRows(columns) {
  return rowsOf(columns).filter((row) => isShown(row.variant));
}

const LETTERS = new Map(
  [..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"].map((letter, i) => [letter, i]),
);
const NONE = 64 ** 3 - 1;

// Numbers in three characters each, in even steps from low to high.
function unpack([low, high, text]) {
  const values = [];
  for (let i = 0; i < text.length; i += 3) {
    const step = (LETTERS.get(text[i]) * 64 + LETTERS.get(text[i + 1])) * 64 + LETTERS.get(text[i + 2]);
    values.push(step === NONE ? null : low + ((high - low) * step) / (NONE - 1));
  }
  return values;
}

function unpackLines(packed) {
  return packed.lines.map(([variant, grid, mean, low, high]) => ({
    variant,
    x: packed.grids[grid],
    mean: unpack(mean),
    low: low ? unpack(low) : null,
    high: high ? unpack(high) : null,
  }));
}
