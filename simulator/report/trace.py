"""From an account's numbers back to what they rest on: metric → trades → decisions → answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import fsum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from simulator.analysis.verdict import FEWEST_SESSIONS, withheld
from simulator.council.records import meeting_record
from simulator.evidence.reader import Books, read_books, read_calls, read_run
from simulator.evidence.rows import as_row, decided_by
from simulator.number_format import UNDEFINED, counted, dollars, interval, number_of, percent, ratio, whole
from simulator.report.explain import account_named
from simulator.report.retold import SHOWN_OF_KEY, keys_of
from simulator.report.tables import GROUPS, WITHHELD


def account_trace(folder: Path, account: str | None = None) -> dict[str, Any]:
    """An account's numbers and everything behind them.

    Keys: run, account, own (whether it is the run's own), sessions, seat, model, metrics, reasons, sharpe_ci_low,
    sharpe_ci_high, calibration, reviews, llm;
    ``trades``: its fills, each with the decision behind it (decided_at, decided_on); ``decisions``: as_of, session,
    kind, opinions [{instrument, conviction, score}], orders, keys of the answers; ``calls``: the account's questions
    as in llm_calls.jsonl. Raises UsageError for an account the run does not have, DataError for a damaged folder.
    """
    run = read_run(folder)
    name = account_named(run, account)
    books = read_books(folder, run, name)
    entry: Mapping[str, Any] = next((e for e in run.get("accounts") or [] if e.get("name") == name), {})
    inference = run.get("inference") or {}
    council = read_books(folder, run).decisions if name != run.get("account") else books.decisions
    meetings = {d["as_of"]: meeting_record(d["record"]) for d in council}
    scores = {at: meeting["scores"] for at, meeting in meetings.items() if meeting is not None}
    seat = entry.get("seat")
    calls = [c for c in read_calls(folder, run) if seat is None or c["seat"] == seat]
    return {
        "run": folder.name,
        "account": name,
        "own": name == run.get("account"),
        "strategy": run["strategy"],
        "sessions": run["sessions"],
        "analysts": run.get("analysts"),
        "seat": seat,
        "model": entry.get("model"),
        "metrics": entry.get("metrics") or run["metrics"],
        "reasons": entry.get("reasons") or run.get("reasons") or {},
        **{key: entry.get(key, inference.get(key)) for key in ("sharpe_ci_low", "sharpe_ci_high")},
        **{key: entry.get(key) for key in ("calibration", "reviews", "llm")},
        "trades": _trades(books),
        "decisions": _decisions(books, scores),
        "calls": calls,
    }


def _trades(books: Books) -> list[dict[str, Any]]:
    behind = decided_by(books.decisions, books.orders)
    rows = []
    for fill in books.fills:
        at = behind.get(fill.order_id)
        decision = books.decisions[at] if at is not None else None
        made = {"decided_at": decision and decision["as_of"], "decided_on": decision and decision["session"]}
        rows.append({**as_row(fill), **made})
    return rows


def _decisions(books: Books, scores: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    behind = decided_by(books.decisions, books.orders)
    ordered = list(behind.values())
    return [
        {
            "as_of": decision["as_of"],
            "session": decision["session"],
            "kind": decision["record"].get("kind", "rule"),
            "opinions": _opinions(decision, scores.get(decision["as_of"]) or {}),
            "orders": ordered.count(at),
            "keys": keys_of(decision["record"]),
        }
        for at, decision in enumerate(books.decisions)
    ]


def _opinions(decision: Mapping[str, Any], scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was wanted and how strongly: a pitch, theses read again, or the targets of who has neither."""
    record = decision["record"]
    pitch = (record.get("pitch") or {}).get("answer")
    if pitch:
        score = scores.get(record["pitch"]["seat"])
        return [{"instrument": pitch["instrument"], "conviction": pitch["conviction"], "score": score}]
    theses = [t for t in (*record.get("theses", ()), record.get("thesis")) if t]
    if theses:
        return [{k: t.get(k) for k in ("instrument", "conviction", "action")} for t in theses]
    return [
        {"instrument": t["symbol"], "conviction": t.get("conviction"), "weight": t["weight"]}
        for t in decision["targets"]
    ]


def print_trace(found: Mapping[str, Any], console: Console) -> None:
    """The trace for a terminal: numbers, trades, then every decision that said or did something."""
    name = found["account"] or found["strategy"]
    who = ", ".join(str(found[key]) for key in ("seat", "model") if found[key])
    console.print(Text(f"{name}{f' ({who})' if who else ''}, {found['run']}", "bold"))
    if found["analysts"]:
        console.print(Text(found["analysts"], "italic"))
    console.print()
    console.print(_numbers(found))
    console.print(Text(f"\n{counted(len(found['trades']), 'trade')}, and the decision behind each", "bold"))
    console.print(_trade_table(found["trades"]))
    acting = [d for d in found["decisions"] if d["orders"] or d["kind"] in ("council", "member")]
    silent = len(found["decisions"]) - len(acting)
    console.print(Text(f"\n{counted(len(found['decisions']), 'decision')}, with what was wanted", "bold"))
    console.print(_decision_table(acting))
    if silent:
        console.print(Text(f"{counted(silent, 'checkpoint')} changed nothing; --json lists them too", "dim"))
    for line in _further(found, name):
        console.print(Text(line, "dim"), soft_wrap=True)


def _further(found: Mapping[str, Any], name: str) -> Iterator[str]:
    last = next((d for d in reversed(found["decisions"]) if d["orders"]), None) or (found["decisions"] or [None])[-1]
    if last is None:
        return
    of = f" --account {name}" if not found["own"] else ""
    yield f"\nwhat was seen, said and voted: `sim explain {found['run']} {last['session']}{of}`"
    if last["keys"]:
        yield f"an answer in full: `sim cache show {last['keys'][-1][:SHOWN_OF_KEY]}`"


def _numbers(found: Mapping[str, Any]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    values, reasons = found["metrics"], found["reasons"]
    for _, metrics in GROUPS:
        for metric in metrics:
            if metric.annualised and withheld(found):
                table.add_row(metric.label, WITHHELD, f"below {FEWEST_SESSIONS} sessions")
            elif metric.key in values:
                text = metric.write(values[metric.key])
                table.add_row(
                    metric.label, text, str(reasons.get(metric.key, "")) if text == UNDEFINED else metric.hint
                )
            elif metric.key == "sharpe_interval":
                table.add_row(metric.label, interval(found["sharpe_ci_low"], found["sharpe_ci_high"]), metric.hint)
    for label, text, hint in _judged(found):
        table.add_row(label, text, hint)
    return table


def _judged(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    llm, calibrated, reviewed = (found[key] or {} for key in ("llm", "calibration", "reviews"))
    if llm:
        yield "LLM cost", dollars(llm.get("cost_usd"), 2), f"{whole(llm.get('calls'))} questions"
    if calibrated:
        bounds = interval(calibrated.get("ic_low"), calibrated.get("ic_high"))
        told = f"{bounds}; {whole(calibrated.get('n'))} convictions against returns"
        yield "Calibration", ratio(calibrated.get("ic"), sign=True), told
    if reviewed:
        bounds = interval(reviewed.get("low"), reviewed.get("high"))
        told = f"{bounds}; {whole(reviewed.get('n'))} pitches, mean score against outcome"
        yield "Reviews", ratio(reviewed.get("correlation"), sign=True), told


def _trade_table(trades: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    for name in ("filled", "", "symbol"):
        table.add_column(name, no_wrap=True)
    for name in ("shares", "price", "costs"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("why", "decided"):
        table.add_column(name, no_wrap=True)
    for row in trades:
        quantity, cost = float(row["quantity"]), fsum(float(row[k] or 0) for k in ("slippage", "commission"))
        table.add_row(
            row["session"],
            "bought" if quantity > 0 else "sold",
            row["symbol"],
            ratio(abs(quantity), 2),
            dollars(float(row["price"]), 2),
            dollars(cost, 2),
            row["why"],
            str(row["decided_on"] or ""),
        )
    return table


def _decision_table(decisions: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("date", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    table.add_column("wanted", overflow="fold")
    table.add_column("orders", justify="right", no_wrap=True)
    table.add_column("answers", justify="right", no_wrap=True)
    table.add_column("key of the last", no_wrap=True)
    for row in decisions:
        key = row["keys"][-1][:SHOWN_OF_KEY] if row["keys"] else ""
        wanted = ", ".join(map(_wanted, row["opinions"])) or "nothing"
        kind = str(row["kind"]).replace("_", " ")
        table.add_row(row["session"], kind, wanted, str(row["orders"]), str(len(row["keys"])), key)
    return table


def _wanted(opinion: Mapping[str, Any]) -> str:
    conviction, score, weight = (number_of(opinion.get(key)) for key in ("conviction", "score", "weight"))
    strength = "" if conviction is None else f" {ratio(conviction, 0, sign=True)}"
    if conviction is None and weight is not None:
        strength = f" {percent(weight, 0, sign=True)}" if weight else " flat"
    action = f" {opinion['action']}" if opinion.get("action") else ""
    return f"{opinion['instrument']}{strength}{action}" + ("" if score is None else f" (score {ratio(score, 1)})")
