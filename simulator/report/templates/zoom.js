// Zoom of the linked charts: a part of the sessions drawn over the whole width, with axes of its own. What is not zoomed
// is what the page was delivered with; that stays, and is put back.
{
  const LANE = 14, FEWEST = Math.min(5, last + 1);
  const canvases = [...stack.querySelectorAll(".plot > .canvas"), ...stack.querySelectorAll(".strip")];
  const scales = [...stack.querySelectorAll(".plot > .y-axis:not(.strips-axis)")];
  const timelines = { wide: stack.querySelector(".x-axis.wide"), narrow: stack.querySelector(".x-axis.narrow") };
  const asDelivered = [...canvases.map((it) => it.firstElementChild), ...scales, ...Object.values(timelines)].map((it) => [it, it.innerHTML]);
  const earlier = [];

  const across = (i) => 1000 * placeOf(i);
  const short = (x) => String(Math.round(10 * x) / 10);
  const fallsOf = (curve) => { let peak = held.cash; return curve.map((x) => x == null ? null : x / (peak = Math.max(peak, x)) - 1); };
  const seen = (values) => values.slice(Math.max(0, view.from - 1), view.to + 1).filter((x) => x != null);

  function steps(low, high, most) {
    const scale = 10 ** (Math.floor(Math.log10((high - low) / most)) - 1);
    let found = [];
    for (const step of [5, 10, 20, 25, 50, 100, 200, 250, 500].map((m) => m * scale)) {
      const first = Math.ceil(low / step - 1e-9), end = Math.floor(high / step + 1e-9);
      found = Array.from({ length: end - first + 1 }, (_, k) => (first + k) * step);
      if (end - first < most) break;
    }
    return found;
  }
  function logSteps(low, high, most) {
    if (high / low < 2.5) return steps(low, high, most);
    const decades = Array.from({ length: Math.ceil(Math.log10(high)) - Math.floor(Math.log10(low)) + 1 }, (_, k) => 10 ** (Math.floor(Math.log10(low)) + k));
    let found = [];
    for (const mantissas of [[1, 1.5, 2, 3, 4, 5, 7], [1, 2, 3, 5], [1, 2, 5], [1, 3], [1]]) {
      found = decades.flatMap((decade) => mantissas.map((m) => m * decade)).filter((x) => low <= x && x <= high);
      if (found.length <= most) break;
    }
    return found;
  }
  const gap = (ticks) => Math.min(...ticks.slice(1).map((x, i) => Math.abs(x - ticks[i])), ticks.length > 1 ? Infinity : Math.abs(ticks[0]) || 1);
  const decimals = (x, most) => { let d = 0; while (d < most && Math.abs(+x.toFixed(d) - x) >= x * 0.01) d++; return d; };
  function dollars(ticks) {
    const top = Math.max(...ticks.map(Math.abs)), [unit, suffix] = top >= 2e6 ? [1e6, "M"] : top >= 2e4 ? [1e3, "k"] : [1, ""];
    const digits = decimals(gap(ticks) / unit, 3);
    return ticks.map((x) => money(x / unit, digits) + (x ? suffix : ""));
  }
  const percents = (ticks) => { const digits = decimals(100 * gap(ticks), 2); return ticks.map((x) => percent(x, digits)); };

  function panel(n, { low, high, log, layers, ticks, write }) {
    const height = canvases[n].firstElementChild.viewBox.baseVal.height;
    const unit = log ? Math.log : (x) => x;
    const down = (x) => height * (unit(high) - unit(x)) / (unit(high) - unit(low));
    const level = (x) => `<path class="${x === 0 ? "zero" : "grid"}" d="M0 ${short(down(x))}L1000 ${short(down(x))}"/>`;
    const drawn = layers.map(([css, values, shape]) => `<path class="${css}" d="${outline(values, down, shape)}"/>`);
    canvases[n].firstElementChild.innerHTML = ticks.map(level).join("") + drawn.join("");
    const labels = ticks.length ? write(ticks) : [];
    scales[n].innerHTML = ticks.map((x, i) => `<span style="top:${(100 * down(x) / height).toFixed(2)}%">${labels[i]}</span>`).join("");
  }
  // `values` begins with the close before the first session.
  function outline(values, down, shape) {
    const points = [];
    for (let i = view.from - 1; i <= view.to; i++) {
      const x = values[i + 1];
      if (shape === "stairs") { if (i >= view.from) points.push([across(i - 1), down(x ?? 0)], [across(i), down(x ?? 0)]); }
      else points.push(x == null ? null : [across(i), down(shape ? x ?? 0 : x)]);
    }
    const path = points.map((point, i) => point == null ? "" : `${i && points[i - 1] ? "L" : "M"}${short(point[0])} ${short(point[1])}`).join("");
    return shape ? `M0 ${short(down(0))}${path.replace("M", "L")}L1000 ${short(down(0))}z` : path;
  }

  function drawEquity() {
    const curves = [["equal", held.curves.equal], ["hold", held.curves.hold], ["strategy", held.curves.equity]].filter(([, values]) => values);
    const layers = curves.map(([css, values]) => [css, [held.cash, ...values]]);
    const shown = layers.flatMap(([, values]) => values.slice(view.from, view.to + 2)).filter((x) => x != null);
    let low = Math.min(...shown), high = Math.max(...shown);
    const log = low > 0;
    if (log) { const room = Math.max(high / low, 1.02) ** 0.04; low /= room; high *= room; }
    else { const room = 0.04 * (high - low || Math.abs(high) * 0.02 || 1); low -= room; high += room; }
    panel(0, { low, high, log, layers, ticks: (log ? logSteps : steps)(low, high, 6), write: dollars });
  }
  function drawDrawdown() {
    const falls = [["hold", held.curves.hold], ["strategy", held.curves.equity]].filter(([, values]) => values).map(([css, values]) => [css, [0, ...fallsOf(values)]]);
    const lowest = Math.min(-0.01, ...falls.flatMap(([, values]) => values.slice(view.from, view.to + 2)).filter((x) => x != null));
    const low = 1.04 * lowest;
    panel(1, { low, high: 0, layers: [["strategy fill", falls.at(-1)[1], "area"], ...falls], ticks: steps(low, 0, 4), write: percents });
  }
  function drawExposure() {
    const { gross, net } = held.curves;
    const shown = [...seen(gross), ...seen(net), 0, 0.1];
    const least = Math.min(...shown), most = Math.max(...shown), room = 0.03 * (most - least);
    const low = least < 0 ? least - room : 0, high = most + room;
    panel(2, { low, high, layers: [["gross fill", [null, ...gross], "stairs"], ["net", [null, ...net]]], ticks: steps(low, high, 4), write: percents });
  }
  function drawMarkers() {
    const here = held.trades.filter((trade) => trade[0] >= view.from && trade[0] <= view.to);
    canvases.slice(3).forEach((canvas, row) => {
      const spots = { buys: new Set(), sells: new Set(), exits: new Set() };
      for (const trade of here) if (trade[2] > 0 === (row === 0)) spots[/^(stop|take profit|margin call)$/.test(trade[4]) ? "exits" : trade[2] > 0 ? "buys" : "sells"].add(trade[0]);
      canvas.firstElementChild.innerHTML = Object.entries(spots).map(([css, days]) => `<path class="${css}" d="${[...days].map((i) => marker(css, across(i - 0.5), days.size)).join("")}"/>`).join("");
    });
  }
  function marker(css, x, many) {
    const wide = Math.min(4, Math.max(1, 250 / many)), [left, right, top, foot] = [x - wide, x + wide, LANE / 2 - 4, LANE / 2 + 4].map(short);
    if (css === "exits") return `M${left} ${foot}L${right} ${top}M${left} ${top}L${right} ${foot}`;
    const [base, tip] = css === "buys" ? [foot, top] : [top, foot];
    return `M${left} ${base}L${right} ${base}L${short(x)} ${tip}z`;
  }

  const monthOf = (iso) => 12 * +iso.slice(0, 4) + +iso.slice(5, 7) - 1;
  const weekOf = (iso) => Math.floor((Date.parse(iso) / 864e5 + 3) / 7);
  const year = (iso) => iso.slice(0, 4);
  const dayName = (iso, before) => `${+iso.slice(8, 10)} ${MONTHS[+iso.slice(5, 7) - 1]}${before && before !== year(iso) ? ` ${year(iso)}` : ""}`;
  const monthName = (iso, before) => before === year(iso) ? MONTHS[+iso.slice(5, 7) - 1] : iso.slice(5, 7) === "01" ? year(iso) : `${MONTHS[+iso.slice(5, 7) - 1]} ${year(iso)}`;
  const CALENDARS = [[(iso) => iso, dayName], [weekOf, dayName], ...[1, 3, 6].map((n) => [(iso) => Math.floor(monthOf(iso) / n), monthName]), ...[1, 2, 5, 10, 20, 50, 100].map((n) => [(iso) => Math.floor(monthOf(iso) / 12 / n), year])];

  function timeTicks(most) {
    for (const [period, name] of CALENDARS) {
      const starts = [];
      for (let i = view.from; i <= view.to; i++) if (i === 0 ? name === dayName : period(held.days[i]) !== period(held.days[i - 1])) starts.push(i);
      if (starts.length > most) continue;
      if (!starts.length) starts.push(view.from);
      let before = "";
      return starts.map((i) => {
        const label = name(held.days[i], before);
        before = year(held.days[i]);
        return [100 * placeOf(i - 1), label];
      }).filter(([left], n) => n === 0 || left <= 100 - 50 / most);
    }
  }
  function drawTime() {
    for (const [css, most] of [["wide", 13], ["narrow", 5]]) {
      timelines[css].innerHTML = timeTicks(most).map(([left, label]) => `<span${/^\d{4}$|\d{4}$/.test(label) ? ' class="strong"' : ""} style="left:${left.toFixed(2)}%">${label}</span>`).join("");
    }
  }

  const isWhole = (it) => it.from === 0 && it.to === last;
  function show(from, to) {
    const span = Math.max(FEWEST, to - from + 1);
    view.from = Math.max(0, Math.min(from, last - span + 1));
    view.to = Math.min(last, view.from + span - 1);
    if (isWhole(view)) for (const [it, content] of asDelivered) it.innerHTML = content;
    else for (const draw of [drawEquity, drawDrawdown, drawExposure, drawMarkers, drawTime]) draw();
    move(Math.min(view.to, Math.max(view.from, at)));
    stack.classList.toggle("zoomed", !isWhole(view));
    for (const button of spans.children) button.setAttribute("aria-pressed", +button.value === view.from && view.to === last);
    period.textContent = isWhole(view) ? "" : describePeriod();
  }
  function zoom(from, to) {
    if (from === view.from && to === view.to) return;
    earlier.push({ ...view });
    show(from, to);
  }
  const back = () => { const it = earlier.pop(); show(it?.from ?? 0, it?.to ?? last); };
  function around(factor) {
    const span = Math.min(last + 1, Math.max(FEWEST, Math.round((view.to - view.from + 1) * factor)));
    const from = Math.max(0, Math.min(last - span + 1, Math.round(at - span * placeOf(at))));
    zoom(from, from + span - 1);
  }
  function describePeriod() {
    const gained = (curve) => { const start = view.from ? curve[view.from - 1] : held.cash, end = curve[view.to]; return start > 0 && end != null ? `${signed(100 * (end / start - 1), 1)}\u00a0%` : "n/a"; };
    const hold = held.curves.hold ? `, buy-and-hold ${gained(held.curves.hold)}` : "";
    return `${day(held.days[view.from])} to ${day(held.days[view.to])}: ${gained(held.curves.equity)}${hold}`;
  }

  const period = make("output", "period");
  const spans = make("div", "spans");
  spans.setAttribute("role", "group");
  spans.setAttribute("aria-label", "Period shown");
  // The session after the close `months` before the last one; beyond the first where there are not so many.
  function since(months) {
    const then = monthOf(held.days[last]) - months;
    return held.days.findIndex((iso) => iso > `${String(Math.floor(then / 12)).padStart(4, "0")}-${String(then % 12 + 1).padStart(2, "0")}${held.days[last].slice(7)}`);
  }
  for (const [name, spoken, months] of [["1M", "Last month", 1], ["3M", "Last three months", 3], ["1Y", "Last year", 12], ["3Y", "Last three years", 36], ["5Y", "Last five years", 60], ["All", "All sessions", 0]]) {
    const from = months ? since(months) : 0;
    if (months && from < 1) continue;
    const button = make("button", "", name);
    Object.assign(button, { type: "button", value: from, ariaLabel: spoken });
    button.addEventListener("click", () => { if (months) zoom(from, last); else { earlier.length = 0; show(0, last); } });
    spans.append(button);
  }
  stack.before(make("div", "zooming", spans, period));
  reveal = show;
  show(0, last);

  const chosen = make("span", "chosen-span");
  slider.append(chosen);
  let pressed = null;
  slider.addEventListener("pointerdown", (event) => {
    dragging = false;
    pressed = event.button === 0 ? { x: event.clientX, pointer: event.pointerId } : null;
  });
  slider.addEventListener("pointermove", (event) => {
    if (!pressed || event.pointerId !== pressed.pointer) return;
    if (!dragging && Math.abs(event.clientX - pressed.x) < 8) return;
    if (!dragging) slider.setPointerCapture(event.pointerId);
    dragging = true;
    const box = slider.getBoundingClientRect(), ends = [pressed.x, event.clientX].map((x) => Math.min(box.width, Math.max(0, x - box.left))).sort((a, b) => a - b);
    Object.assign(chosen.style, { left: `${ends[0]}px`, width: `${ends[1] - ends[0]}px`, display: "block" });
  });
  slider.addEventListener("pointerup", (event) => {
    chosen.style.display = "none";
    if (pressed && dragging) {
      const [from, to] = [pressed.x, event.clientX].map((x) => under({ clientX: x })).sort((a, b) => a - b);
      zoom(Math.max(view.from, from + 1), Math.min(view.to, Math.max(to, from + FEWEST)));
    }
    pressed = null;
  });
  slider.addEventListener("pointercancel", () => { chosen.style.display = "none"; pressed = null; });
  slider.addEventListener("dblclick", back);
  stack.parentElement.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = { "+": () => around(0.5), "=": () => around(0.5), "-": () => around(2), "0": () => zoom(0, last), Escape: isWhole(view) ? null : back }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
