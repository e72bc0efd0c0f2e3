// Tables that can be sorted.

const SORTS = {};

// columns: {label, help, number, value(row), text(value, row), node(row), head}
function drawTable(box, { caption, columns, rows, tall }) {
  const sort = SORTS[box.id];
  const sorted = sort && columns[sort.column] ? rows.slice().sort(order(columns[sort.column], sort.down)) : rows;
  const head = element("tr", {}, ...columns.map((column, i) => headCell(column, i, sort, () => drawAgain(i))));
  const body = sorted.map((row) => bodyRow(columns, row));
  const table = element("table", {}, element("caption", {}, element("span", {}, caption)), element("thead", {}, head), element("tbody", {}, ...body));
  const scroll = element("div", { class: tall && rows.length > 16 ? "scroll tall" : "scroll", tabindex: 0, role: "region", "aria-label": caption }, table);
  box.replaceChildren(rows.length ? scroll : element("p", { class: "remark" }, "No rows for what is chosen."));

  function drawAgain(i) {
    const down = SORTS[box.id] && SORTS[box.id].column === i ? !SORTS[box.id].down : false;
    SORTS[box.id] = { column: i, down };
    drawTable(box, { caption, columns, rows, tall });
    box.querySelectorAll("thead button")[i].focus();
  }
}

function headCell(column, i, sort, onClick) {
  const button = element("button", { type: "button", title: column.help }, column.label);
  button.addEventListener("click", onClick);
  const direction = sort && sort.column === i ? (sort.down ? "descending" : "ascending") : null;
  return element("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": direction }, button);
}

function bodyRow(columns, row) {
  return element("tr", {}, ...columns.map((column) => {
    const attributes = { class: [column.number ? "number" : "", column.kind ? column.kind(row) : ""].join(" ").trim() || null };
    const content = column.node ? column.node(row) : [column.text(column.value(row), row)];
    return element(column.head ? "th" : "td", column.head ? { ...attributes, scope: "row" } : attributes, ...content);
  }));
}

// What there is none of comes last, whichever way.
function order(column, down) {
  return (one, other) => {
    const [a, b] = [column.value(one), column.value(other)];
    const [noA, noB] = [a === null || a === undefined, b === null || b === undefined];
    if (noA || noB) return noA - noB;
    const least = typeof a === "string" ? a.localeCompare(b, "en") : a - b;
    return down ? -least : least;
  };
}

function variantColumn(label = "Variant", field = "variant") {
  return {
    label,
    head: field === "variant" || field === "first",
    kind: () => "name",
    value: (row) => nameOf(row[field]),
    node: (row) => [marked(row[field])],
  };
}

function medianColumn(label, get, help, length) {
  const node = (row) => {
    const [median, ends] = reach(get(row), length);
    return [median, ...(ends ? [element("span", { class: "ends" }, ends)] : [])];
  };
  return { label, help, number: true, value: (row) => get(row)[0], node };
}

function numberColumn(label, value, text, help) {
  return { label, help, number: true, value, text };
}

// A mean with its interval, small.
function intervalColumn(label, rows, get, help, scale = 1) {
  const scaled = (row) => (get(row) || []).map((end) => (isNumber(end) ? end / scale : null));
  const places = decimals(rows.map(scaled));
  const node = (row) => {
    const [mean, low, high] = scaled(row);
    const known = isNumber(low) && isNumber(high);
    const ends = known ? element("span", { class: "ends" }, ` [${fixed(low, places)}, ${fixed(high, places)}]`) : null;
    return [fixed(mean, places), ...(ends ? [ends] : [])];
  };
  return { label, help, number: true, value: (row) => scaled(row)[0], node };
}
