"""Members and council: the accounts side by side, what the council adds, and who was asked what."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import fsum

import numpy as np

from simulator.analysis.paired import Paired, against_best, rank_accounts
from simulator.analysis.unanswered import failed_answers
from simulator.analysis.verdict import describe_memory, withheld
from simulator.evidence.members import name_account, name_seat, served_names, who_answers
from simulator.evidence.reader import Evidence, Series
from simulator.evidence.records import AccountRecord, CallRow, RunRecord
from simulator.number_format import (
    UNDEFINED,
    cents,
    interval,
    number_of,
    p_value,
    ratio,
    rough_percent,
    signed_percent,
    signed_ratio,
    whole,
)
from simulator.report import drawing
from simulator.report.ablation import CouncilValue, compose_council_value
from simulator.report.catalogue import METRICS, NO_REASON
from simulator.report.charts import Chart, Curve, Forest, Key, draw_growth, draw_intervals
from simulator.report.table import Cell, Column, Row, Table, make_row, make_table

STAGES = ("research", "pitch", "review", "chairman", "execution", "checkpoint")
"""Stages of a council in the order they speak; others follow."""

COLUMNS = (
    Column("Sharpe", "with its 95\u00a0% interval"),
    Column("95\u00a0% interval"),
    Column("Return", "total"),
    Column("Drawdown", "largest"),
    Column("Hit rate", "round trips"),
    Column("Turnover", "a year"),
    Column("LLM cost", "of its answers"),
    Column("Calibration", "conviction to return"),
    Column("Reviews", "score to outcome"),
)
BRIEF = (0, 1, 2, 3, 4, 6)
"""Columns that a terminal has room for."""


@dataclass(frozen=True)
class Leaderboard:
    """Seats by Sharpe ratio, their `ranks` and intervals on one scale, and a sentence on the council."""

    table: Table
    ranks: tuple[str, ...]
    scale: Forest | None
    sentence: str


@dataclass(frozen=True)
class Members:
    """The section; None where there is nothing to show: a strategy of rules has no leaderboard."""

    leaderboard: Leaderboard | None
    accounts: Chart | None
    value: CouncilValue | None
    calls: Table | None
    failed: Table | None


def compose(evidence: Evidence) -> Members:
    """Return the section."""
    return Members(
        draw_leaderboard(evidence),
        draw_accounts(evidence),
        compose_council_value(evidence),
        tabulate_calls(evidence),
        tabulate_failures(evidence.run),
    )


def draw_leaderboard(evidence: Evidence) -> Leaderboard | None:
    """Return the leaderboard of a run, None for one without accounts beside its own."""
    run, accounts = evidence.run, rank_accounts(evidence.run)
    if not accounts:
        return None
    short = withheld(run)
    scale = None if short else _draw_bars(run, accounts)
    ranks = [
        UNDEFINED if short or number_of(account["metrics"].get("sharpe")) is None else str(rank)
        for rank, account in enumerate(accounts, 1)
    ]
    sentence = compare_with_best(run, against_best(run, evidence.equity))
    return Leaderboard(tabulate_accounts(run), tuple(ranks), scale, sentence)


def tabulate_accounts(run: RunRecord, brief: bool = False) -> Table:
    """Return the accounts by Sharpe ratio, the council's own marked; `brief` as a terminal has room."""
    rows = []
    for account in rank_accounts(run):
        css = "own" if account["name"] == run["account"] else ""
        hint = "" if account["name"] == account["seat"] else account["name"]
        rows.append(Row(name_seat(run, account["seat"]), _cells(account, withheld(run)), hint, css))
    table = make_table("Leaderboard", COLUMNS, rows, corner="Account", css="leaderboard")
    if not brief:
        return table
    shown = [n for n in BRIEF if n > 1 or not withheld(run)]
    names = [f"{row.label} ({row.hint})" if row.hint else row.label for row in rows]
    rows = [make_row(name, [row.cells[n] for n in shown], css=row.css) for name, row in zip(names, rows, strict=True)]
    return make_table("Leaderboard", [COLUMNS[n] for n in shown], rows, corner="Account")


def _cells(account: AccountRecord, short: bool) -> tuple[Cell, ...]:
    values = {
        **account["metrics"],
        "sharpe_ci_low": account["sharpe_ci_low"],
        "sharpe_ci_high": account["sharpe_ci_high"],
    }

    def cell(key: str) -> Cell:
        return METRICS[key].cell(values, {key: NO_REASON, **account["reasons"]}, short)

    bounds = "" if short else interval(account["sharpe_ci_low"], account["sharpe_ci_high"]).replace(UNDEFINED, "")
    hits = account["metrics"].get("hit_rate")
    return (
        cell("sharpe"),
        Cell(bounds),
        cell("total_return"),
        cell("max_drawdown"),
        cell("hit_rate") if hits is None else Cell(rough_percent(hits), value=hits),
        cell("turnover"),
        _cost(account),
        make_calibration_cell(account),
        _review_cell(account),
    )


def _cost(account: AccountRecord) -> Cell:
    bill = account["llm"]
    if bill is None:
        return Cell(UNDEFINED, "its questions were not counted apart")
    return Cell(cents(bill["cost_usd"]), note=f"{whole(bill['calls'])} asked", value=bill["cost_usd"])


def make_calibration_cell(account: AccountRecord) -> Cell:
    """Return the rank correlation of convictions with returns, its interval as the note."""
    found = account["calibration"]
    if found is None:
        return Cell(UNDEFINED, "nothing to correlate")
    return _correlation(found["ic"], found["ic_low"], found["ic_high"], found["reasons"].get("ic"))


