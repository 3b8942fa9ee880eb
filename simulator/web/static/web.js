"use strict";
const line = document.getElementById("line"), said = document.getElementById("said");
const csrf = document.querySelector("meta[name=csrf]")?.content ?? "";
const SHOWN = 200, EVERY = 1000, PRICES = 5000;
let due = false, stale = false, last = "";

// Last known state stays when the line is cut, and is marked.
const mark = (cut) => {
  line.classList.toggle("cut", cut);
  document.getElementById("content").classList.toggle("cut", cut);
  line.textContent = cut ? `line cut: as of ${last || "loading"}` : "live";
};

// What somebody is typing is not taken from under their hands.
const isBusy = () => [...document.querySelectorAll("main input:not([type=hidden])")].some(
  (one) => one.type === "checkbox" ? one.checked : one.value !== (one.dataset.first ?? "")) || document.activeElement?.matches("main input, main button, main select") || document.querySelector("main button:hover");

// What was typed about a trade that did not change goes on standing there.
const keyOf = (one) => { const card = one.closest("[data-id]"); return card && `${card.dataset.id} ${card.dataset.version} ${one.name}`; };
const fields = () => [...document.querySelectorAll("[data-answer] input, [data-answer] select")];
const keep = () => new Map(fields().map((one) => [keyOf(one), one.type === "checkbox" ? one.checked : one.value]));
const put = (kept) => fields().forEach((one) => {
  const value = kept.get(keyOf(one));
  if (value === undefined) return;
  if (one.type === "checkbox") one.checked = value; else one.value = value;
});

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

// The page as it is now; undefined where nobody answers.
async function read() {
  let page;
  try { page = await fetch(location.pathname, {headers: {accept: "text/html"}}); } catch { return mark(true); }
  if (page.redirected || page.status === 401) return location.assign("/login");
  return new DOMParser().parseFromString(await page.text(), "text/html").querySelector("main");
}

// Prices go on under what somebody types, and so does what the rules say of it.
const inAccount = (form, name) => form.elements.account?.value ? `${form.elements.account.value}.${name}` : name;
const changesOf = (form) => Object.fromEntries(["scale", "quantity", "limit", "stop", "take_profit"]
  .filter((name) => form.elements[name].value !== "").map((name) => [inAccount(form, name), Number(form.elements[name].value)]));
const isChanged = (form) => Boolean(form) && Object.keys(changesOf(form)).length > 0;
function freshen(root, chosen) {
  for (const one of root?.querySelectorAll("[data-fresh]") ?? []) {
    const old = document.getElementById(one.id);
    if (!old || !chosen(old)) continue;
    if (old.innerHTML !== one.innerHTML) old.replaceChildren(...one.childNodes);
    Object.assign(old.dataset, one.dataset);
  }
}
async function preview(form) {
  const {id, version} = form.closest("[data-id]").dataset, changes = changesOf(form);
  let answer, text;
  try { answer = await fetch(`/approvals/preview?${new URLSearchParams({id, version, ...changes})}`); text = await answer.text(); } catch { return mark(true); }
  if (JSON.stringify(changes) !== JSON.stringify(changesOf(form))) return; // more was typed meanwhile
  if (answer.ok) return freshen(new DOMParser().parseFromString(text, "text/html"), () => true);
  const refused = document.createElement("span");
  refused.className = "bad"; refused.textContent = `As changed it is refused: ${text.trim()}`;
  document.getElementById(`rules-${id}`)?.replaceChildren(refused);
}
async function freshenAll() {
  freshen(await read(), (old) => old.matches("[data-seen]") || !isChanged(old.closest("[data-id]").querySelector("form")));
}
let typing;
document.addEventListener("input", (event) => {
  const form = event.target.closest("[data-answer]");
  if (!form || !event.target.matches("[type=number], select")) return;
  clearTimeout(typing);
  typing = setTimeout(() => isChanged(form) ? preview(form) : freshenAll(), 150);
});
setInterval(() => {
  if (document.hidden || !document.querySelector("[data-fresh]")) return;
  freshenAll();
  for (const form of document.querySelectorAll("[data-answer]")) if (isChanged(form)) preview(form);
}, PRICES);

