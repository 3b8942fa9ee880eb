// @alpacahq/alpaca-trade-api 4 through a day of the rehearsal exchange: node npm_client.js URL
const assert = require("node:assert");
const { Alpaca } = require("@alpacahq/alpaca-trade-api");

const url = process.argv[2];
// The client knows its hosts: what it sends there goes to the exchange.
const fetchApi = (asked, options) => {
  const { pathname, search } = new URL(typeof asked === "string" ? asked : asked.url);
  return fetch(url + pathname + search, options);
};
const advance = () => fetch(`${url}/rehearsal/advance`, { method: "POST", body: '{"bars": 1}' });

(async () => {
  const { trading, marketData } = new Alpaca({ keyId: "NPM", secret: "secret", fetchApi, retry: false });
  assert((await trading.validateConnection()).ok);
  const account = await trading.account.getAccount();
  assert.deepStrictEqual([account.cash, account.buyingPower, account.status], ["100000", "200000", "ACTIVE"]);

  const own = { symbol: "SPY", qty: 3, side: "buy", clientOrderId: "npm", timeInForce: "gtc" };
  const order = await trading.orders.market(own);
  await assert.rejects(trading.orders.market(own), /client_order_id must be unique/);
  const legs = { takeProfit: { limitPrice: 900 }, stopLoss: { stopPrice: 100 } };
  await trading.orders.bracket({ symbol: "QQQ", qty: 2, side: "buy", type: "market", timeInForce: "gtc", ...legs });
  await advance();
  assert.strictEqual((await trading.orders.getOrderByOrderID({ orderId: order.id })).status, "filled");
  const held = (await trading.positions.getAllOpenPositions()).map((one) => [one.symbol, one.qty]);
  assert.deepStrictEqual(held, [["QQQ", "2"], ["SPY", "3"]]);
  assert((await marketData.getLatestPrice("SPY")) > 0);
  const bars = await marketData.getStockBars({ symbols: ["SPY"], timeframe: "1Day", start: new Date("2023-12-20") });
  assert(bars.SPY.length > 5);
  await trading.closeAllPositions({ cancelOrders: true });
  await advance();
  assert.deepStrictEqual(await trading.positions.getAllOpenPositions(), []);
  await assert.rejects(trading.orders.market({ symbol: "NOPE", qty: 1, side: "buy" }), { status: 422, code: 40010001 });
  console.log("@alpacahq/alpaca-trade-api 4 (npm): ok");
})();
