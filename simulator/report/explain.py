"""One decision told again from the run folder: what each member saw, said and voted, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from simulator.errors import UsageError, did_you_mean
from simulator.report.evidence import Evidence, read
from simulator.report.numbers import dollars, percent, ratio


def explanation(folder: Path, day: date, symbol: str | None = None) -> dict[str, Any]:
    """The decision in force on `day`: the last one made on or before it.

    Keys: run, as_of, targets, allowed, cuts, record (as in decisions.jsonl), orders, fills and rejected that followed
    from it before the next one; with `symbol` only what concerns that symbol. Raises UsageError for a day before the
    first decision, after the end, or a symbol that was not traded.
    """
    evidence = read(folder)
    if symbol is not None and symbol not in evidence.run["symbols"]:
        known = evidence.run["symbols"]
        raise UsageError(
            f'"{symbol}" was not traded in this run{did_you_mean(symbol, known)}', mend=f"it traded {', '.join(known)}"
        )
    decision, until = _in_force(evidence, day)
    orders = [o for o in evidence.orders if o["submitted_at"][:10] == decision["session"]]
    within = {
        name: [r for r in rows if decision["session"] <= r["session"] < until]
        for name, rows in (("fills", evidence.fills), ("rejected", evidence.rejected))
    }
    return {
        "run": folder.name,
        "analysts": evidence.run.get("analysts"),
        "symbol": symbol,
        "as_of": decision["as_of"],
        "targets": _about(decision["targets"], symbol),
        "allowed": {s: w for s, w in decision["allowed"].items() if symbol in (None, s)},
        "cuts": decision["cuts"],
        "record": decision["record"],
        "orders": _about(orders, symbol),
        **{name: _about(rows, symbol) for name, rows in within.items()},
    }


def _in_force(evidence: Evidence, day: date) -> tuple[Mapping[str, Any], str]:
    made = [d for d in evidence.decisions if d["session"] <= str(day)]
    if not made or str(day) > str(evidence.sessions[-1]):
        first = evidence.decisions[0]["session"] if evidence.decisions else "never"
        raise UsageError(
            f"no decision of this run was in force on {day}",
            mend=f"decisions run from {first} to {evidence.sessions[-1]}",
        )
    after = evidence.decisions[len(made) :]
    return made[-1], after[0]["session"] if after else "9999-12-31"


def _about(rows: Sequence[Mapping[str, Any]], symbol: str | None) -> list[Mapping[str, Any]]:
    return [r for r in rows if symbol in (None, r["symbol"])]


def print_explanation(found: Mapping[str, Any], console: Console) -> None:
    """The explanation for a terminal, in the order in which the decision came about."""
    console.print(Text(f"Decision of {found['as_of'][:16].replace('T', ' ')} New York time, {found['run']}", "bold"))
    if found["analysts"]:
        console.print(Text(found["analysts"], "italic"))
    record = found["record"]
    if record.get("kind") == "council":
        for section in _council(record, found["symbol"]):
            console.print(section)
    _heading(console, "Decided")
    for target in found["targets"]:
        allowed = found["allowed"].get(target["symbol"], target["weight"])
        cut = "" if allowed == target["weight"] else f", allowed {percent(allowed, sign=True)}"
        reason = f": {target['reason']}" if target.get("reason") else ""
        console.print(
            f"  {target['symbol']} {percent(target['weight'], sign=True)}{cut}{_prices(target)}{reason}", markup=False
        )
    for cut in found["cuts"]:
        console.print(f"  cut: {cut}", markup=False)
    _heading(console, "What came of it, until the next decision")
    for line in _outcome(found):
        console.print(f"  {line}", markup=False)


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, "bold"))


def _council(record: Mapping[str, Any], symbol: str | None) -> Iterator[Any]:
    yield from _seen(record["facts"], symbol)
    if record.get("no_decision"):
        yield Text(f"\nNo decision: {record['no_decision']}", "bold")
    yield Text("\nResearch", "bold")
    for said in record["research"]:
        answer = said.get("answer")
        story = (
            f"{answer['macro_regime']}. {' '.join(answer['top_narratives'])}"
            if answer
            else f"no answer: {said['error']}"
        )
        yield _said(record, said["seat"], story)
    yield Text("\nPitches, with the mean score their reviewers gave", "bold")
    for said in record["pitches"]:
        answer = said.get("answer")
        if answer is None:
            yield _said(record, said["seat"], f"no answer: {said['error']}")
        elif symbol in (None, answer["instrument"]):
            yield _said(record, said["seat"], _pitch(answer, record["scores"].get(said["seat"])))
    yield from _reviews(record, symbol)
    chairman = record.get("chairman")
    if chairman:
        yield Text("\nChairman", "bold")
        yield _said(record, chairman["seat"], _ruling(chairman, symbol))
    votes = {s: v for s, v in record["net_votes"].items() if symbol in (None, s)}
    if votes:
        yield Text("\nNet votes: " + ", ".join(f"{s} {ratio(v, sign=True)}" for s, v in votes.items()))


def _seen(facts: Mapping[str, Any], symbol: str | None) -> Iterator[Any]:
    """The facts every member was shown, a column per symbol."""
    symbols = {s: f for s, f in facts.get("symbols", {}).items() if symbol in (None, s)}
    yield Text("\nFacts every member saw", "bold")
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("")
    for name in symbols:
        table.add_column(name, justify="right")
    flat = {name: dict(_flat(content)) for name, content in symbols.items()}
    for label in dict.fromkeys(key for content in flat.values() for key in content):
        table.add_row(label, *(str(content.get(label, "")) for content in flat.values()))
    yield Padding(table, (0, 0, 0, 2))
    for key, value in _flat({k: v for k, v in facts.items() if k != "symbols"}):
        yield Padding(Text(f"{key}: {value}"), (0, 0, 0, 2))


def _flat(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key} ")
        elif isinstance(value, list):
            yield f"{before}{key}", "; ".join(_words(v) for v in value) or "none"
        else:
            yield f"{before}{key}", value


def _words(value: Any) -> str:
    return " ".join(str(v) for v in value.values()) if isinstance(value, Mapping) else str(value)


def _said(record: Mapping[str, Any], seat: str, text: str) -> Padding:
    model = record.get("seats", {}).get(seat, "")
    return Padding(Text.assemble((seat, "bold"), (f" ({model})" if model else "", "dim"), f": {text}"), (0, 0, 0, 2))


def _pitch(answer: Mapping[str, Any], score: float | None) -> str:
    scored = "" if score is None else f", score {ratio(score, 1)}"
    thesis = " ".join(answer["thesis_bullets"])
    conviction = ratio(answer["conviction"], 0, sign=True)
    wants = f"{answer['direction']} {answer['instrument']}, conviction {conviction}{scored}."
    return f"{wants} {thesis} Invalid if: {answer['invalidation']}"


def _reviews(record: Mapping[str, Any], symbol: str | None) -> Iterator[Any]:
    """By pitch: each dimension's mean score, then what was held against it and who said so."""
    pitched = {s["seat"]: s["answer"]["instrument"] for s in record["pitches"] if s.get("answer")}
    shown = [seat for seat, instrument in pitched.items() if symbol in (None, instrument)]
    reviews = [r for r in record["reviews"] if r.get("answer") and r["about"] in shown]
    if not reviews:
        return
    yield Text("\nReviews, anonymous when they were written", "bold")
    for seat in shown:
        on = [(r["seat"], r["answer"]) for r in reviews if r["about"] == seat]
        names = on[0][1]["scores"] if on else ()
        means = [f"{n.replace('_', ' ')} {ratio(sum(a['scores'][n] for _, a in on) / len(on), 1)}" for n in names]
        yield _said(record, seat, f"{pitched[seat]}: {', '.join(means)}")
        for said in dict.fromkeys((a["kill_shot"], a["flip_condition"]) for _, a in on):
            who = ", ".join(reviewer for reviewer, a in on if (a["kill_shot"], a["flip_condition"]) == said)
            yield Padding(Text(f"{who}: {said[0]} Flips if: {said[1]}"), (0, 0, 0, 4))


