"""Script of a rehearsal: faults, and deeds that happen once, at once or each at its instant.

    reply-lost=0.2                                       a fault and its likelihood
    halt SPY                                             … and whom it strikes
    503 on="GET /v2/positions*" times=2
    at 2024-06-07T08:00Z split NVDA 10                   a deed at its instant
    {"at": "2024-06-07T08:00Z", "split": {"symbol": "NVDA", "ratio": 10}}

The same as lines (`--fault`, `--script`), as JSON (POST /rehearsal/faults) and from Python (`Faults(script=…)`).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path

from simulator.errors import DataError, UsageError, did_you_mean
from simulator.exchange.accounts import PaperAccount
from simulator.exchange.exchange import Exchange
from simulator.exchange.faults import BLOCKS, FAULTS, SECONDS, Faults
from simulator.exchange.orders import Order, Refusal
from simulator.exchange.prices import Split, traded_prices
from simulator.market.bars import instant
from simulator.market.calendar import parse_instant

Fields = Mapping[str, object]
SUBJECTS = {
    **dict.fromkeys(("halt", "stale", "hard-to-borrow"), ("symbol",)),
    **dict.fromkeys((*BLOCKS, "key-revoked"), ("account",)),
}
"""Words of a line that come after a lasting fault; of others it is the likelihood."""
ENDS = ("canceled", "expired", "done_for_day", "rejected")


@dataclass(frozen=True)
class Deed:
    """Deed that is done once: a sentence, the fields in the order a line gives them in, and how it is done."""

    says: str
    words: tuple[str, ...]
    do: Callable[[Exchange, Fields], None]


def split_symbol(exchange: Exchange, given: Fields) -> None:
    """Split a symbol now: bars from now on are divided, for what was traded stays as it was."""
    split = _split(exchange, given, exchange.now)
    _show(exchange, given, split, after=True)
    exchange.divide(split)
    if given.get("orders", "left") == "cancelled":
        for account, order in _orders(exchange, {"symbol": split.symbol}):
            exchange.end(account, order, "canceled")


def _split(exchange: Exchange, given: Fields, at: int) -> Split:
    told = instant(parse_instant(str(given["told"]), "told")) if "told" in given else 0
    return Split(_symbol(exchange, given), at, _number(given, "ratio"), told)


def _show(exchange: Exchange, given: Fields, split: Split, after: bool) -> None:
    raw = given.get("bars", "adjusted") == "raw"
    bars = exchange.bars if raw else traded_prices(exchange.bars, [split], after)
    exchange.show(bars, *exchange.splits, split)


def enter_order(exchange: Exchange, given: Fields) -> None:
    body = {"type": "market", "time_in_force": "day", **{k: v for k, v in given.items() if k != "account"}}
    exchange.submit(_account(exchange, given), body)


def end_orders(exchange: Exchange, given: Fields) -> None:
    status = str(given.get("status", "canceled"))
    if status not in ENDS:
        raise UsageError(f"an order ended {status}", mend=f"one of {', '.join(ENDS)}")
    for account, order in _orders(exchange, given):
        exchange.end(account, order, status)


def fill_orders(exchange: Exchange, given: Fields) -> None:
    shares = _number(given, "shares") if "shares" in given else None
    for account, order in _orders(exchange, given):
        exchange.fill_now(account, order, shares)


def set_cash(exchange: Exchange, given: Fields) -> None:
    _account(exchange, given).cash = _number(given, "cash", least=-1e12)


def reset_account(exchange: Exchange, given: Fields) -> None:
    old = _account(exchange, given)
    new = PaperAccount(old.key, old.digest, exchange.now, exchange.cash, times_reset=old.times_reset + 1)
    exchange.accounts[old.key] = new
    exchange.cut(old)


def cut_streams(exchange: Exchange, given: Fields) -> None:
    exchange.cut(_account(exchange, given) if given.get("account") else None)


DEEDS: Mapping[str, Deed] = {
    "split": Deed(
        "a symbol is split: shares × ratio, open orders stay as they are; orders=cancelled: are cancelled; "
        "bars=raw: the bars show it already; told=2024-06-07T12:00: corporate actions tell it from then on",
        ("symbol", "ratio", "orders"), split_symbol,
    ),
    "order": Deed("an order that was entered by hand", ("symbol", "side", "qty"), enter_order),
    "end": Deed("open orders of a symbol (and role) end: canceled, …", ("symbol", "role", "status"), end_orders),
    "fill": Deed("open orders of a symbol (and role) fill now, or `shares`", ("symbol", "role", "shares"), fill_orders),
    "cash": Deed("an account has so many dollars of cash", ("cash", "account"), set_cash),
    "reset": Deed("a paper account is reset: another number, nothing in it", ("account",), reset_account),
    "cut": Deed("streams break, all or those of an account", ("account",), cut_streams),
}  # fmt: skip


def play(exchange: Exchange, script: Iterable[str | Fields]) -> None:
    """Carry out lines or objects of a script, or put them down for their instants. Raises UsageError and Refusal.

    All are read before the first is carried out. A split that is put down before anybody has traded raises the prices
    before it, so that adjusted bars show prices as they were traded; a later one divides those that follow.
    """
    read = [_read(entry) for entry in script]
    fresh = not any(account.orders for account in exchange.accounts.values())
    for at, name, fields in read:
        if name == "split" and fresh and at > exchange.now:
            split = _split(exchange, fields, at)
            _show(exchange, fields, split, after=False)
            exchange.at(at, partial(exchange.divide, split))
            if fields.get("orders", "left") == "cancelled":
                exchange.at(at, partial(end_orders, exchange, {"symbol": split.symbol}))
        elif name in DEEDS:
            do = partial(DEEDS[name].do, exchange, fields)
            exchange.at(at, do if at <= exchange.now else partial(_try, exchange, name, do))
        else:
            Faults({name: fields})  # read now, though it may hold later
            exchange.at(at, partial(exchange.faults.set, {name: fields}))


def _try(exchange: Exchange, name: str, do: Callable[[], None]) -> None:
    """Do a deed whose time has come; one that cannot be done then is put on record, and the clock goes on."""
    try:
        do()
    except (Refusal, UsageError) as error:
        exchange.refused.append(
            {"at": exchange.now, "deed": name, "why": error.message if isinstance(error, Refusal) else str(error)}
        )


def read_lines(path: Path, option: str = "--script") -> list[str]:
    """Return the lines of a file that `option` names, without comments. Raises DataError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"unreadable: {error}", where=str(path), mend=f"{option} names a file of lines") from None
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _read(entry: str | Fields) -> tuple[int, str, Fields]:
    """Return (instant, 0 for at once; name; fields) of an entry."""
    if isinstance(entry, str):
        return _read_line(entry)
    given = dict(entry)
    at = instant(parse_instant(str(given.pop("at")), "at")) if "at" in given else 0
    if len(given) != 1:
        raise UsageError(f"a script's entry named {len(given)} faults", mend='{"at": …, "halt": {"symbol": "SPY"}}')
    ((name, fields),) = given.items()
    number = "seconds" if name in SECONDS else "chance"
    return at, _check_name(name), fields if isinstance(fields, Mapping) else {number: fields}


