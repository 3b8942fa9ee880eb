const read = (id) => JSON.parse(document.getElementById(id).textContent);
const held = { ...read("evidence"), ...read("debates") };
const stack = document.querySelector(".stack");
const slider = stack.querySelector(".overlay");
const cursor = stack.querySelector(".cursor");
const readout = document.getElementById("readout");
const opener = document.getElementById("opener");
const sheet = document.getElementById("debate");
const last = held.days.length - 1;
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const NEAR = 14;
const WORDS = { council: "Meeting", checkpoint: "Checkpoint" };
const view = { from: 0, to: last };
// Of the zoom: to show other sessions, and a drag that a click ends.
let reveal = () => {}, dragging = false;
let at = last, pinned = -1, shown = -1;

const size = (x, digits) => Math.abs(x).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const sign = (x, digits, plus = "") => /[1-9]/.test(size(x, digits)) ? (x < 0 ? "−" : plus) : "";
const number = (x, digits) => sign(x, digits) + size(x, digits);
const signed = (x, digits) => sign(x, digits, "+") + size(x, digits);
const money = (x, digits = 0) => x == null ? "n/a" : `${sign(x, digits)}$${size(x, digits)}`;
const exact = (x, digits, least) => (+x.toPrecision(digits)).toLocaleString("en-US", { minimumFractionDigits: least, maximumFractionDigits: 20 });
const price = (x) => Math.abs(x) >= 10 ? money(x, 2) : "$" + exact(x, 5, 2);
const count = (x) => x === 0 || x >= 1 ? number(x, 2) : exact(x, 4, 0);
const percent = (x, digits = 1) => x == null ? "n/a" : number(100 * x, Math.abs(x) < 10 ? digits : 0) + "\u00a0%";
const day = (iso) => `${+iso.slice(8, 10)} ${MONTHS[+iso.slice(5, 7) - 1]} ${iso.slice(0, 4)}`;
const text = (x) => typeof x === "number" ? held.texts[x] : x ?? "";

const byDay = new Map();
held.trades.forEach((trade) => byDay.set(trade[0], [...(byDay.get(trade[0]) ?? []), trade]));
const tradeDays = [...byDay.keys()].sort((a, b) => a - b);
const peaks = [];
held.curves.equity.reduce((peak, value, i) => (peaks[i] = value == null ? peak : Math.max(peak, value)), held.cash);

const traded = (trade) => `${trade[2] > 0 ? "bought" : "sold"} ${count(Math.abs(trade[2]))} ${trade[1]} at ${price(trade[3])}${trade[4] === "open" ? "" : ` (${trade[4]})`}`;
const fall = (i) => held.curves.equity[i] == null ? null : Math.max(held.curves.equity[i] / peaks[i] - 1, -1);

function decisionOn(i, bought) {
  const all = byDay.get(i) ?? [];
  const wanted = all.filter((trade) => trade[2] > 0 === bought);
  const trades = wanted.length ? wanted : all;
  for (const trade of trades) if (trade[5] >= 0) return trade[5];
  let found = -1;
  held.decisions.forEach((decision, n) => { if (decision.at.slice(0, 10) <= held.days[i]) found = n; });
  return found;
}

function describe(i) {
  const trades = byDay.get(i) ?? [];
  const said = [`equity ${money(held.curves.equity[i])}`, `drawdown ${percent(fall(i))}`, `gross exposure ${percent(held.curves.gross[i], 0)}`];
  return `${day(held.days[i])}: ${said.join(", ")}${trades.length ? "; " + trades.map(traded).join("; ") : ""}`;
}

// Share of the width at which the close of session i stands; the one before the first stands at the left edge.
const placeOf = (i) => (i - view.from + 1) / (view.to - view.from + 1);

