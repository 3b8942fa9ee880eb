"""One decision told again from the run folder: what each member saw, said and voted, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from simulator.errors import UsageError, did_you_mean
from simulator.evidence.reader import Books, read_books, read_run
from simulator.evidence.rows import as_row, decided_by
from simulator.market.bars import instant
from simulator.number_format import dollars, percent, ratio
from simulator.report.retold import PRICES, key_hint, sections
from simulator.trading.model import Fill, Rejection

MEETINGS = ("council", "checkpoint")


def explanation(folder: Path, day: date, symbol: str | None = None, account: str | None = None) -> dict[str, Any]:
    """The decision of `account` in force on `day`: the first of that session, else the last one made before it.

    Keys: run, account, as_of, targets, allowed, cuts, record (as in decisions.jsonl), meeting (the council's record of
    the same hour, where the account is a member's), orders submitted by it, fills and rejected that followed from them
    or happened before the next decision; ``later``: the same of further decisions on that session. With `symbol` only
    what concerns it. Raises UsageError for a day before the first decision or after the end, for a symbol that was not
    traded, and for an account the run does not have.
    """
    run = read_run(folder)
    if symbol is not None and symbol not in run["symbols"]:
        known = run["symbols"]
        raise UsageError(
            f'"{symbol}" was not traded in this run{did_you_mean(symbol, known)}', mend=f"it traded {', '.join(known)}"
        )
    name = account_named(run, account)
    books = read_books(folder, run, name)
    council = books if name == run.get("account") else read_books(folder, run)
    held = {d["as_of"]: d["record"] for d in council.decisions} if council is not books else {}
    found = [
        {
            "run": folder.name,
            "account": name,
            "analysts": run.get("analysts"),
            "symbol": symbol,
            **_of(books, at, symbol),
            "meeting": held.get(books.decisions[at]["as_of"]),
        }
        for at in _in_force(books, day, run["to"])
    ]
    return {**found[0], "later": found[1:]}


def account_named(run: Mapping[str, Any], wanted: str | None) -> str | None:
    """The account called `wanted`, by name or by seat, in any case; the run's own for None. Raises UsageError."""
    if wanted is None:
        return run.get("account")
    known = {str(entry.get("name")): str(entry.get("seat")) for entry in run.get("accounts") or []}
    for name, seat in known.items():
        if wanted.lower() in (name.lower(), seat.lower()):
            return name
    if not known:
        raise UsageError("this run has one account only", mend="leave --account out")
    near = did_you_mean(wanted.upper(), known)
    raise UsageError(f'no account "{wanted}" in this run{near}', mend=f"it has {', '.join(known)}")


def _in_force(books: Books, day: date, last: str) -> list[int]:
    made = [n for n, d in enumerate(books.decisions) if d["session"] <= str(day)]
    if not made or str(day) > last:
        first = books.decisions[0]["session"] if books.decisions else "never"
        raise UsageError(f"no decision of this run was in force on {day}", mend=f"decisions run from {first} to {last}")
    today = [n for n in made if books.decisions[n]["session"] == str(day)]
    return today or made[-1:]


def _of(books: Books, at: int, symbol: str | None) -> dict[str, Any]:
    decision = books.decisions[at]
    until = books.decisions[at + 1]["as_of"] if at + 1 < len(books.decisions) else "9999-12-31T00:00:00+00:00"
    since, end = (instant(datetime.fromisoformat(text)) for text in (decision["as_of"], until))
    submitted_by = decided_by(books.decisions, books.orders)

    def followed(row: Fill | Rejection) -> bool:
        return submitted_by.get(row.order_id) == at or since <= row.at < end

    return {
        "as_of": decision["as_of"],
        "targets": _about(decision["targets"], symbol),
        "allowed": {s: w for s, w in decision["allowed"].items() if symbol in (None, s)},
        "cuts": decision["cuts"],
        "record": decision["record"],
        "orders": _about([as_row(o) for o in books.orders if submitted_by.get(o.id) == at], symbol),
        "fills": _about([as_row(row) for row in books.fills if followed(row)], symbol),
        "rejected": _about([as_row(row) for row in books.rejected if followed(row)], symbol),
    }


def _about(rows: Sequence[Mapping[str, Any]], symbol: str | None) -> list[Mapping[str, Any]]:
    return [r for r in rows if symbol in (None, r["symbol"])]


def print_explanation(found: Mapping[str, Any], console: Console) -> None:
    """The explanation for a terminal, in the order in which the decision came about."""
    for one in (found, *found.get("later", ())):
        _print_one(one, console)


def _print_one(found: Mapping[str, Any], console: Console) -> None:
    of = f" of {found['account']}" if found.get("account") else ""
    console.print(
        Text(f"Decision{of} of {found['as_of'][:16].replace('T', ' ')} New York time, {found['run']}", "bold")
    )
    if found["analysts"]:
        console.print(Text(found["analysts"], "italic"))
    for section in sections(found["record"], found.get("meeting"), found["symbol"]):
        console.print(section)
    _heading(console, "Decided")
    for line in _decided(found):
        console.print(f"  {line}", markup=False)
    _heading(console, "What came of it")
    for line in _outcome(found):
        console.print(f"  {line}", markup=False)
    hint = key_hint(found["record"])
    if hint:
        console.print(Text(f"\n{hint}", "dim"))


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, "bold"))


def _decided(found: Mapping[str, Any]) -> Iterator[str]:
    for target in found["targets"]:
        allowed = found["allowed"].get(target["symbol"], target["weight"])
        cut = "" if allowed == target["weight"] else f", allowed {percent(allowed, sign=True)}"
        reason = f": {target['reason']}" if target.get("reason") else ""
        yield f"{target['symbol']} {percent(target['weight'], sign=True)}{cut}{_prices(target)}{reason}"
    for cut in found["cuts"]:
        yield f"cut: {cut}"
    if not found["targets"]:
        yield "nothing new: positions stay as they are"


def _prices(target: Mapping[str, Any]) -> str:
    named = [f"{label} {dollars(target[key], 2)}" for key, label in PRICES.items() if target.get(key) is not None]
    return f" ({', '.join(named)})" if named else ""


def _outcome(found: Mapping[str, Any]) -> Iterator[str]:
    own = {order["id"] for order in found["orders"]}
    for fill in found["fills"]:
        earlier = "" if fill["order_id"] in own else ", ordered earlier"
        yield fill_line(fill) + earlier
    for row in found["rejected"]:
        got, wanted = (ratio(float(row[name]), 4) for name in ("got", "wanted"))
        yield f"{row['session']} {row['symbol']}: {got} of {wanted} shares, {row['why']}"
    for order in found["orders"]:
        if order["status"] in ("cancelled", "open"):
            yield f"{order['symbol']} {order['kind']} order {order['id']}: {order['status']}"
    if not found["fills"] and not found["rejected"] and not found["orders"]:
        yield "no order was needed"


def fill_line(fill: Mapping[str, str]) -> str:
    """A fill in one line: when, how much, at what price, why it was filled there, what it cost."""
    quantity = float(fill["quantity"])
    cost = float(fill["slippage"]) + float(fill["commission"])
    return (
        f"{fill['session']} {'bought' if quantity > 0 else 'sold'} {ratio(abs(quantity), 4)} {fill['symbol']} "
        f"at {dollars(float(fill['price']), 2)} ({fill['why']}), costs {dollars(cost, 2)}"
    )
