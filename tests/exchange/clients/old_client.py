"""The old Python client, alpaca-trade-api 3.2.0, through a day of the rehearsal exchange: `old_client.py URL`."""

import json
import os
import sys
import threading
import time
import urllib.request

URL = sys.argv[1]
os.environ["APCA_API_DATA_URL"] = URL

import alpaca_trade_api  # noqa: E402 - reads the environment


def advance() -> None:
    urllib.request.urlopen(urllib.request.Request(f"{URL}/rehearsal/advance", json.dumps({"bars": 1}).encode()))


api = alpaca_trade_api.REST("OLD", "secret", base_url=URL, api_version="v2")
assert (api.get_account().status, api.get_account().equity) == ("ACTIVE", "100000")
assert [str(one.close)[:5] for one in api.get_calendar("2024-11-27", "2024-12-02")] == ["16:00", "13:00", "16:00"]
assert [one.symbol for one in api.list_assets()] == ["SPY", "QQQ"]

exits = {"take_profit": {"limit_price": 900}, "stop_loss": {"stop_price": 100}}
order = api.submit_order("SPY", 5, "buy", "market", "gtc", order_class="bracket", **exits)
advance()
assert api.get_order(order.id).status == "filled"
assert api.list_orders(status="all", nested=True)[0].legs[0].status == "new"
assert (api.get_position("SPY").qty, api.get_position("SPY").qty_available) == ("5", "0")
try:
    refused = (0, api.close_position("SPY"))
except alpaca_trade_api.rest.APIError as error:
    refused = (error.status_code, error.code)
assert refused == (403, 40310000), refused  # its legs hold the shares
api.cancel_all_orders()
api.close_all_positions()
advance()
assert api.list_positions() == []
assert [one.side for one in api.get_activities(activity_types="FILL")] == ["sell", "buy"]
assert len(api.get_portfolio_history(period="1D").equity) == 2
assert len(api.get_bars("SPY", "1Day", "2023-12-20", limit=5)) == 5
assert api.get_latest_trade("SPY").p < api.get_latest_quote("SPY").ap

told: list[str] = []
stream = alpaca_trade_api.Stream("OLD", "secret", base_url=URL, data_stream_url=URL.replace("http", "ws"))


async def keep_update(update: object) -> None:
    told.append(update.event)  # type: ignore[attr-defined]


async def keep_bar(bar: object) -> None:
    told.append(bar.symbol)  # type: ignore[attr-defined]


stream.subscribe_trade_updates(keep_update)
stream.subscribe_daily_bars(keep_bar, "SPY")
threading.Thread(target=stream.run, daemon=True).start()
until = time.monotonic() + 30
while not {"accepted", "SPY"} <= set(told) and time.monotonic() < until:
    api.submit_order("SPY", 1, "buy", "market", "gtc")
    advance()
    time.sleep(0.3)
assert {"accepted", "fill", "SPY"} <= set(told), told
print("alpaca-trade-api 3.2.0 (Python): ok")
