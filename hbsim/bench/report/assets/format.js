// Numbers and texts as people read them.

const DASH = "–";

function isNumber(value) {
  return typeof value === "number" && isFinite(value);
}

function middle(values) {
  const sorted = values.slice().sort((a, b) => a - b);
  const half = values.length >> 1;
  return values.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

// The decimals of a column of [mean, low, high]: they show two digits of the middle width; without widths, three
// of the means. The tables made without the script follow the same rule.
function decimals(intervals) {
  const digits = (values, count) => count - 1 - Math.floor(Math.log10(middle(values)));
  const widths = intervals.filter(([, low, high]) => isNumber(low) && high > low).map(([, low, high]) => high - low);
  const sizes = intervals.map(([mean]) => (isNumber(mean) ? Math.abs(mean) : 0)).filter((size) => size > 0);
  const wanted = widths.length ? digits(widths, 2) : sizes.length ? digits(sizes, 3) : 3;
  return Math.min(6, Math.max(0, wanted));
}

function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, ",");
}

function fixed(value, places) {
  if (!isNumber(value)) return DASH;
  const [whole, rest] = Math.abs(value).toFixed(places).split(".");
  const text = grouped(whole) + (rest ? "." + rest : "");
  return value < 0 && /[1-9]/.test(text) ? "−" + text : text;
}

// A number on its own, with four digits.
function plain(value) {
  if (!isNumber(value)) return DASH;
  const [whole, ...rest] = String(+value.toPrecision(4)).replace("-", "−").split(".");
  return [/^−?\d+$/.test(whole) ? grouped(whole) : whole, ...rest].join(".");
}

function whole(value) {
  return fixed(value, 0);
}

function pValue(value) {
  if (!isNumber(value)) return DASH;
  return value < 0.001 ? "<0.001" : value >= 0.095 ? value.toFixed(2) : String(+value.toPrecision(2));
}

function percent(value) {
  const size = Math.abs(value);
  return isNumber(value) ? fixed(100 * value, size > 0 && size < 0.0995 ? 1 : 0) + "%" : DASH;
}

function precisePercent(value) {
  return isNumber(value) ? fixed(100 * value, 1) + "%" : DASH;
}

function interval(mean, low, high, places = decimals([[mean, low, high]])) {
  const ends = isNumber(low) && isNumber(high) ? ` [${fixed(low, places)}, ${fixed(high, places)}]` : "";
  return fixed(mean, places) + ends;
}

// A mean count: whole from 10 on, else with two digits.
function count(value) {
  return Math.abs(value) >= 10 ? fixed(value, 0) : String(+value.toPrecision(2));
}

const AFTER = 1e300; // stands for a time after the budget

// The median time to a target, in units of `length` seconds, as [what it is, its ends].
function reach([median, low, high], length) {
  if (!isNumber(median)) return [DASH, ""];
  const text = (time) => (time >= AFTER ? "∞" : count(time / length));
  const ends = isNumber(low) && isNumber(high) ? ` [${text(low)}, ${text(high)}]` : "";
  return median >= AFTER ? ["not by half", low < AFTER ? ends : ""] : [text(median), ends];
}

// The unit of an axis from 0 to `end` seconds, and how many seconds it has.
function timeUnit(end) {
  const units = [["days", 86400], ["hours", 3600], ["minutes", 60]];
  const [name, length] = units.find((unit) => end >= 5 * unit[1]) || ["seconds", 1];
  return { name, length };
}

// Any text for Plotly, which reads a little HTML.
function safe(text) {
  const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
  return String(text).replace(/[&<>]/g, (one) => entities[one]);
}

// A label beside an axis: on a narrow screen in lines of at most about `width` characters.
function wrapped(text, width) {
  const lines = [""];
  for (const part of text.match(/[^,;\s]*[,;\s]?/g)) {
    if (lines[lines.length - 1] && (lines[lines.length - 1] + part).length > width) lines.push("");
    lines[lines.length - 1] += part;
  }
  return lines.map(safe).join("<br>");
}
