"""Answers in the words of Alpaca's documents: numbers as texts, instants in UTC, every key always there."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from simulator.exchange.accounts import (
    MAINTENANCE_LONG,
    MAINTENANCE_SHORT,
    MARGIN_LONG,
    MARGIN_SHORT,
    Execution,
    Holding,
    PaperAccount,
)
from simulator.exchange.exchange import Exchange, Update
from simulator.exchange.faults import SECONDS, About
from simulator.exchange.orders import Order
from simulator.exchange.prices import PastBar, Prices
from simulator.market.calendar import NEW_YORK

Json = dict[str, Any]
PDT_FIELDS = ("pattern_day_trader", "daytrade_count", "daytrading_buying_power", "dtbp_check", "pdt_check")


def utc(at: int) -> str | None:
    """Return an instant (nanoseconds since the epoch) as the interfaces write it, None for 0."""
    if not at:
        return None
    seconds, rest = divmod(at, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}".rstrip("0").rstrip(".") + "Z"


def new_york(at: int) -> str:
    """Return an instant in New York's time, as the clock tells it."""
    return datetime.fromtimestamp(at / 1e9, NEW_YORK).isoformat()


def text(value: float | None) -> str | None:
    """Return a number as the text that reads back as the same number."""
    if value is None:
        return None
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else repr(float(value))


def cents(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def asset_id(symbol: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"asset:{symbol}"))


def read_clock(exchange: Exchange) -> int:
    """Return the instant that the exchange tells: its own, or one that a fault sets ahead or behind."""
    ahead, behind = (exchange.faults.rule(name) for name in SECONDS)
    seconds = (ahead.seconds if ahead else 0.0) - (behind.seconds if behind else 0.0)
    return exchange.now + round(seconds * 1e9)


def without_pdt(told: Json, account: PaperAccount, exchange: Exchange) -> Json:
    """Return an answer, without the old fields on pattern day trading where a fault takes them out."""
    gone = PDT_FIELDS if exchange.faults.rule("no-pdt-fields", About(account.key)) else ()
    return {name: value for name, value in told.items() if name not in gone}


def asset_json(symbol: str, prices: Prices) -> Json:
    easy = prices.faults.rule("hard-to-borrow", About(symbol=symbol)) is None
    return {
        "id": asset_id(symbol), "class": "us_equity", "exchange": "NYSE", "symbol": symbol, "name": symbol,
        "status": "active", "tradable": True, "marginable": True, "maintenance_margin_requirement": 25,
        "margin_requirement_long": "25", "margin_requirement_short": "30", "shortable": True, "easy_to_borrow": easy,
        "borrow_status": "easy_to_borrow" if easy else "hard_to_borrow", "fractionable": True, "attributes": [],
    }  # fmt: skip


def account_json(account: PaperAccount, exchange: Exchange) -> Json:
    """Return GET /v2/account."""
    prices, now = exchange.prices, exchange.now
    long, short = account.worth(prices, now)
    equity, power = account.cash + long + short, account.buying_power(prices, now)
    today = int(prices.sessions.session_of[prices.session(now)])
    before = [worth for session, worth in account.closes.items() if session < today]
    multiplier, blocks = account.multiplier(prices, now), exchange.blocks(account)
    told = {
        "id": account.id, "account_number": account.number, "status": "ACTIVE", "crypto_status": "INACTIVE",
        "currency": "USD", "cash": cents(account.cash), "equity": cents(equity), "portfolio_value": cents(equity),
        "last_equity": cents(before[-1] if before else account.started_with), "long_market_value": cents(long),
        "short_market_value": cents(short), "position_market_value": cents(long - short),
        "initial_margin": cents(MARGIN_LONG * long - MARGIN_SHORT * short),
        "maintenance_margin": cents(MAINTENANCE_LONG * long - MAINTENANCE_SHORT * short),
        "last_maintenance_margin": "0",
        "buying_power": cents(power), "regt_buying_power": cents(power), "daytrading_buying_power": "0",
        "effective_buying_power": cents(power), "non_marginable_buying_power": cents(max(0.0, power / multiplier)),
        "options_buying_power": "0", "options_approved_level": 0, "options_trading_level": 0, "sma": "0",
        "multiplier": str(multiplier), "accrued_fees": "0", "pending_transfer_in": "0", "daytrade_count": 0,
        "pattern_day_trader": False, "trading_blocked": "trading-blocked" in blocks, "transfers_blocked": False,
        "account_blocked": "account-blocked" in blocks, "trade_suspended_by_user": "suspend-trade" in blocks,
        "shorting_enabled": account.shorting,
        "created_at": utc(account.opened_at), "balance_asof": str(datetime.fromtimestamp(now / 1e9, NEW_YORK).date()),
        "crypto_tier": 0, "intraday_adjustments": "0", "pending_reg_taf_fees": "0",
    }  # fmt: skip
    return without_pdt(told, account, exchange)


