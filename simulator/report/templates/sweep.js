// The map of a sweep, its lines across the parameters and its table: three views of the same members, one of them chosen.
const sweep = JSON.parse(document.getElementById("sweep").textContent);
const { axes, measures, numbers, places, values } = sweep;
const RATIO = measures.findIndex((one) => one.key === "ratio");
const indexOf = new Map(numbers.map((number, i) => [number, i]));
const failed = new Set(sweep.failed);
document.documentElement.classList.add("live");

const create = (tag, css, ...content) => {
  const it = document.createElement(tag);
  if (css) it.className = css;
  it.append(...content);
  return it;
};
const size = (x, digits) => Math.abs(x).toFixed(digits).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
const sign = (x, digits) => x < 0 && /[1-9]/.test(size(x, digits)) ? "−" : "";
const number = (x, digits) => sign(x, digits) + size(x, digits);
const WRITE = {
  "%": (x) => `${number(100 * x, 1)}\u00a0%`,
  ratio: (x) => number(x, 2),
  $: (x) => `${sign(x, 0)}$${size(x, 0)}`,
  p: (x) => x < 0.001 ? "below 0.001" : x.toFixed(x < 0.1 ? 3 : 2),
  count: (x) => number(x, 0),
};
const write = (m, x) => x == null ? "n/a" : WRITE[measures[m].unit](x);
const setting = (k, i) => sweep.settings[axes[k].name]?.[i] ?? (axes[k].texts ?? axes[k].labels)[places[k][i]];
const shorten = (text) => text.length > 18 ? `${text.slice(0, 17)}…` : text;
const label = (k, i) => sweep.settings[axes[k].name] ? shorten(setting(k, i)) : axes[k].labels[places[k][i]];
const named = (i) => axes.map((axis, k) => `${axis.name} ${label(k, i)}`).join(", ");
const quoted = (word) => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
const settingsOf = (i) => Object.entries({ ...sweep.fixed, ...Object.fromEntries(axes.map((axis, k) => [axis.name, setting(k, i)])) });
const commandOf = (i) => [sweep.command, ...settingsOf(i).sort(([a], [b]) => a < b ? -1 : 1).map((pair) => `--set ${quoted(pair.join("="))}`)].join(" ");
const median = (list) => {
  const ranked = list.filter((x) => x != null).sort((a, b) => a - b), n = ranked.length;
  return n ? (ranked[(n - 1) >> 1] + ranked[n >> 1]) / 2 : null;
};
const better = (i, j) => j == null || (values[RATIO][i] ?? -Infinity) > (values[RATIO][j] ?? -Infinity) ? i : j;

const watching = [];
let chosen = null;
function choose(i, from) {
  chosen = i;
  watching.forEach((tell) => tell(i, from));
}

