function make(tag, css, ...content) {
  const it = document.createElement(tag);
  if (css) it.className = css;
  it.append(...content.filter((part) => part !== "" && part != null));
  return it;
}
const list = (items, css) => make("ul", css, ...items.map((item) => make("li", "", item)));
const conviction = (x) => {
  const it = make("span", "conviction", x == null ? "" : `${x > 0 ? "+" : x < 0 ? "−" : ""}${Math.abs(x)}`);
  it.title = "conviction";
  return it;
};
const named = (seat) => held.who[seat] ?? seat;
const head = (words) => make("h3", "", words);

function pitch(it) {
  if (it.error != null) return make("article", "pitch", make("h4", "", named(it.seat)), make("p", "dim", `no answer: ${text(it.error)}`));
  const top = make("h4", "", named(it.seat), make("b", it.direction.toLowerCase(), `${it.direction} ${it.instrument}`), conviction(it.conviction), it.label ? make("span", "label", `Pitch ${it.label} to the chairman`) : "");
  const ends = [it.horizon && text(it.horizon), it.stop != null && `stop ${price(it.stop)}`, it.target != null && `target ${price(it.target)}`, it.score != null && `score ${number(it.score, 1)}`].filter(Boolean);
  const parts = [top, make("p", "dim", ends.join(" · ")), list((it.thesis ?? []).map(text), "thesis"), it.invalid != null ? make("p", "", make("i", "", "Invalid if: "), text(it.invalid)) : ""];
  if (it.marks || it.against) {
    const marks = (it.marks ?? []).map(([name, mean]) => `${name} ${number(mean, 1)}`).join(", ");
    const against = (it.against ?? []).map(([who, kill, flip]) => make("p", "", make("b", "", `${who}: `), text(kill), " ", make("i", "", "Flips if: "), text(flip)));
    parts.push(make("details", "", make("summary", "", "What its reviewers said"), make("p", "dim", marks), ...against));
  }
  return make("article", "pitch", ...parts);
}
function ruling(it) {
  if (it.error != null) return make("p", "dim", `no answer: ${text(it.error)}`);
  const row = (word) => ([direction, instrument, strength, why]) => make("p", "", make("b", "", `${word} ${direction} ${instrument}`), " ", strength == null ? "" : conviction(strength), " ", text(why));
  return make("div", "ruling", ...it.approved.map(row("Approves")), ...it.rejected.map(row("Rejects")), it.dissent ? make("p", "", make("i", "", "Dissent: "), text(it.dissent)) : "", it.watch ? make("p", "", make("i", "", "Watch: "), text(it.watch)) : "");
}
function facts([symbols, labels, rows]) {
  const top = make("tr", "", make("td", ""), ...symbols.map((name) => make("th", "", name)));
  const body = text(labels).split("|").map((label, i) => make("tr", "", make("th", "", label), ...rows[i].map((value) => make("td", "", String(value)))));
  return make("details", "", make("summary", "", "What every member was shown"), make("div", "scroll", make("table", "", make("tbody", "", top, ...body))));
}
function target([symbol, weight, order, limit, stop, take, why]) {
  const prices = [limit != null && `limit ${price(limit)}`, stop != null && `stop ${price(stop)}`, take != null && `target ${price(take)}`].filter(Boolean).join(", ");
  return make("p", "", make("b", "", `${symbol} ${weight === 0 ? "flat" : percent(weight, 0)}`), prices ? ` (${prices})` : "", why === "" ? "" : `: ${text(why)}`);
}

const ASKED = { shortlist: "Shortlist", research: "Research", pitch: "Pitch", review: "Review", chairman: "Ruling", checkpoint: "Thesis" };
function spread(runs) {
  return runs.split(",").flatMap((run) => {
    const [first, last] = run.split("-").map(Number);
    return held.lines.slice(first, (last ?? first) + 1);
  }).join("");
}
function prompt([what, key]) {
  const [stage, seat, about] = text(what).split("|");
  const label = `${ASKED[stage] ?? stage} · ${named(seat)}${about ? `, on the pitch of ${about}` : ""}`;
  const command = make("code", "", `sim cache show ${key}`);
  if (!held.prompts[key]) return make("p", "dim", `${label}: `, command);
  const it = make("details", "prompt", make("summary", "", label));
  it.addEventListener("toggle", () => {
    if (it.childElementCount > 1) return;
    for (const [role, runs] of held.prompts[key]) {
      const words = make("pre", "", spread(runs));
      words.tabIndex = 0;
      it.append(make("p", "dim", role), words);
    }
    it.append(make("p", "dim", command, " has its settings and the answer as it came."));
  });
  return it;
}