def order_json(order: Order, nested: bool = True) -> Json:
    """Return one order; its legs within where `nested`."""
    average = order.paid / order.filled if order.filled else None
    opened = "close" if order.closing or order.parent is not None else "open"
    return {
        "id": order.id, "client_order_id": order.client_order_id, "created_at": utc(order.created_at),
        "updated_at": utc(order.updated_at), "submitted_at": utc(order.created_at), "filled_at": utc(order.filled_at),
        "expires_at": utc(order.expires_at), "expired_at": utc(order.expired_at), "canceled_at": utc(order.canceled_at),
        "failed_at": utc(order.failed_at), "replaced_at": utc(order.replaced_at), "replaced_by": order.replaced_by,
        "replaces": order.replaces, "asset_id": asset_id(order.symbol), "symbol": order.symbol,
        "asset_class": "us_equity", "notional": text(order.notional),
        "qty": None if order.notional is not None else text(order.qty), "filled_qty": text(order.filled),
        "filled_avg_price": text(average), "order_class": "" if order.order_class == "simple" else order.order_class,
        "order_type": order.kind, "type": order.kind, "side": order.side, "time_in_force": order.time_in_force,
        "limit_price": text(order.limit_price), "stop_price": text(order.stop_price), "status": order.status,
        "extended_hours": order.extended_hours, "trail_percent": None, "trail_price": None, "hwm": None,
        "legs": [order_json(leg) for leg in order.legs] if nested and order.legs else None, "subtag": None,
        "source": None, "position_intent": f"{order.side}_to_{opened}", "ratio_qty": None,
        "commission": text(order.commission), **_group(order),
    }  # fmt: skip


def _group(order: Order) -> Json:
    """Return what an order is among those that were sent together."""
    if order.order_class == "simple":
        return {}
    exits = order.parent is not None or order.order_class == "oco"
    role = "entry" if not exits else "stop_loss" if order.stop_price is not None else "take_profit"
    return {"group_id": order.parent or order.id, "group_role": role}


def position_json(symbol: str, holding: Holding, account: PaperAccount, exchange: Exchange) -> Json:
    """Return one position."""
    prices, now, shares = exchange.prices, exchange.now, holding.shares
    price, before = prices.price(symbol, now), prices.close_before(symbol, now)
    before = before if before == before else price
    value, gain, today = shares * price, shares * price - holding.cost, shares * (price - before)
    basis = abs(holding.cost)
    return {
        "asset_id": asset_id(symbol), "symbol": symbol, "exchange": "NYSE", "asset_class": "us_equity",
        "asset_marginable": True, "qty": text(shares), "qty_available": text(account.available(symbol)),
        "avg_entry_price": text(holding.entry), "side": "long" if shares > 0 else "short", "market_value": text(value),
        "cost_basis": text(holding.cost), "unrealized_pl": text(gain),
        "unrealized_plpc": text(gain / basis if basis else 0.0), "unrealized_intraday_pl": text(today),
        "unrealized_intraday_plpc": text(today / (abs(shares) * before)), "current_price": text(price),
        "lastday_price": text(before), "change_today": text(price / before - 1.0),
    }  # fmt: skip


def activity_json(one: Execution, order: Order) -> Json:
    """Return a fill as an entry of /v2/account/activities."""
    return {
        "activity_type": "FILL", "id": f"{(utc(one.at) or '')[:19].translate(_DIGITS)}000::{one.id}",
        "cum_qty": text(order.filled), "leaves_qty": text(order.left), "price": text(one.price),
        "qty": text(abs(one.shares)), "side": order.side, "symbol": one.symbol, "transaction_time": utc(one.at),
        "order_id": order.id, "type": "fill" if order.left <= 1e-9 else "partial_fill", "order_status": order.status,
    }  # fmt: skip


def update_json(update: Update) -> Json:
    """Return an event as the trading stream tells it."""
    data: Json = {"event": update.event, "timestamp": utc(update.at), "order": order_json(update.order, nested=False)}
    if update.execution is not None:
        one = update.execution
        held = update.account.shares_of(one.symbol)
        data |= {
            "execution_id": one.id, "price": text(one.price), "qty": text(abs(one.shares)), "position_qty": text(held)
        }  # fmt: skip
    return data


def bar_json(bar: PastBar) -> Mapping[str, Any]:
    """Return a bar as the data interface tells it; trades are not known, so `n` is 0 and `vw` the typical price."""
    typical = round((bar.high + bar.low + bar.close) / 3.0, 6)
    return {
        "t": utc(bar.at), "o": bar.open, "h": bar.high, "l": bar.low, "c": bar.close, "v": int(bar.volume), "n": 0,
        "vw": typical,
    }  # fmt: skip


def trade_json(at: int, price: float) -> Mapping[str, Any]:
    return {"t": utc(at), "x": "V", "p": price, "s": 100, "c": ["@"], "i": at // 1000, "z": "A"}


def quote_json(at: int, bid: float, ask: float) -> Mapping[str, Any]:
    return {"t": utc(at), "ax": "V", "ap": ask, "as": 1, "bx": "V", "bp": bid, "bs": 1, "c": ["R"], "z": "A"}


_DIGITS = str.maketrans("", "", "-:T")