// The map.
if (axes.length > 1) {
  const tools = document.getElementById("map-tools"), heat = document.getElementById("heat");
  const readout = document.getElementById("heat-readout");
  const many = numbers.length > axes[0].labels.length * axes[1].labels.length || axes.length > 2 || Object.keys(sweep.settings).length > 0;
  const view = { x: 0, y: 1, measure: RATIO, how: many ? "median" : "best", fixed: new Map() };
  let cells = [], columns = 0, rows = 0, at = 0;

  function list(title, entries, value, change) {
    const it = create("select");
    it.append(...entries.map(([key, words]) => new Option(words, key)));
    it.value = value;
    it.addEventListener("change", () => { change(it.value); layOut(); });
    tools.append(create("label", "", title, it));
    return it;
  }
  function layOutTools() {
    tools.replaceChildren();
    const every = axes.map((axis, k) => [k, axis.name]);
    const pick = (side, other) => (k) => {
      if (+k === view[other]) view[other] = view[side];
      view[side] = +k;
      view.fixed.clear();
      layOutTools();
    };
    if (axes.length > 2) {
      list("Across", every, view.x, pick("x", "y"));
      list("Up", every, view.y, pick("y", "x"));
    }
    list("Shows", measures.map((one, m) => [m, one.name]), view.measure, (m) => { view.measure = +m; });
    if (many) list("Of a cell's members", [["median", "the median"], ["best", "the best"]], view.how, (how) => { view.how = how; });
    if (sweep.medians) return; // Slices would have holes where members are not on the page.
    every.filter(([k]) => k !== view.x && k !== view.y).forEach(([k, name]) => {
      const it = list(name, [["", "any"], ...axes[k].labels.map((words, n) => [n, words])], view.fixed.get(k) ?? "", (n) => {
        if (n === "") view.fixed.delete(k);
        else view.fixed.set(k, +n);
      });
      it.dataset.axis = k;
    });
  }
  function gather() {
    columns = axes[view.x].labels.length;
    rows = axes[view.y].labels.length;
    cells = Array.from({ length: columns * rows }, () => []);
    numbers.forEach((_, i) => {
      for (const [k, n] of view.fixed) if (places[k][i] !== n) return;
      cells[places[view.y][i] * columns + places[view.x][i]].push(i);
    });
    const turned = view.x > view.y;
    const medians = sweep.medians?.[turned ? `${view.y},${view.x}` : `${view.x},${view.y}`]?.[view.measure];
    return cells.map((list, n) => {
      const best = list.reduce((found, i) => better(i, found), null);
      const x = n % columns, y = Math.floor(n / columns);
      const value = view.how === "best" ? (best == null ? null : values[view.measure][best])
        : medians ? medians[turned ? x * rows + y : n] : median(list.map((i) => values[view.measure][i]));
      return { best, value };
    });
  }
  function describe(n) {
    const { best, value } = cells[n];
    const x = n % columns, y = Math.floor(n / columns);
    const where = `${axes[view.x].name} ${axes[view.x].labels[x]}, ${axes[view.y].name} ${axes[view.y].labels[y]}`;
    if (best == null) return `${where}: no member.`;
    const one = cells[n].count === 1 && !sweep.medians;
    const of = one ? `member ${numbers[best]}` : view.how === "best" ? `the best, member ${numbers[best]}`
      : `median${sweep.medians ? "" : ` of ${cells[n].count} members`}, best member ${numbers[best]}`;
    return `${where}: ${measures[view.measure].name.replace(/^[A-Z](?=[a-z])/, (c) => c.toLowerCase())} ${write(view.measure, value)} (${of}).`;
  }
  function paint(td, value, low, high) {
    td.classList.add(value == null ? "none" : low < 0 && high > 0 ? (value < 0 ? "loss" : "gain") : "level");
    if (value == null) return;
    const strength = low < 0 && high > 0 ? Math.abs(value) / Math.max(-low, high) : (value - low) / (high - low || 1);
    td.style.setProperty("--tint", (5 + 77 * strength).toFixed(0));
  }
  function labels(side, axis, css, upwards) {
    const every = Math.ceil(axis.labels.length / side);
    const found = axis.labels.map((words, n) => [words, 100 * (upwards ? axis.labels.length - n - 0.5 : n + 0.5) / axis.labels.length]).filter((_, n) => n % every === 0);
    return found.map(([words, place]) => {
      const it = create("span", "", words);
      it.style[upwards ? "top" : "left"] = `${place}%`;
      if (!upwards && words.length > 6) it.style.transform = `translateX(-${place}%)`; // Long ones stay inside.
      return it;
    });
  }
  function layOut() {
    const found = gather();
    cells = found.map((one, n) => ({ ...one, count: cells[n].length }));
    const there = cells.map((one) => one.value).filter((x) => x != null);
    const low = Math.min(...there), high = Math.max(...there);
    const table = create("table");
    table.setAttribute("role", "grid");
    table.setAttribute("aria-label", `${measures[view.measure].name} by ${axes[view.x].name} across and ${axes[view.y].name} upwards`);
    const body = create("tbody");
    for (let y = rows - 1; y >= 0; y--) {
      const tr = create("tr");
      for (let x = 0; x < columns; x++) {
        const n = y * columns + x, td = create("td");
        td.setAttribute("role", "gridcell");
        td.setAttribute("aria-label", describe(n));
        td.dataset.cell = n;
        td.tabIndex = -1;
        paint(td, cells[n].value, low, high);
        if (columns <= 12 && cells[n].value != null && measures[view.measure].unit === "ratio") td.append(number(cells[n].value, 2));
        tr.append(td);
      }
      body.append(tr);
    }
    table.append(body);
    table.style.setProperty("--rows", rows);
    table.style.setProperty("--columns", columns);
    const longest = axes[view.y].labels.reduce((a, b) => a.length > b.length ? a : b);
    heat.replaceChildren(
      create("p", "up", `${axes[view.y].name} ↑`),
      create("div", "y", create("b", "", longest), ...labels(12, axes[view.y], "", true)), table,
      create("div", "x", ...labels(Math.max(1, Math.floor((heat.clientWidth || 600) / 9 / Math.max(...axes[view.x].labels.map((it) => it.length), 3))), axes[view.x], "", false)),
      create("p", "across", `${axes[view.x].name} →`),
    );
    for (const part of heat.querySelectorAll(".y, .x, .up, .across")) part.ariaHidden = "true";
    at = cellOf(chosen ?? indexOf.get(sweep.best)) ?? 0;
    mark();
    readout.textContent = there.length ? `From ${write(view.measure, low)} to ${write(view.measure, high)}; ${low < 0 && high > 0 ? "green above zero, orange below" : "stronger colour, larger"}.` : "";
    document.querySelectorAll(".small-maps button").forEach((it) => it.setAttribute("aria-pressed", String(view.x === 0 && view.y === 1 && view.fixed.get(2) === +it.dataset.place)));
  }
  const elementOf = (n) => heat.querySelector(`[data-cell="${n}"]`);
  const cellOf = (i) => i == null ? null : places[view.y][i] * columns + places[view.x][i];
  function mark() {
    heat.querySelectorAll(".holds").forEach((td) => td.classList.remove("holds", "chosen"));
    elementOf(cellOf(indexOf.get(sweep.best)))?.classList.add("holds");
    if (chosen != null) elementOf(cellOf(chosen))?.classList.add("holds", "chosen");
    heat.querySelectorAll("[tabindex='0']").forEach((td) => { td.tabIndex = -1; });
    if (elementOf(at)) elementOf(at).tabIndex = 0;
  }
  const pick = (td) => { if (td && cells[+td.dataset.cell].best != null) choose(cells[+td.dataset.cell].best, "map"); };
  const show = (td) => { if (td) readout.textContent = describe(+td.dataset.cell); };
  heat.addEventListener("pointerover", ({ target }) => show(target.closest("td")));
  heat.addEventListener("focusin", ({ target }) => show(target.closest("td")));
  heat.addEventListener("click", ({ target }) => {
    const td = target.closest("td");
    if (!td) return;
    at = +td.dataset.cell;
    mark();
    pick(td);
  });
  heat.addEventListener("keydown", (event) => {
    const td = event.target.closest("td");
    if (!td) return;
    const x = at % columns, y = Math.floor(at / columns);
    const to = { ArrowLeft: [x - 1, y], ArrowRight: [x + 1, y], ArrowUp: [x, y + 1], ArrowDown: [x, y - 1], Home: [0, y], End: [columns - 1, y] }[event.key];
    if (to) {
      event.preventDefault();
      if (to[0] < 0 || to[0] >= columns || to[1] < 0 || to[1] >= rows) return;
      at = to[1] * columns + to[0];
      mark();
      elementOf(at).focus();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      pick(td);
    }
  });
  document.querySelectorAll(".small-maps button").forEach((it) => it.addEventListener("click", () => {
    const on = it.getAttribute("aria-pressed") === "true";
    if (sweep.medians) { readout.textContent = it.textContent.trim(); return; }
    Object.assign(view, { x: 0, y: 1 });
    view.fixed.clear();
    if (!on) view.fixed.set(2, +it.dataset.place);
    layOutTools();
    layOut();
    heat.scrollIntoView({ block: "nearest" });
  }));
  watching.push(() => { at = cellOf(chosen); mark(); });
  layOutTools();
  layOut();
}