function fill(n) {
  const it = held.decisions[n];
  const followed = held.trades.filter((trade) => trade[5] === n);
  const parts = [];
  if (it.none) parts.push(make("p", "none", `No decision: ${text(it.none)}`));
  parts.push(head("Decided"), ...(it.targets ?? []).map(target), ...(it.cuts ?? []).map((cut) => make("p", "dim", `Cut: ${text(cut)}`)));
  if (!it.targets) parts.push(make("p", "dim", "Nothing new: positions stay as they are."));
  if (followed.length) parts.push(head("Trades that followed"), list(followed.map((trade) => `${day(held.days[trade[0]])}: ${traded(trade)}`), "plainlist"));
  if (it.theses) parts.push(head(it.meeting ? `Theses of ${day(it.meeting)}, read again` : "Theses, read again"), ...it.theses.map(([seat, said]) => make("p", "", make("b", "", `${named(text(seat))}: `), text(said))));
  if (it.chairman) parts.push(head(it.chairman.seat ? named(it.chairman.seat) : "Chairman"), ruling(it.chairman));
  if (it.votes) parts.push(make("p", "dim", `Net votes: ${it.votes.map(([symbol, net]) => `${symbol} ${signed(net ?? 0, 2)}`).join(", ")}`));
  if (it.pitches) parts.push(head("Pitches"), ...it.pitches.map(pitch));
  if (it.research) parts.push(head("Research"), ...it.research.map(([seat, regime, stories]) => make("div", "", make("p", "", make("b", "", `${named(seat)}: `), text(regime)), list(stories.map(text), "thesis"))));
  if (it.facts) parts.push(head("Seen"), facts(it.facts));
  if (it.around) parts.push(make("p", "dim", it.around.map(([name, value]) => `${name} ${text(value)}`).join(" · ")));
  if (it.asked) parts.push(head("Prompts"), ...it.asked.map(prompt));
  parts.push(make("p", "dim source", make("code", "", `sim explain ${held.run} ${it.at.slice(0, 10)}`), " has the whole record and the keys of its answers."));
  sheet.querySelector(".content").replaceChildren(...parts);
  sheet.querySelector("h2").textContent = `${WORDS[it.kind] ?? "Decision"} of ${day(it.at)}, ${it.at.slice(11)}`;
  sheet.querySelector(".previous").disabled = n === 0;
  sheet.querySelector(".next").disabled = n === held.decisions.length - 1;
  sheet.querySelector(".content").scrollTop = 0;
  shown = n;
}
// Every debate has an address: #debate-2024-01-02-0800. A link to it opens it, going back closes it.
const address = (n) => `debate-${held.decisions[n].at.replace(" ", "-").replace(":", "")}`;
const addresses = new Map(held.decisions.map((_, n) => [address(n), n]));
const here = () => addresses.get(location.hash.slice(1)) ?? -1;
const bare = () => location.href.split("#")[0];
// `entered`: the history has an entry for the drawer, which closing takes back. That happens later: what is opened
// meanwhile waits for its own entry.
let entered = false, returning = false, opened = null;

function show(n) {
  fill(n);
  if (sheet.open) return;
  opened = document.activeElement;
  sheet.showModal();
}
function open(n) {
  if (n < 0) return;
  if (sheet.open) return turn(n - shown);
  show(n);
  if (!returning) enter();
}
function write(method, url) {
  try {
    history[method](null, "", url);
    return true;
  } catch {
    return false; // a page inside another one may have no address of its own
  }
}
function enter() {
  entered = write("pushState", `#${address(shown)}`);
}
function turn(step) {
  if (!held.decisions[shown + step]) return;
  fill(shown + step);
  if (!returning) write("replaceState", `#${address(shown)}`);
}
function closed() {
  (opened?.isConnected && opened !== document.body ? opened : slider).focus({ preventScroll: true });
  if (here() < 0) return;
  if (entered) {
    returning = true;
    history.back();
  } else write("replaceState", bare());
  entered = false;
}
window.addEventListener("popstate", () => {
  if (returning) {
    returning = false;
    if (sheet.open) enter();
    return;
  }
  const n = here();
  entered = n >= 0;
  if (n >= 0) show(n);
  else if (sheet.open) sheet.close();
});
document.addEventListener("click", (event) => {
  const n = addresses.get(event.target.closest("a[href^='#debate-']")?.hash.slice(1));
  if (n === undefined || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  open(n);
});

async function copyLink(event) {
  const button = event.currentTarget, link = `${bare()}#${address(shown)}`;
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    // Where a page from disk may not write there, the older way does.
    const field = make("textarea", "unseen");
    field.value = link;
    button.after(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy link"; }, 1500);
}
sheet.querySelector(".copy").addEventListener("click", copyLink);
sheet.querySelector(".previous").addEventListener("click", () => turn(-1));
sheet.querySelector(".next").addEventListener("click", () => turn(1));
sheet.querySelector(".close").addEventListener("click", () => sheet.close());
sheet.addEventListener("click", (event) => { if (event.target === sheet) sheet.close(); });
sheet.addEventListener("keydown", (event) => {
  if (event.key === "ArrowRight") turn(1);
  if (event.key === "ArrowLeft") turn(-1);
});
sheet.addEventListener("close", closed);
if (here() >= 0) show(here());
