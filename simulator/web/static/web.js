"use strict";
const line = document.getElementById("line"), said = document.getElementById("said");
const csrf = document.querySelector("meta[name=csrf]")?.content ?? "";
const SHOWN = 200, EVERY = 1000, PRICES = 5000, SILENT = 25000, PATIENCE = 30000; // milliseconds, but for the first
const now = () => new Date().toLocaleString("sv-SE"); // 2024-06-03 09:27:00
const isLive = () => document.querySelector("main[data-live]") !== null;
const loaded = now();
let stale = false, streams = false, current = !isLive(), away = "", last = loaded;

// Last known state stays when the line is cut, and is marked with the time at which it was known to hold.
const isCut = () => Boolean(away) || !streams || !current;
function mark() {
  const cut = isCut();
  if (!cut) last = now();
  line.classList.toggle("cut", cut);
  document.getElementById("content").classList.toggle("cut", cut);
  const text = cut ? `${away || "line cut"}: as of ${last}` : !isLive() ? `as of ${loaded}`
    : stale ? "live; this page has changed meanwhile: finish or clear what you type" : "live";
  if (line.textContent !== text) line.textContent = text; // it is read out
}

// An age goes on with the clock, whoever answers.
const born = new WeakMap();
const write = (s) => { const [size, unit] = [[86400, "days"], [3600, "h"], [60, "min"], [1, "s"]].find(([size]) => size === 1 || s >= 2 * size); return `${Math.round(s / size)}\u00a0${unit}`; };
function grow() {
  for (const one of document.querySelectorAll("[data-age]")) {
    if (!born.has(one)) born.set(one, Date.now() - 1000 * Number(one.dataset.age));
    const text = write((Date.now() - born.get(one)) / 1000);
    if (one.textContent !== text) one.textContent = text;
  }
}
function hearBeats(ages) {
  for (const one of document.querySelectorAll("[data-beat]")) if (one.dataset.beat in ages) born.set(one, Date.now() - 1000 * ages[one.dataset.beat]);
  grow();
}

// What somebody is typing is not taken from under their hands.
const isBusy = () => [...document.querySelectorAll("main input:not([type=hidden])")].some(
  (one) => one.type === "checkbox" ? one.checked : one.validity.badInput || one.value !== (one.dataset.first ?? "")) || document.activeElement?.matches("main input, main button, main select") || document.querySelector("main button:hover");

// What was typed about a trade that did not change goes on standing there.
const keyOf = (one) => { const card = one.closest("[data-id]"); return card && `${card.dataset.id} ${card.dataset.version} ${one.name}`; };
const fields = () => [...document.querySelectorAll("[data-answer] input, [data-answer] select")];
const keep = () => new Map(fields().map((one) => [keyOf(one), one.type === "checkbox" ? one.checked : one.value]));
const put = (kept) => fields().forEach((one) => {
  const value = kept.get(keyOf(one));
  if (value === undefined) return;
  if (one.type === "checkbox") one.checked = value; else one.value = value;
});

// A field of numbers that cannot be read has no value, and something stands in it.
const isTyped = (one) => one.value !== "" || one.validity.badInput;
// Fields of the account that is chosen; those of the others keep what is typed, and their names say that there is some.
function choose() {
  for (const select of document.querySelectorAll("[data-answer] [name=account]")) {
    const option = new Map([...select.options].map((one) => [one.value, one]));
    for (const group of select.form.querySelectorAll("[data-in]")) {
      const one = option.get(group.dataset.in), typed = [...group.querySelectorAll("input")].some(isTyped);
      group.hidden = group.dataset.in !== select.value;
      one.textContent = one.dataset.name + (typed ? ": changed" : "");
    }
  }
}
choose();

// Places in a drawing: the page's policy allows no style in its markup.
function place(root) {
  for (const one of root.querySelectorAll("[data-top]")) one.style.top = `${one.dataset.top}%`;
  for (const one of root.querySelectorAll("[data-left]")) one.style.left = `${one.dataset.left}%`;
  for (const one of root.querySelectorAll("[data-height]")) one.style.setProperty("--height", `${one.dataset.height}px`);
}
place(document);