async function refresh(force) {
  const main = document.querySelector("main[data-live]");
  if (!main) return;
  if (!force && isBusy()) { stale = true; line.textContent = "live; this page has changed meanwhile: finish or clear what you type"; return; }
  const fresh = await read();
  if (!force && isBusy()) { stale = true; return; }
  const kept = keep(), open = folds(), focus = placeOf(document.activeElement), feed = document.getElementById("feed");
  if (fresh) {
    place(fresh);
    if (feed?.dataset.run) fresh.querySelector("#feed")?.replaceWith(feed); // it is filled by what comes alone
    main.replaceChildren(...fresh.childNodes);
    put(kept); unfold(open); stale = false; mark(false);
    if (focus) document.querySelector(focus)?.focus({preventScroll: true});
  }
}

function refreshSoon() {
  if (due) return;
  due = true;
  setTimeout(() => { due = false; refresh(false); }, EVERY);
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
let source, seen = "", wasCut = false;
function follow() {
  source?.close();
  if (document.hidden) return;
  source = new EventSource(`/events?after=${seen}`);
  source.addEventListener("hello", (message) => { seen = message.lastEventId; mark(false); if (wasCut) refresh(false); wasCut = false; });
  source.addEventListener("anew", (message) => { seen = message.lastEventId; refresh(false); });
  source.addEventListener("error", refused);
  source.addEventListener("message", (message) => {
    const event = JSON.parse(message.data);
    last = event.recorded_at; seen = message.lastEventId;
    show(event);
    refreshSoon();
  });
}
// A browser asks again by itself where nobody answers, not where it was refused: by a proxy, or as one stream too many.
async function refused() {
  wasCut = true; mark(true);
  if (source.readyState !== EventSource.CLOSED) return;
  setTimeout(follow, 5 * EVERY);
  const asked = new AbortController();
  try {
    const answer = await fetch("/events", {signal: asked.signal});
    if ([401, 429].includes(answer.status)) line.textContent = `not live: ${(await answer.text()).trim()}`;
  } catch { /* it stays marked as cut */ }
  asked.abort();
}
if (csrf) {
  document.addEventListener("visibilitychange", follow);
  follow();
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
  let done;
  if (form.matches("[data-question]")) {
    const {most, ...given} = Object.fromEntries(new FormData(form));
    said.textContent = action === "ask" ? "the council is asked: this takes as long as a meeting" : "";
    done = await send("/council", {...given, most: Number(most), action});
    if (action === "plan" || done.failed) { buttons.forEach((one) => { one.disabled = false; }); event.submitter?.focus(); said.textContent = done.failed ?? done.text; return; }
  } else if (form.matches("[data-act]")) {
    const given = Object.fromEntries(new FormData(form));
    done = await send("/act", {...given, action, ...(given.sessions && {sessions: Number(given.sessions)})});
  } else {
    const chosen = form.matches("[data-answer]") ? [form]
      : [...document.querySelectorAll("[data-answer]")].filter((one) => one.elements.together.checked);
    if (action === "approve" && chosen.some(isChanged)) done = {failed: "a change is typed: approve as changed, or clear it"};
    else done = chosen.length ? await send("/approvals", {answers: chosen.map((one) => answerOf(one, action, reason(form)))})
      : {failed: "select at least one trade"};
  }
  buttons.forEach((one) => { one.disabled = false; });
  const results = done.results ?? [];
  // What was refused for another reason than its age keeps what was typed.
  if (!done.failed && results.every((one) => one.ok || one.stale)) {
    if (!form.matches("[data-answer]")) form.reset();
    await refresh(true);
    document.getElementById("content").focus();
  } else event.submitter?.focus(); // it was disabled meanwhile, and lost it
  said.textContent = done.failed ?? done.text ?? results.map((one) => one.text).join("\n");
});