// The chosen member, with the command that runs it alone.
{
  const place = document.getElementById("member");
  if (place) watching.push((i) => {
    const pair = (name, words) => [create("dt", "", name), create("dd", "", words)];
    const command = create("pre", "command", create("code", "", commandOf(i)));
    command.tabIndex = 0;
    const copy = create("button", "copy", "Copy the command");
    copy.type = "button";
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(commandOf(i));
      } catch {
        getSelection().selectAllChildren(command);
        if (!document.execCommand("copy")) return;
      }
      copy.textContent = "Copied";
    });
    const runs = sweep.command !== "";
    place.replaceChildren(
      create("h3", "", `Member ${numbers[i]}${numbers[i] === sweep.best ? ", the best" : ""}`),
      create("dl", "set", ...axes.flatMap((axis, k) => pair(axis.name, setting(k, i)))),
      failed.has(numbers[i]) ? create("p", "", `Failed: ${sweep.failures[numbers[i]] ?? "the folder holds why"}`) : create("dl", "measured", ...measures.flatMap((one, m) => pair(one.name, write(m, values[m][i])))),
      ...(runs ? [command, copy] : [create("p", "", `In Python member(${numbers[i]}).run() of the sweep runs it alone.`)]),
    );
  });
}

// Lines across the parameters.
{
  const frame = document.getElementById("parallel"), canvas = frame?.querySelector(".canvas");
  if (canvas) {
    const svg = canvas.querySelector("svg"), low = +frame.dataset.low, high = +frame.dataset.high;
    const readout = document.getElementById("lines-readout"), tall = svg.viewBox.baseVal.height;
    const drawn = numbers.map((_, i) => i).filter((i) => values[RATIO][i] != null);
    const height = (k, i) => k < axes.length ? places[k][i] / Math.max(1, axes[k].labels.length - 1) : (values[RATIO][i] - low) / (high - low);
    const outline = (i) => "M" + [...axes, 0].map((_, k) => `${(1000 * k / axes.length).toFixed(1)} ${(tall * (1 - height(k, i))).toFixed(1)}`).join("L");
    const [pointed, picked] = ["pointed", "picked"].map((css) => {
      const it = document.createElementNS("http://www.w3.org/2000/svg", "path");
      it.setAttribute("class", css);
      svg.append(it);
      return it;
    });
    function nearest(event) {
      const box = canvas.getBoundingClientRect();
      const across = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * axes.length, y = 1 - (event.clientY - box.top) / box.height;
      const k = Math.min(axes.length - 1, Math.floor(across)), part = across - k;
      let found = null, least = Infinity;
      for (const i of drawn) {
        const far = Math.abs(height(k, i) * (1 - part) + height(k + 1, i) * part - y);
        if (far < least || (far === least && better(i, found) === i)) [found, least] = [i, far];
      }
      return found;
    }
    let waiting = 0;
    canvas.addEventListener("pointermove", (event) => {
      waiting ||= requestAnimationFrame(() => {
        waiting = 0;
        const i = nearest(event);
        if (i == null) return;
        pointed.setAttribute("d", outline(i));
        readout.textContent = `Member ${numbers[i]}: ${named(i)}; ratio ${write(RATIO, values[RATIO][i])}.`;
      });
    });
    canvas.addEventListener("pointerleave", () => pointed.removeAttribute("d"));
    canvas.addEventListener("click", (event) => { const i = nearest(event); if (i != null) choose(i, "lines"); });
    watching.push((i) => picked.setAttribute("d", values[RATIO][i] == null ? "" : outline(i)));
  }
}

