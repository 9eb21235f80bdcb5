(() => {
  "use strict";
  const source = document.getElementById("records");
  if (!source) return;
  const { verdicts, texts, rows } = JSON.parse(source.textContent);
  const PAGE = 50;
  const number = (x) => (x === null ? NaN : Number(String(x).replace("inf", "Infinity")));
  const digits = (x) => (x !== 0 && (x < 1e-3 || x >= 1e4) ? x.toExponential(2) : Number(x.toPrecision(3)).toString());
  const written = (x) => (x === null ? "–" : typeof x === "string" ? x : digits(x));
  const column = (row) => [texts[row[1]], texts[row[2]]].filter(Boolean).join(" ");
  const spec = (row) => texts[row[9]].replace("\t", texts[row[10]]);
  const columns = [
    { name: "verdict", show: (row) => verdicts[row[0]][0] + (row[11] ? ", known" : ""), sort: (row) => row[0], kind: "v" },
    { name: "framework", show: column },
    { name: "dtype", show: (row) => texts[row[3]] },
    { name: "function", show: (row) => texts[row[4]] },
    { name: "operation", show: (row) => texts[row[5]] },
    { name: "entry", show: (row) => texts[row[6]] },
    { name: "error / tolerance", show: (row) => written(row[7]), sort: (row) => number(row[7]), numeric: true },
    { name: "relative tolerance", show: (row) => written(row[8]), sort: (row) => number(row[8]), numeric: true },
    { name: "case", show: spec, kind: "case" },
  ];
  const table = document.getElementById("records-table");
  const [text, verdict, framework] = ["filter-text", "filter-verdict", "filter-column"].map((id) => document.getElementById(id));
  const [output, page, previous, next] = ["filtered", "page", "previous", "next"].map((id) => document.getElementById(id));
  const make = (tag, content, parent) => {
    const made = parent.appendChild(document.createElement(tag));
    if (content !== null) made.textContent = content;
    return made;
  };
  const haystacks = [];
  const haystack = (i) => (haystacks[i] ??= columns.slice(0, 6).concat(columns[8]).map((c) => c.show(rows[i])).join(" ").toLowerCase());
  let shown = rows.map((_, i) => i), at = 0, sorted = null, descending = false;

  const compare = (sort) => (i, j) => {
    const a = sort(rows[i]), b = sort(rows[j]);
    if (typeof a === "string") return (descending ? -1 : 1) * a.localeCompare(b, "en", { numeric: true });
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return a === b ? 0 : (descending ? -1 : 1) * (a < b ? -1 : 1);
  };
  const select = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const [wanted, chosen] = [verdict.value, framework.value];
    shown = rows.map((_, i) => i).filter((i) =>
      (!wanted || verdicts[rows[i][0]][0] === wanted) &&
      (!chosen || column(rows[i]) === chosen) &&
      words.every((word) => haystack(i).includes(word)));
    if (sorted) shown.sort(compare(sorted.sort ?? sorted.show));
    at = 0;
    draw();
  };
  const draw = () => {
    const body = table.tBodies[0];
    body.replaceChildren();
    for (const i of shown.slice(at, at + PAGE)) {
      const line = make("tr", null, body);
      for (const c of columns) make("td", c.show(rows[i]), line).className = c.numeric ? "num" : c.kind ?? "";
      const [, mark, fails] = verdicts[rows[i][0]], cell = line.cells[0];
      cell.textContent = mark + " " + cell.textContent;
      if (fails && !rows[i][11]) cell.classList.add("bad");
    }
    const last = Math.min(at + PAGE, shown.length);
    output.textContent = shown.length.toLocaleString("en") + " of " + rows.length.toLocaleString("en") + " records";
    page.textContent = shown.length ? (at + 1).toLocaleString("en") + " to " + last.toLocaleString("en") : "none";
    previous.disabled = at === 0;
    next.disabled = last === shown.length;
  };
  const order = (c) => {
    descending = sorted === c && !descending;
    sorted = c;
    for (const [k, th] of [...table.tHead.rows[0].cells].entries()) {
      if (columns[k] === c) th.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
      th.lastChild.textContent = columns[k].name + (columns[k] === c ? (descending ? " ↓" : " ↑") : "");
    }
    select();
  };

  const head = make("tr", null, table.createTHead());
  for (const c of columns) {
    const th = make("th", null, head);
    th.scope = "col";
    if (c.numeric) th.className = "num";
    const button = make("button", c.name, th);
    button.type = "button";
    button.addEventListener("click", () => order(c));
  }
  table.createTBody();
  const offer = (choices, into) => choices.forEach((choice) => { make("option", choice, into).value = choice; });
  offer(verdicts.filter((_, v) => rows.some((row) => row[0] === v)).map(([word]) => word), verdict);
  const kinds = new Map(rows.map((row) => [row[1] * texts.length + row[2], row]));
  offer([...new Set([...kinds.values()].map(column))], framework);
  let waiting = 0;
  text.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(select, 120); });
  for (const control of [verdict, framework]) control.addEventListener("change", select);
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  previous.addEventListener("click", () => { at = Math.max(at - PAGE, 0); draw(); });
  next.addEventListener("click", () => { at += PAGE; draw(); });
  document.getElementById("filters").hidden = document.getElementById("pager").hidden = false;
  order(columns[0]);
})();