function move(i) {
  at = Math.min(last, Math.max(0, i));
  const beside = at < view.from ? at - view.from : Math.max(0, at - view.to);
  if (beside) reveal(view.from + beside, view.to + beside);
  cursor.style.left = `${100 * placeOf(at)}%`;
  stack.classList.add("moved");
  slider.setAttribute("aria-valuenow", at);
  slider.setAttribute("aria-valuetext", describe(at));
  const cells = { equity: money(held.curves.equity[at]), hold: money(held.curves.hold?.[at]), equal: money(held.curves.equal?.[at]), drawdown: percent(fall(at)), gross: percent(held.curves.gross[at], 0) };
  readout.querySelector("time").textContent = day(held.days[at]);
  for (const [name, value] of Object.entries(cells)) {
    const place = readout.querySelector(`[data-name=${name}]`);
    if (place) place.textContent = value;
  }
  const trades = byDay.get(at) ?? [];
  readout.querySelector(".trades").textContent = trades.length > 3 ? `${trades.slice(0, 3).map(traded).join(", ")} and ${trades.length - 3} more` : trades.map(traded).join(", ");
  const behind = decisionOn(at);
  opener.disabled = behind < 0;
  opener.textContent = behind < 0 ? "No decision yet" : `Read the ${WORDS[held.decisions[behind].kind] ? "debate" : "decision"} of ${day(held.decisions[behind].at)}`;
}

const under = (event) => {
  const box = slider.getBoundingClientRect();
  const i = Math.round((event.clientX - box.left) / box.width * (view.to - view.from + 1)) - 1 + view.from;
  return Math.min(view.to, Math.max(view.from, i));
};
function nearestTrade(event) {
  const width = slider.getBoundingClientRect().width / (view.to - view.from + 1);
  // Markers stand half a session before the close they belong to.
  const here = (event.clientX - slider.getBoundingClientRect().left) / width - 0.5 + view.from;
  let best = -1;
  for (const i of tradeDays) if (i >= view.from && i <= view.to && (best < 0 || Math.abs(i - here) < Math.abs(best - here))) best = i;
  return best >= 0 && Math.abs(best - here) * width <= Math.max(NEAR, width) ? best : -1;
}
slider.addEventListener("pointermove", (event) => {
  if (event.pointerType !== "mouse" || dragging && event.buttons) return;
  const near = overMarkers(event) ? nearestTrade(event) : -1;
  slider.style.cursor = near >= 0 ? "pointer" : "crosshair";
  move(near >= 0 ? near : under(event));
});
slider.addEventListener("pointerleave", () => { if (pinned >= 0) move(pinned); });
slider.addEventListener("click", (event) => {
  if (dragging) return;
  const near = overMarkers(event) ? nearestTrade(event) : -1;
  pinned = near >= 0 ? near : under(event);
  move(pinned);
  if (near >= 0) open(decisionOn(near, upperRow(event)));
});
function upperRow(event) {
  const strip = stack.querySelector(".strips")?.getBoundingClientRect();
  return strip && event.clientY >= strip.top && event.clientY <= strip.bottom ? event.clientY < (strip.top + strip.bottom) / 2 : undefined;
}
function overMarkers(event) {
  const strip = stack.querySelector(".strips")?.getBoundingClientRect();
  return strip && event.clientY >= strip.top - 8 && event.clientY <= strip.bottom + 8;
}

slider.addEventListener("keydown", (event) => {
  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 21, PageDown: -21, Home: -last, End: last };
  if (event.key in steps && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    const step = steps[event.key];
    if (event.shiftKey && Math.abs(step) === 1) {
      const next = step > 0 ? tradeDays.find((i) => i > at) : tradeDays.findLast((i) => i < at);
      move(next ?? at);
    } else move(at + step);
    pinned = at;
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    open(decisionOn(at));
  }
});
opener.addEventListener("click", () => open(decisionOn(at)));

if (held.left_out) {
  const hint = readout.querySelector(".hint");
  hint.textContent = `${held.left_out}: the run folder has the debates whole.`;
  hint.hidden = false;
}
slider.setAttribute("aria-valuemax", last);
document.documentElement.classList.add("live");
move(last);
