// Elements of the page: made from text only, never from HTML.

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

// The line and marker of a variant, as the page defines them.
function swatch(variant) {
  const space = "http://www.w3.org/2000/svg";
  const made = document.createElementNS(space, "svg");
  made.setAttribute("class", "swatch");
  made.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#mark-${variant}`);
  made.append(use);
  return made;
}

// The mark and the name, on a narrow screen the short one; a long name may break after a comma. page_marks.py
// makes the same.
function marked(variant) {
  const { short, name: full } = DATA.variants[variant];
  const name = isNarrow() ? short : full;
  const parts = name.split(",").flatMap((part, i) => (i ? [",", element("wbr"), part] : [part]));
  const style = [...name].length > 44 ? "variant" : "variant short";
  return element("span", { class: style, title: name === full ? null : full }, swatch(variant), element("span", {}, ...parts));
}

// Options of a select: [value, label] each.
function fillSelect(select, options, chosen) {
  select.replaceChildren(...options.map(([value, label]) => element("option", { value }, label)));
  select.value = String(chosen);
}

// What the colours of bars mean: [colour, label] each.
function fillKey(id, parts) {
  const items = parts.map(([colour, label]) => {
    const patch = element("span", { class: "patch" });
    patch.style.background = colour;
    return element("span", {}, patch, label);
  });
  byId(id).replaceChildren(...items);
}
