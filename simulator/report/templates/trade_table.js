// The table of trades: rows made from the numbers of the page when they are shown.
const trips = document.getElementById("trips") && read("trips");
if (trips) {
  const table = document.querySelector("table.trades");
  const keys = [...table.tHead.rows[0].cells].map((head) => head.className);
  const when = (at) => {
    if (at == null) return "still held";
    const minute = at % 1440, date = day(held.days[(at - minute) / 1440]);
    return trips.timed ? `${date}, ${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}` : date;
  };
  const link = (n, words) => {
    if (!held.decisions[n]) return words;
    const it = make("a", "", words);
    it.setAttribute("href", `#${address(n)}`);
    return it;
  };
  const percents = (x, digits = 1) => `${signed(100 * x, digits)}\u00a0%`;
  const coloured = (x, words) => make("span", x > 0 ? "long" : x < 0 ? "short" : "", words);
  const rows = trips.rows.map(([account, symbol, side, entered, exited, sessions, shares, entry, exit, costs, pnl, fraction, mae, mfe, ended, first, last]) => {
    const values = { symbol: trips.symbols[symbol], account: trips.accounts[account], side: side > 0 ? "long" : "short", entered, exited, sessions, shares, entry, exit, costs, pnl, fraction, mae, mfe, ended: trips.endings[ended] };
    const cells = () => ({
      symbol: values.symbol,
      account: values.account,
      side: values.side,
      entered: link(first, when(entered)),
      exited: when(exited),
      sessions: number(sessions, 0),
      shares: count(shares),
      entry: price(entry),
      exit: exit == null ? "" : price(exit),
      costs: money(costs, 2),
      pnl: coloured(pnl, money(pnl, 2)),
      fraction: coloured(pnl, percents(fraction)),
      mae: percent(mae),
      mfe: percent(mfe),
      ended: link(last, values.ended),
    });
    const words = [values.symbol, values.account, values.side, when(entered), when(exited), held.days[Math.floor(entered / 1440)], exited == null ? "" : held.days[Math.floor(exited / 1440)], values.ended];
    return {
      values: keys.map((key) => values[key]),
      words: words.join(" ").toLowerCase(),
      pnl,
      make() {
        const shown = cells();
        return make("tr", held.decisions[first] ? "opens" : "", ...keys.map((key) => make("td", key, shown[key])));
      },
    };
  });
  sortable(table, rows, (found) => `, ${money(found.reduce((sum, row) => sum + row.pnl, 0))} together`);
  table.addEventListener("click", (event) => {
    if (!event.target.closest("a, button")) event.target.closest("tr.opens")?.querySelector(".entered a").click();
  });
}
// A click on a price chart opens the debate behind the nearest trade of its symbol.
document.querySelectorAll(".prices figure").forEach((figure) => {
  const own = held.trades.filter((trade) => trade[1] === figure.dataset.symbol && held.decisions[trade[5]]);
  const canvas = figure.querySelector(".canvas");
  if (!own.length) return;
  canvas.classList.add("opens");
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect(), width = box.width / (last + 1);
    const far = (trade) => Math.abs((trade[0] + 0.5) * width - (event.clientX - box.left));
    const nearest = own.reduce((best, trade) => far(trade) < far(best) ? trade : best);
    if (far(nearest) <= Math.max(NEAR, width)) open(nearest[5]);
  });
});
