"""Answers of the rehearsal exchange held against Alpaca's own OpenAPI documents: `documents.py URL FOLDER`."""

from __future__ import annotations

import json
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import jsonschema

URL, FOLDER = sys.argv[1], Path(sys.argv[2])
HEADERS = {"APCA-API-KEY-ID": "DOCUMENTS", "APCA-API-SECRET-KEY": "secret"}
LEGS = {"order_class": "bracket", "take_profit": {"limit_price": "900"}, "stop_loss": {"stop_price": "100"}}
ORDER = {"symbol": "SPY", "side": "buy", "type": "market", "time_in_force": "gtc", "qty": "3", **LEGS}
ASKED = {"symbols": "SPY,QQQ", "timeframe": "1Day", "start": "2023-12-01"}
found: list[str] = []


def strict(schema: Any) -> Any:
    """Return OpenAPI's ``nullable`` in JSON Schema's words."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if made.get("nullable") and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def send(method: str, path: str, query: dict[str, str] | None = None, body: object = None) -> tuple[int, Any]:
    where = f"{URL}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(where, data, HEADERS, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.status, json.load(answer)


def check(document: Any, method: str, shape: str, names: dict[str, str] | None = None, **more: Any) -> Any:
    """Send a request to the path of `shape` with `names` filled in, and hold its answer against `document`."""
    path = shape.format(**(names or {}))
    status, content = send(method, path, **more)
    response = document["paths"][shape][method.lower()]["responses"][str(status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    schema = {**response["content"]["application/json"]["schema"], "components": document["components"]}
    for error in jsonschema.Draft202012Validator(schema).iter_errors(content):
        found.append(f"{method} {path}: {list(error.absolute_path)}: {error.message[:200]}")
    return content


trading, data = (strict(json.loads((FOLDER / f"{one}-api.json").read_text())) for one in ("trading", "market-data"))
for plain in ("account", "clock", "calendar", "assets", "account/configurations"):
    check(trading, "GET", f"/v2/{plain}")
check(trading, "GET", "/v2/assets/{symbol_or_asset_id}", {"symbol_or_asset_id": "SPY"})
order = check(trading, "POST", "/v2/orders", body=ORDER)
send("POST", "/rehearsal/advance", body={"bars": 1})
check(trading, "GET", "/v2/orders", query={"status": "all", "nested": "true"})
check(trading, "GET", "/v2/orders/{order_id}", {"order_id": order["id"]})
check(trading, "GET", "/v2/orders:by_client_order_id", query={"client_order_id": order["client_order_id"]})
check(trading, "GET", "/v2/positions")
check(trading, "GET", "/v2/positions/{symbol_or_asset_id}", {"symbol_or_asset_id": "SPY"})
check(trading, "GET", "/v2/account/portfolio/history")
check(trading, "GET", "/v2/account/activities")
check(trading, "DELETE", "/v2/orders")
check(trading, "DELETE", "/v2/positions")
for kind in ("bars", "trades", "quotes"):
    for shape in (f"/v2/stocks/{kind}", f"/v2/stocks/{kind}/latest"):
        check(data, "GET", shape, query=ASKED)
        check(data, "GET", shape.replace("stocks", "stocks/{symbol}"), {"symbol": "SPY"}, query=ASKED)
check(data, "GET", "/v2/stocks/snapshots", query=ASKED)
check(data, "GET", "/v2/stocks/{symbol}/snapshot", {"symbol": "SPY"})
check(data, "GET", "/v1beta1/news")
check(data, "GET", "/v1/corporate-actions", query={"symbols": "SPY"})
print("\n".join(found) or "Alpaca's OpenAPI documents: ok")
sys.exit(bool(found))