def _review_cell(account: AccountRecord) -> Cell:
    found = account["reviews"]
    if found is None:
        return Cell(UNDEFINED, "nothing to correlate")
    return _correlation(found["correlation"], found["low"], found["high"], found["reasons"].get("correlation"))


def _correlation(value: float | None, low: float | None, high: float | None, why: str | None) -> Cell:
    if number_of(value) is None:
        return Cell(UNDEFINED, why or "nothing to correlate")
    return Cell(signed_ratio(value), note=interval(low, high).replace(UNDEFINED, ""), value=value)


def _draw_bars(run: RunRecord, accounts: list[AccountRecord]) -> Forest | None:
    """Return the Sharpe intervals on one scale; a bar without ends where there is none."""
    rows = [
        (name_seat(run, one["seat"]), "", one["metrics"].get("sharpe"), one["sharpe_ci_low"], one["sharpe_ci_high"])
        for one in accounts
    ]
    whole_rows = [row for row in rows if None not in row[2:]]
    return draw_intervals(whole_rows, "", room=0.04, most=5)


def compare_with_best(run: RunRecord, found: Paired | None) -> str:
    """Return whether the council can be told from its best member, after a word on figures and order where models may
    remember; empty where there is neither."""
    return " ".join(filter(None, (describe_memory(run), _compare_with_best(run, found))))


def _compare_with_best(run: RunRecord, found: Paired | None) -> str:
    if not run["account"] or found is None:
        return ""
    council, best = (name_account(run, account) for account in (run["account"], found.label))
    p, difference = found.p, found.difference
    if p is None or difference is None:
        return f"Whether {council} differs from its best member, {best}, cannot be judged: {found.why}."
    higher = f"{ratio(abs(difference))} {'higher' if difference > 0 else 'lower'}"
    bounds = f"95\u00a0% interval {interval(found.low, found.high)}, p {p_value(p)} (paired, Ledoit-Wolf)"
    if p >= 0.07:
        verdict = f"{council} cannot be told from its best member, {best}"
    elif p >= 0.03:
        verdict = f"{council} beside its best member, {best}, is borderline"
    else:
        verdict = f"{council} is {'better' if difference > 0 else 'worse'} than its best member, {best}"
    hindsight = "Which member is best is known only afterwards, and that favours it."
    return f"{verdict}: its Sharpe ratio is {higher}, {bounds}. {hindsight}"


def draw_accounts(evidence: Evidence) -> Chart | None:
    """Return all accounts in one panel, the council in front; None where fewer than two have a curve."""
    run, cash, own = evidence.run, float(evidence.run["cash"]), evidence.run["account"]
    found = {name: path for name, path in evidence.accounts.items() if np.isfinite(path).any()}
    if len(found) < 2:
        return None
    members = [name for name in found if name != own]
    curves = [_curve(name_account(run, own), "strategy", found[own], cash)] if own in found and own else []
    curves += [
        _curve(name_account(run, name), f"account a{n % 6 + 1}", found[name], cash)
        for n, name in reversed([*enumerate(members)])
    ]
    panel, _ = draw_growth(curves, len(evidence.sessions), 300, drawing.dollar_ticks, most=800)
    best_first = sorted(curves, key=lambda curve: -curve.last)
    keys = tuple(Key(curve.css, curve.name, signed_percent(curve.growth)) for curve in best_first)
    return Chart(panel, keys, f"Equity of all accounts, by final value: {'; '.join(key.label for key in keys)}")


def _curve(name: str, css: str, values: Series, cash: float) -> Curve:
    return Curve(css, name, np.r_[cash, values])


def tabulate_calls(evidence: Evidence) -> Table | None:
    """Return the questions to each model, models in the order in which they speak; None where nobody was asked."""
    models: dict[str, list[CallRow]] = {}
    for call in evidence.calls:
        models.setdefault("/".join(filter(None, (call["provider"], call["model"]))), []).append(call)
    stages = {model: Counter(call["stage"] for call in calls) for model, calls in models.items()}
    rows = [
        make_row(
            model,
            (
                ", ".join(
                    f"{stage} {whole(n)}" for stage, n in sorted(stages[model].items(), key=lambda s: _turn(s[0]))
                ),
                whole(len(calls)),
                whole(sum(call["outcome"] != "answer" for call in calls)),
                Cell(
                    whole(sum(call["prompt_tokens"] + call["completion_tokens"] for call in calls)),
                    note=f"{whole(again)} read again"
                    if (again := sum(c.get("cached_tokens", 0) for c in calls))
                    else "",
                ),
                cents(fsum(call["cost_usd"] for call in calls)),
            ),
            served_names(calls[0]["provider"], (call.get("served", "") for call in calls)),
        )
        for model, calls in sorted(models.items(), key=lambda group: (min(map(_turn, stages[group[0]])), group[0]))
    ]
    columns = (Column("Asked for", words=True), "Asked", "Unanswered", "Tokens", "Cost")
    return make_table("Questions to the members", columns, rows, "Model", css="calls", caption=True) if rows else None


def _turn(stage: str) -> int:
    return STAGES.index(stage) if stage in STAGES else len(STAGES)


def tabulate_failures(run: RunRecord) -> Table | None:
    """Return the answers that could not be used, the first ones; None where all could."""
    rows = []
    for session, stage, whose, why in failed_answers(run):
        who = who_answers(run, whose.partition(" ")[0].rstrip(","))
        rows.append(make_row(session, (stage, Cell(whose, note=who), why)))
    columns = [Column(name, words=True) for name in ("Stage", "Seat", "Why")]
    return make_table("Answers that failed", columns, rows, "Date", css="failed", caption=True) if rows else None