def _ruling(chairman: Mapping[str, Any], symbol: str | None) -> str:
    answer = chairman.get("answer")
    if answer is None:
        return f"no answer: {chairman['error']}"
    approved = [
        f"approves {t['direction']} {t['instrument']} at {ratio(t['conviction'], 0, sign=True)}: {t['rationale']}"
        for t in answer["approved_trades"]
        if symbol in (None, t["instrument"])
    ]
    rejected = [
        f"rejects {t['direction']} {t['instrument']}: {t['reason']}"
        for t in answer["rejected_trades"]
        if symbol in (None, t["instrument"])
    ]
    return " ".join(
        [*approved, *rejected, f"Dissent: {answer['dissent_summary']}", f"Watch: {answer['monitoring_plan']}"]
    )


def _prices(target: Mapping[str, Any]) -> str:
    named = [f"{label} {dollars(target[key], 2)}" for key, label in PRICES.items() if target.get(key) is not None]
    return f" ({', '.join(named)})" if named else ""


PRICES = {"limit": "limit", "stop": "stop", "take_profit": "take profit"}


def _outcome(found: Mapping[str, Any]) -> Iterator[str]:
    for fill in found["fills"]:
        quantity = float(fill["quantity"])
        did = "bought" if quantity > 0 else "sold"
        cost = float(fill["slippage"]) + float(fill["commission"])
        yield (
            f"{fill['session']} {did} {ratio(abs(quantity), 4)} {fill['symbol']} at {dollars(float(fill['price']), 2)} "
            f"({fill['why']}), costs {dollars(cost, 2)}"
        )
    for row in found["rejected"]:
        got, wanted = (ratio(float(row[name]), 4) for name in ("got", "wanted"))
        yield f"{row['session']} {row['symbol']}: {got} of {wanted} shares, {row['why']}"
    for order in found["orders"]:
        if order["status"] in ("cancelled", "open"):
            yield f"{order['symbol']} {order['kind']} order {order['id']}: {order['status']}"
    if not found["fills"] and not found["rejected"] and not found["orders"]:
        yield "no order was needed"
