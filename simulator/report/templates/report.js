"use strict";
(() => {
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
  let at = last, pinned = -1, shown = -1;

  const number = (x, digits) => (x < 0 ? "−" : "") + Math.abs(x).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const signed = (x, digits) => (x > 0 ? "+" : "") + number(x, digits);
  const money = (x, digits = 0) => x == null ? "n/a" : (x < 0 ? "−$" : "$") + number(Math.abs(x), digits);
  const exact = (x, digits, least) => (+x.toPrecision(digits)).toLocaleString("en-US", { minimumFractionDigits: least, maximumFractionDigits: 20 });
  const price = (x) => Math.abs(x) >= 10 ? money(x, 2) : "$" + exact(x, 5, 2);
  const count = (x) => x === 0 || x >= 1 ? number(x, 2) : exact(x, 4, 0);
  const percent = (x, digits = 1) => x == null ? "n/a" : number(100 * x, digits) + "\u00a0%";
  const day = (iso) => `${+iso.slice(8, 10)} ${MONTHS[+iso.slice(5, 7) - 1]} ${iso.slice(0, 4)}`;
  const text = (x) => typeof x === "number" ? held.texts[x] : x ?? "";

  const byDay = new Map();
  held.trades.forEach((trade) => byDay.set(trade[0], [...(byDay.get(trade[0]) ?? []), trade]));
  const tradeDays = [...byDay.keys()].sort((a, b) => a - b);
  const peaks = [];
  held.curves.equity.reduce((peak, value, i) => (peaks[i] = value == null ? peak : Math.max(peak, value)), held.cash);

  const traded = (trade) => `${trade[2] > 0 ? "bought" : "sold"} ${count(Math.abs(trade[2]))} ${trade[1]} at ${price(trade[3])}${trade[4] === "open" ? "" : ` (${trade[4]})`}`;
  const fall = (i) => held.curves.equity[i] == null ? null : held.curves.equity[i] / peaks[i] - 1;

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

  function move(i) {
    at = Math.min(last, Math.max(0, i));
    cursor.style.left = `${100 * (at + 1) / (last + 1)}%`;
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
    return Math.round((event.clientX - box.left) / box.width * (last + 1)) - 1;
  };
  function nearestTrade(event) {
    const width = slider.getBoundingClientRect().width / (last + 1);
    // Markers stand half a session before the close they belong to.
    const here = (event.clientX - slider.getBoundingClientRect().left) / width - 0.5;
    let best = -1;
    for (const i of tradeDays) if (best < 0 || Math.abs(i - here) < Math.abs(best - here)) best = i;
    return best >= 0 && Math.abs(best - here) * width <= Math.max(NEAR, width) ? best : -1;
  }
  slider.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse") return;
    const near = overMarkers(event) ? nearestTrade(event) : -1;
    slider.style.cursor = near >= 0 ? "pointer" : "crosshair";
    move(near >= 0 ? near : under(event));
  });
  slider.addEventListener("pointerleave", () => { if (pinned >= 0) move(pinned); });
  slider.addEventListener("click", (event) => {
    const near = nearestTrade(event);
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
    return strip && event.clientY >= strip.top - 4 && event.clientY <= strip.bottom + 4;
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
    parts.push(make("p", "dim source", make("code", "", `sim explain ${held.run} ${it.at.slice(0, 10)}`), " has the whole record and the keys of its answers."));
    sheet.querySelector(".content").replaceChildren(...parts);
    sheet.querySelector("h2").textContent = `${WORDS[it.kind] ?? "Decision"} of ${day(it.at)}, ${it.at.slice(11)}`;
    sheet.querySelector(".previous").disabled = n === 0;
    sheet.querySelector(".next").disabled = n === held.decisions.length - 1;
    sheet.querySelector(".content").scrollTop = 0;
    shown = n;
  }
  function open(n) {
    if (n < 0) return;
    fill(n);
    if (!sheet.open) sheet.showModal();
  }
  const turn = (step) => { if (held.decisions[shown + step]) fill(shown + step); };
  sheet.querySelector(".previous").addEventListener("click", () => turn(-1));
  sheet.querySelector(".next").addEventListener("click", () => turn(1));
  sheet.querySelector(".close").addEventListener("click", () => sheet.close());
  sheet.addEventListener("click", (event) => { if (event.target === sheet) sheet.close(); });
  sheet.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") turn(1);
    if (event.key === "ArrowLeft") turn(-1);
  });
  sheet.addEventListener("close", () => slider.focus({ preventScroll: true }));

  if (held.left_out) {
    const hint = readout.querySelector(".hint");
    hint.textContent = `${held.left_out}: the run folder has the debates whole.`;
    hint.hidden = false;
  }
  slider.setAttribute("aria-valuemax", last);
  document.documentElement.classList.add("live");
  move(last);
})();