// The table, and the member that the address names.
{
  const table = document.querySelector("table.members");
  const made = new Map();
  const rows = numbers.map((member, i) => {
    const own = axes.map((_, k) => setting(k, i));
    return {
      values: [member, ...own, ...measures.map((_, m) => values[m][i])],
      words: [member, ...axes.map((axis, k) => `${axis.name}=${own[k]}`), ...own].join(" ").toLowerCase(),
      meets(name, sign, wanted) {
        const k = axes.findIndex((axis) => axis.name.toLowerCase() === name), m = measures.findIndex((one) => name === one.key || name === one.name.toLowerCase());
        if (k < 0 && m < 0) return this.words.includes(name + sign + wanted);
        const value = k >= 0 ? own[k] : values[m][i] == null ? NaN : measures[m].unit === "%" ? 100 * values[m][i] : values[m][i];
        if (Number.isNaN(+value) || Number.isNaN(+wanted)) return sign === "=" && String(value).toLowerCase().includes(wanted);
        return { "=": +value === +wanted, "<": +value < +wanted, ">": +value > +wanted, "<=": +value <= +wanted, ">=": +value >= +wanted }[sign];
      },
      make() {
        if (!made.has(i)) {
          const link = create("a", "", String(member));
          link.setAttribute("href", `#member-${member}`);
          made.set(i, create("tr", "", create("td", "", link), ...own.map((text, k) => {
            const td = create("td", "", label(k, i));
            if (td.textContent !== text) td.title = text;
            return td;
          }), ...measures.map((_, m) => create("td", "", m === RATIO && failed.has(member) ? "failed" : write(m, values[m][i])))));
        }
        made.get(i).className = i === chosen ? "chosen" : "";
        return made.get(i);
      },
    };
  });
  sortable(table, rows);
  watching.push((i) => {
    table.querySelectorAll("tr.chosen").forEach((tr) => tr.classList.remove("chosen"));
    made.get(i)?.classList.add("chosen");
  });
  const fromAddress = () => {
    const wanted = /^#member-(\d+)$/.exec(location.hash)?.[1], i = indexOf.get(+(wanted ?? NaN)), panel = document.getElementById("member");
    if (wanted == null) return false;
    if (i == null) panel.replaceChildren(create("p", "", +wanted < sweep.members ? `Member ${wanted} is not on this page; the folder has it.` : `There is no member ${wanted}: they are 0 to ${sweep.members - 1}.`));
    else choose(i, "address");
    (document.getElementById("map") ?? panel).scrollIntoView({ block: "start" });
    return true;
  };
  addEventListener("hashchange", fromAddress);
  if (!fromAddress()) choose(indexOf.get(sweep.best), "start");
}