def _read_line(line: str) -> tuple[int, str, Fields]:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f'"{line}": {error}', mend="write e.g. halt SPY") from None
    at = 0
    if words[:1] == ["at"] and len(words) > 2:
        at, words = instant(parse_instant(words[1], "at")), words[2:]
    if not words:
        raise UsageError(f'"{line}" names no fault', mend="write e.g. halt SPY")
    name, _, value = words[0].partition("=")
    number = "seconds" if _check_name(name) in SECONDS else "chance"
    plain = [word for word in words[1:] if "=" not in word]
    places = DEEDS[name].words if name in DEEDS else SUBJECTS.get(name, (number,))
    if len(plain) > len(places):
        raise UsageError(f'"{line}" has too many words', mend=f"{name} {' '.join(places)}")
    named = dict(word.split("=", 1) for word in words[1:] if "=" in word)
    return at, name, {**dict(zip(places, plain, strict=False)), **named, **({number: value} if value else {})}


def _check_name(name: str) -> str:
    if name not in DEEDS and name not in FAULTS:
        every = (*FAULTS, *DEEDS)
        raise UsageError(f'no fault "{name}"{did_you_mean(name, every)}', mend=f"one of {', '.join(every)}")
    return name


def _symbol(exchange: Exchange, given: Fields) -> str:
    symbol = str(given.get("symbol", "")).upper()
    if symbol not in exchange.bars.columns:
        raise UsageError(f'no symbol "{symbol}"', mend=f"one of {', '.join(exchange.bars.symbols)}")
    return symbol


def _number(given: Fields, name: str, least: float = 1e-9) -> float:
    try:
        value = float(str(given[name]))
    except (KeyError, ValueError):
        raise UsageError(f"{name} was {given.get(name)}", mend="give a number") from None
    if not isfinite(value) or not least <= value <= 1e12:
        raise UsageError(f"{name} was {value:g}", mend=f"give a number of {least:g} or more")
    return value


def _account(exchange: Exchange, given: Fields) -> PaperAccount:
    """Return the account of a key id or number, the only one that trades where none is named."""
    name = str(given.get("account", ""))
    found = [one for one in exchange.accounts.values() if name in ("", one.key, one.number)]
    if not name:  # a key that only asks for prices has an account, too
        found = [one for one in found if one.orders] or found
    if len(found) != 1:
        raise UsageError(f'{len(found)} accounts are "{name}"', mend="name one by its key: account=KEY")
    return found[0]


def _orders(exchange: Exchange, given: Fields) -> list[tuple[PaperAccount, Order]]:
    """Return open orders of a symbol, by role and account where those are named, the account with each."""
    symbol, role = _symbol(exchange, given), str(given.get("role", ""))
    accounts = [_account(exchange, given)] if given.get("account") else list(exchange.accounts.values())
    return [
        (account, order) for account in accounts for order in account.open_orders(symbol) if role in ("", order.role)
    ]