// The keyboard stays where it is: the same element of the page as it is now.
function placeOf(one) {
  if (!one?.closest("main")) return null;
  if (one.id) return `#${CSS.escape(one.id)}`;
  if (one.matches("details[id] > summary")) return `#${CSS.escape(one.parentElement.id)} > summary`;
  const name = ["href", "aria-label"].find((name) => one.hasAttribute(name));
  return name ? `main [${name}="${CSS.escape(one.getAttribute(name))}"]` : null;
}

// What is unfolded stays so; what has come meanwhile is as the page has it.
const folds = () => new Map([...document.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
const unfold = (before) => document.querySelectorAll("details[id]").forEach((one) => { one.open = before.get(one.id) ?? one.open; });

function lose() { current = !isLive(); mark(); }

// The page as it is now; undefined where nobody answers, and where the session has ended: the browser leaves for the login.
async function read(from = location.pathname) {
  try {
    const page = await fetch(`${from}?again=1`, {headers: {accept: "text/html"}, signal: AbortSignal.timeout(PATIENCE)});
    if (page.redirected) return location.assign(page.url);
    const text = await page.text();
    if (page.ok) return new DOMParser().parseFromString(text, "text/html").querySelector("main");
  } catch { /* as one that says no */ }
  lose();
}

// Prices go on under what somebody types, and so does what the rules say of it.
const numbersOf = (form) => [...form.querySelectorAll("[type=number]")].filter(isTyped);
const changesOf = (form) => Object.fromEntries(numbersOf(form).filter((one) => one.value !== "").map((one) => [one.name, Number(one.value)]));
const isChanged = (form) => Boolean(form) && numbersOf(form).length > 0;
const findOdd = (forms) => forms.flatMap(numbersOf).find((one) => one.validity.badInput);
function sayOdd(one) {
  const of = one.closest("[data-id]")?.querySelector("h2").firstChild.textContent.trim(), group = one.closest("[data-in]");
  const where = [of, group?.dataset.in && group.getAttribute("aria-label")].filter(Boolean).join(" ");
  return `${where && `${where}, `}${one.closest("label").textContent.trim()}: what is typed is no number`;
}
function showField(one) {
  const select = one.form.elements.account;
  if (select) { select.value = one.closest("[data-in]").dataset.in; choose(); }
  one.focus();
}
function freshen(root, chosen) {
  for (const one of root?.querySelectorAll("[data-fresh]") ?? []) {
    const old = document.getElementById(one.id);
    if (!old || !chosen(old)) continue;
    if (old.innerHTML !== one.innerHTML) old.replaceChildren(...one.childNodes);
    Object.assign(old.dataset, one.dataset);
  }
}
async function preview(form) {
  const {id, version} = form.closest("[data-id]").dataset, changes = changesOf(form), odd = findOdd([form]);
  if (odd) return refuse(id, sayOdd(odd));
  let answer, text;
  try { answer = await fetch(`/approvals/preview?${new URLSearchParams({id, version, ...changes})}`); text = await answer.text(); } catch { return lose(); }
  if (JSON.stringify(changes) !== JSON.stringify(changesOf(form))) return; // more was typed meanwhile
  if (answer.ok) return freshen(new DOMParser().parseFromString(text, "text/html"), () => true);
  refuse(id, text.trim());
}
function refuse(id, why) {
  const refused = document.createElement("span");
  refused.className = "bad"; refused.textContent = `As changed it is refused: ${why}`;
  document.getElementById(`rules-${id}`)?.replaceChildren(refused);
}
async function freshenAll() {
  const from = document.querySelector("main").dataset.prices;
  freshen(await read(from), (old) => old.matches("[data-seen]") || !isChanged(old.closest("[data-id]")?.querySelector("form")));
}
const chosenForms = () => [...document.querySelectorAll("[data-answer]")].filter((one) => one.elements.together.checked);
const typing = new Map();
function previewSoon(form) {
  clearTimeout(typing.get(form));
  typing.set(form, setTimeout(() => { typing.delete(form); if (isChanged(form)) preview(form); else freshenAll(); }, 150));
}
document.addEventListener("input", (event) => {
  const form = event.target.closest("[data-answer]"), together = document.querySelector("[data-together]");
  if (form && event.target.matches("[type=number], select")) previewSoon(form);
  // One size for all that are selected stands in the field of each, and is held against its rules there.
  const each = event.target.closest("[data-together]") && event.target.name === "scale" ? chosenForms()
    : event.target.name === "together" && together.elements.scale.value !== "" ? [form] : [];
  for (const one of each) {
    for (const field of one.querySelectorAll("[name$='.scale'], [name$=quantity]")) field.value = ""; // of each, in every account
    one.elements.scale.value = one.elements.together.checked ? together.elements.scale.value : "";
    previewSoon(one);
  }
  choose();
});

let turn = 0, shown = 0;
async function refresh(force) {
  if (!force && isBusy() && !isCut()) { stale = true; return mark(); }
  const mine = turn += 1, fresh = await read();
  if (!fresh || mine < shown) return; // a later one was quicker
  if (!isLive()) return mark();
  shown = mine; current = true; last = now();
  if (!force && isBusy()) { stale = true; return mark(); }
  const kept = keep(), open = folds(), focus = placeOf(document.activeElement);
  place(fresh);
  document.querySelector("main").replaceChildren(...fresh.childNodes);
  put(kept); choose(); unfold(open); stale = false; mark(); grow();
  if (focus) document.querySelector(focus)?.focus({preventScroll: true});
}

let due = false, more = false;
function refreshSoon() {
  if (!isLive()) return;
  more = true;
  if (due) return;
  due = true;
  setTimeout(async () => {
    more = false;
    try { await refresh(false); } finally { due = false; } // one page that cannot be shown is not the last
    if (more) refreshSoon();
  }, EVERY);
}
for (const left of ["focusout", "pointerout"]) document.addEventListener(left, () => { if (stale) refreshSoon(); });

function show(event) {
  const feed = document.getElementById("feed");
  if (!feed || (feed.dataset.run && feed.dataset.run !== event.run)) return;
  const item = document.createElement("li"), time = document.createElement("time"), kind = document.createElement("b");
  time.textContent = event.recorded_at; kind.textContent = event.kind;
  item.append(time, " ", kind, ` ${event.account ?? ""} ${event.text}`);
  feed.prepend(item);
  while (feed.children.length > SHOWN) feed.lastChild.remove();
}

// A page that nobody sees leaves its place among the streams to others, and goes on from where it was.
let source, heard = 0, position = "";
function follow() {
  source?.close();
  if (document.hidden) return;
  heard = Date.now();
  source = new EventSource(position ? `/events?after=${position}` : "/events");
  const on = (kind, act) => source.addEventListener(kind, (message) => {
    heard = Date.now(); position = message.lastEventId || position;
    if (kind !== "away") { streams = true; if (away) { away = ""; current = !isLive(); refresh(false); } }
    act(message.data); mark();
  });
  on("hello", () => refresh(false)); // something may have come between the page and its stream
  on("anew", () => refresh(false));
  on("beat", (ages) => hearBeats(JSON.parse(ages)));
  on("away", (why) => { away = why; lose(); });
  on("message", (event) => { show(JSON.parse(event)); refreshSoon(); });
  source.addEventListener("error", refused);
}
// A browser asks again by itself where nobody answers, not where it was refused: by a proxy, or as one stream too many.
async function refused() {
  streams = false; lose();
  if (source.readyState !== EventSource.CLOSED) return;
  const asked = new AbortController();
  try {
    const answer = await fetch("/events", {signal: asked.signal});
    if (answer.status === 429) { away = `not live: ${(await answer.text()).trim()}`; mark(); }
  } catch { /* it stays marked as cut */ }
  asked.abort();
}

// A stream through a dead line is silent, a refused one is closed for good; what could not be read is read again.
function look() {
  if (document.hidden) return;
  if (!source || source.readyState === EventSource.CLOSED || Date.now() - heard > SILENT) { streams = false; lose(); follow(); }
  if (isCut()) refresh(false);
  else if (document.querySelector("[data-fresh]")) freshenAll();
  for (const form of document.querySelectorAll("[data-answer]")) if (isChanged(form)) preview(form);
}
if (csrf) {
  follow();
  grow();
  setInterval(look, PRICES);
  setInterval(grow, EVERY);
  document.addEventListener("visibilitychange", follow);
}
async function send(to, body) {
  try {
    const answer = await fetch(to, {
      method: "POST", headers: {"content-type": "application/json", "x-csrf-token": csrf}, body: JSON.stringify(body)});
    if (!answer.ok) return {failed: await answer.text()};
    return await answer.json();
  } catch { return {failed: "line cut: not known whether it arrived; look at the audit trail"}; }
}

const reason = (form) => form.elements.reason.value;
function answerOf(form, action, why) {
  const card = form.closest("[data-id]"), changes = action === "modify" ? changesOf(form) : {};
  const {price, priceAt} = card.querySelector("[data-seen]").dataset; // as it is seen
  return {id: card.dataset.id, version: Number(card.dataset.version), action, reason: why, changes, ...(price && {price: Number(price), price_at: priceAt})};
}

// Enter in a field would press the first of several buttons, whichever that is.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.matches("main form input") || event.target.form.querySelectorAll("button").length < 2) return;
  event.preventDefault();
  said.textContent = "choose a button";
});

