// Any <table class="sortable">: header buttons sort it, a field filters its rows, lists choose among the values of a
// column, and long tables are shown page by page. It stands alone and knows no table.
//
//   <table data-page="50" data-noun="trades">  rows at a time (all where it is missing), and what they are called
//   <th data-sort="number" or "text">          how its column is sorted; without it the column is not
//   <th data-choose="All accounts">            a list of the column's values, and its entry for any of them
//   <th data-chosen="COUNCIL">                 the value chosen at first
//   <th aria-sort="descending">                the order at first
//   <td data-value="12.5">                     a value to sort by where it is not the text of the cell
//
// Rows are those of its body, unless sortable(table, rows, remark) is called with others: {values, words, make()},
// `values` by column, null where there is none, `words` in lower case; remark(rows) is put behind their count. Rows with
// meets(name, sign, value) take conditions in the field, name = value, with < > <= >= as well.
const sortable = (() => {
  const create = (tag, css, ...content) => {
    const it = document.createElement(tag);
    if (css) it.className = css;
    it.append(...content);
    return it;
  };
  const button = (css, label, text) => {
    const it = create("button", css, text);
    it.type = "button";
    if (label) it.setAttribute("aria-label", label);
    return it;
  };

  function valueOf(cell, numeric) {
    const text = cell.dataset.value ?? cell.textContent.trim();
    if (!numeric) return text || null;
    const value = parseFloat(text.replace("−", "-").replace(/[$,\s]/g, ""));
    return Number.isNaN(value) ? null : value;
  }
  function rowsOf(table, heads) {
    const row = (tr) => ({
      values: heads.map((th, n) => tr.cells[n] ? valueOf(tr.cells[n], th.dataset.sort === "number") : null),
      words: tr.textContent.toLowerCase(),
      make: () => tr,
    });
    return [...table.tBodies].flatMap((body) => [...body.rows].map(row));
  }
  function compare(column, direction) {
    return (a, b) => {
      const x = a.values[column], y = b.values[column];
      if (x === y) return 0;
      if (x == null || y == null) return x == null ? 1 : -1;
      return direction * (typeof x === "number" ? x - y : x.localeCompare(y, "en", { numeric: true }));
    };
  }

  return (table, given, remark = () => "") => {
    const heads = [...table.tHead.rows[0].cells];
    const rows = given ?? rowsOf(table, heads);
    const body = table.tBodies[0];
    const size = +table.dataset.page || Infinity;
    const noun = table.dataset.noun || "rows";
    const frame = table.closest(".scroll") ?? table;
    const lists = [];
    let order = rows, found = rows, first = 0;

    const field = create("input");
    field.type = "search";
    field.placeholder = `Filter ${noun}`;
    field.setAttribute("aria-label", `Filter ${noun} by words`);
    const status = create("p", "count");
    status.setAttribute("role", "status");
    const back = button("", `${noun} before these`, "‹"), on = button("", `${noun} after these`, "›");
    const pager = create("div", "pager", back, on);
    const bar = create("div", "table-tools", field);

    function show() {
      const part = found.slice(first, first + size);
      body.replaceChildren(...part.map((row) => row.make()));
      const span = found.length > size ? `${(first + 1).toLocaleString("en-US")} to ${(first + part.length).toLocaleString("en-US")} of ` : "";
      const of = found.length < rows.length ? ` of ${rows.length.toLocaleString("en-US")}` : "";
      status.textContent = `${span}${found.length.toLocaleString("en-US")}${of} ${found.length === 1 && !of ? noun.replace(/s$/, "") : noun}${remark(found)}`;
      pager.hidden = found.length <= size;
      back.disabled = first === 0;
      on.disabled = first + size >= found.length;
    }
    function filter() {
      const typed = field.value.toLowerCase(), conditions = rows[0]?.meets ? /([^\s<>=]+)\s*([<>]=?|=)\s*([^\s<>=]+)/g : /(?!)/g;
      const asked = [...typed.matchAll(conditions)].map(([, ...parts]) => parts);
      const words = typed.replace(conditions, " ").split(/\s+/).filter(Boolean);
      const chosen = lists.filter(([list]) => list.value !== "");
      found = order.filter((row) => words.every((word) => row.words.includes(word)) && asked.every((parts) => row.meets(...parts)) && chosen.every(([list, n]) => String(row.values[n]) === list.value));
      first = 0;
      show();
    }
    function sort(head, direction) {
      heads.forEach((th) => th.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      order = rows.toSorted ? rows.toSorted(compare(heads.indexOf(head), direction)) : [...rows].sort(compare(heads.indexOf(head), direction));
      filter();
    }

    heads.forEach((head, n) => {
      if (head.dataset.choose) {
        const values = [...new Set(rows.map((row) => row.values[n]).filter((value) => value != null))];
        if (values.length > 1) {
          const list = create("select");
          list.setAttribute("aria-label", head.textContent.trim());
          list.append(new Option(head.dataset.choose, ""), ...values.map(String).sort((a, b) => a.localeCompare(b, "en", { numeric: true })).map((value) => new Option(value, value)));
          if (values.map(String).includes(head.dataset.chosen)) list.value = head.dataset.chosen;
          list.addEventListener("change", filter);
          lists.push([list, n]);
          bar.append(list);
        }
      }
      if (!head.dataset.sort) return;
      const press = button("sort", "", "");
      press.append(...head.childNodes);
      head.append(press);
      press.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const usual = head.dataset.sort === "number" ? -1 : 1;
        sort(head, now === "ascending" ? -1 : now === "descending" ? 1 : usual);
      });
    });
    back.addEventListener("click", () => { first = Math.max(0, first - size); show(); });
    on.addEventListener("click", () => { first += size; show(); });
    field.addEventListener("input", filter);

    bar.append(status, pager);
    frame.before(bar);
    const initial = heads.find((th) => th.getAttribute("aria-sort"));
    if (initial) sort(initial, initial.getAttribute("aria-sort") === "ascending" ? 1 : -1);
    else filter();
  };
})();
document.querySelectorAll("table.sortable:not([data-rows])").forEach((table) => sortable(table));