document.addEventListener("submit", async (event) => {
  const form = event.target, action = event.submitter?.value;
  if (!form.matches("[data-answer], [data-together], [data-act], [data-question]")) return;
  event.preventDefault();
  const buttons = form.querySelectorAll("button");
  buttons.forEach((one) => { one.disabled = true; });
  let done, odd;
  if (form.matches("[data-question]")) {
    const {most, ...given} = Object.fromEntries(new FormData(form));
    said.textContent = action === "ask" ? "the council is asked: this takes as long as a meeting" : "";
    done = await send("/council", {...given, most: Number(most), action});
    if (action === "plan" || done.failed) { buttons.forEach((one) => { one.disabled = false; }); event.submitter?.focus(); said.textContent = done.failed ?? done.text; return; }
  } else if (form.matches("[data-act]")) {
    const given = Object.fromEntries(new FormData(form));
    done = await send("/act", {...given, action, ...(given.sessions && {sessions: Number(given.sessions)})});
  } else {
    const chosen = form.matches("[data-answer]") ? [form] : chosenForms();
    odd = action === "reject" ? undefined : findOdd([...new Set([form, ...chosen])]);
    if (odd) done = {failed: sayOdd(odd)};
    else if (action === "approve" && chosen.some(isChanged)) done = {failed: "a change is typed: approve as changed, or clear it"};
    else if (action === "modify" && !form.matches("[data-answer]") && !chosen.some(isChanged)) done = {failed: "no change is typed in what is selected"};
    else done = chosen.length ? await send("/approvals", {answers: chosen.map((one) => answerOf(one, action === "modify" && chosen.length > 1 && !isChanged(one) ? "approve" : action, reason(form)))})
      : {failed: "select at least one trade"};
  }
  buttons.forEach((one) => { one.disabled = false; });
  const results = done.results ?? [];
  // What was refused for another reason than its age keeps what was typed.
  if (!done.failed && results.every((one) => one.ok || one.stale)) {
    if (!form.matches("[data-answer]")) form.reset();
    await refresh(true);
    document.getElementById("content").focus();
  } else if (odd) showField(odd);
  else event.submitter?.focus(); // it was disabled meanwhile, and lost it
  said.textContent = done.failed ?? done.text ?? results.map((one) => one.text).join("\n");
});
