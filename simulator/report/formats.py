"""The report in other forms than a page: Markdown for a repository, numbers for a program."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np

from simulator.analysis.paired import Paired, against_benchmarks, against_best, rank_accounts
from simulator.analysis.periods import drawdown, exposures, period_returns
from simulator.analysis.profit import Part, by_holding_time, by_reason, by_symbol
from simulator.analysis.targets import targets
from simulator.errors import UsageError
from simulator.evidence.reader import Evidence, Series, read
from simulator.report import page
from simulator.report.sections.distribution import Histogram
from simulator.report.sections.profit import account_profit, name_class
from simulator.stats.drawdowns import Drawdown
from simulator.store.folders import add_files

FORMATS = ("html", "md", "json")


def write(
    folder: Path, kind: str, altered: str = "", add: Callable[[Path, Mapping[str, bytes]], None] = add_files
) -> Path:
    """Write the report of a run folder as ``report.<kind>``, by `add`, and return the path; `altered` is as in `read`.

    Raises UsageError for a format there is not, DataError for a damaged folder, SimError when it cannot be written.
    """
    if kind not in FORMATS:
        raise UsageError(f'no format "{kind}"', mend=f"it is one of {', '.join(FORMATS)}")
    if kind == "html":
        content = page.render(folder, altered)
    elif kind == "md":
        from simulator.report.markdown import as_markdown

        content = as_markdown(folder, altered).encode()
    else:
        content = as_json(folder, altered).encode()
    add(folder, {f"report.{kind}": content})
    return folder / f"report.{kind}"


def as_json(folder: Path, altered: str = "") -> str:
    """Return the report as numbers: one JSON object, null for what is undefined.

    Keys: run, altered, verdict, comparison {account: metrics}, reasons, chart {sessions, accounts, drawdown, gross,
    net, weights, trades}, monthly, profit {symbols, reasons, time_held, accounts}, rolling {window: {figure: values}},
    drawdowns, distribution {sessions, months}, targets, significance, skill, factors, against_benchmarks, replicates,
    leaderboard, against_best, memory (a word where models may remember what leaderboard and costs show), ablation,
    costs, execution_toggles, orders, shortfalls, contamination, checks, data, audit, assumptions, biases, notes,
    protocol, and ``tables``: those of the page, with their texts.
    """
    evidence = read(folder, altered)
    return json.dumps(_numbers(evidence), indent=1, allow_nan=False) + "\n"


def _numbers(evidence: Evidence) -> dict[str, object]:
    run, report = evidence.run, page.compose(evidence)
    keys = (
        "run_id",
        "digest",
        "strategy",
        "analysts",
        "symbols",
        "from",
        "to",
        "sessions",
        "cash",
        "partial",
        "command",
    )
    best = against_best(run, evidence.equity)
    return {
        "run": {key: value for key, value in run.items() if key in keys},
        "altered": report.altered,
        "verdict": asdict(report.verdict),
        "comparison": {run["strategy"]: run["metrics"], **run["benchmarks"]},
        "reasons": run["reasons"],
        "chart": _chart(evidence),
        "monthly": _monthly(evidence),
        "profit": _profit(evidence),
        "rolling": {
            str(one.window): {name: _list(vars(one)[name]) for name in ("sharpe", "volatility", "beta")}
            for one in (report.rolling.rolls if report.rolling else ())
        },
        "drawdowns": [
            _drawdown(one, evidence.sessions) for one in (report.drawdowns.falls if report.drawdowns else ())
        ],
        "distribution": {
            f"{one.name}s": _distribution(one)
            for one in (report.distribution.histograms if report.distribution else ())
        },
        "targets": [{**asdict(one), "verdict": one.verdict} for one in targets(evidence)],
        "significance": run["inference"],
        "skill": run.get("skill") or {},
        "factors": evidence.factors["regression"] if evidence.factors else {},
        "against_benchmarks": [asdict(one) for one in against_benchmarks(run, evidence.equity)],
        "replicates": run["replicates"],
        "leaderboard": rank_accounts(run),
        "against_best": _best(best) if best else {},
        "memory": report.costs.memory,
        "ablation": evidence.ablation or {},
        "costs": run["cost_sensitivity"],
        "execution_toggles": run["execution_toggles"],
        "orders": asdict(report.costs.orders),
        "shortfalls": run["shortfalls"],
        "contamination": run["contamination"] or {},
        "checks": evidence.checks or {},
        "data": {"sources": run["sources"], "context": run["context"]},
        "audit": run["audit"] or {},
        "assumptions": report.assumptions.assumptions,
        "biases": [asdict(one) for one in report.biases],
        "notes": run["notes"],
        "protocol": [asdict(one) for one in report.protocol],
        "tables": _tables(report),
    }


def _best(found: Paired) -> dict[str, object]:
    if found.p is None:
        return {"name": found.label, "why": found.why}
    return {"name": found.label, **{key: getattr(found, key) for key in ("difference", "low", "high", "p")}}


def _tables(report: page.Report) -> list[object]:
    from simulator.report.renderers.json import render_table

    members, value, contamination = report.members, report.members.value, report.contamination
    tables = (
        report.figures,
        report.comparison.replicates,
        *(part.table for part in (report.profit.parts if report.profit else ())),
        report.rolling and report.rolling.table,
        report.drawdowns and report.drawdowns.table,
        report.distribution and report.distribution.table,
        report.significance.figures,
        report.significance.origin,
        report.significance.paired,
        report.factors and report.factors.table,
        members.leaderboard and members.leaderboard.table,
        value and value.added,
        value and value.earned,
        members.calls,
        members.failed,
        *(report.desk.tables if report.desk else ()),
        report.costs.costs,
        report.costs.toggles,
        report.costs.refused,
        contamination and contamination.parts,
        contamination and contamination.models,
    )
    return [render_table(table) for table in tables if table and table.rows]


def _chart(evidence: Evidence) -> dict[str, object]:
    from simulator.report.sections.equity_and_trades import list_trades

    own = evidence.equity
    curves = {name: own[name] for name in ("equity", "buy_and_hold", "equal_weight") if name in own}
    fall = drawdown(np.r_[float(evidence.run["cash"]), own["equity"]])[1:]
    gross, net = exposures(own)
    return {
        "sessions": [day.isoformat() for day in evidence.sessions],
        "accounts": {name: _list(values) for name, values in {**curves, **evidence.accounts}.items()},
        "drawdown": _list(fall),
        "gross": _list(gross),
        "net": _list(net),
        "weights": {symbol: _list(values) for symbol, values in evidence.weights.items()},
        "trades": [
            {**trade._asdict(), "session": evidence.sessions[trade.session].isoformat()}
            for trade in list_trades(evidence)
        ],
    }


def _monthly(evidence: Evidence) -> dict[str, Mapping[str, float | None]]:
    found: dict[str, Mapping[str, float | None]] = {}
    for name in ("equity", "buy_and_hold"):
        if name in evidence.equity:
            cash = float(evidence.run["cash"])
            months = period_returns(evidence.sessions, evidence.equity[name], cash, lambda day: (day.year, day.month))
            found[name] = {f"{year}-{month:02}": value for (year, month), value in months.items()}
    return found


def _profit(evidence: Evidence) -> dict[str, list[dict[str, object]]]:
    trips = evidence.own_trips or ()
    parts = {"symbols": by_symbol(trips), "reasons": by_reason(trips), "time_held": by_holding_time(trips)}
    accounts = [{**_part(part), "net": net} for part, net in account_profit(evidence)]
    return {**{name: list(map(_part, kind)) for name, kind in parts.items()}, "accounts": accounts}


def _part(one: Part) -> dict[str, object]:
    key = one.key if isinstance(one.key, str) else name_class(one.key)
    return {**asdict(one), "key": key, "hit_rate": one.hit_rate}


def _drawdown(one: Drawdown, sessions: Sequence[date]) -> dict[str, object]:
    """Return a drawdown with dates for its points; None for the start and for what has not come."""
    points = {name: vars(one)[name] for name in ("peak", "trough", "recovery")}
    days = {name: sessions[at - 1].isoformat() if at else None for name, at in points.items()}
    return {"depth": one.depth, **days, "sessions": one.sessions}


def _distribution(one: Histogram) -> dict[str, object]:
    found = one.found
    ends = {"best": found.best, "worst": found.worst}
    return {
        "edges": found.edges,
        "counts": found.counts,
        **{name: {one.labels[at]: value for at, value in places} for name, places in ends.items()},
    }


def _list(values: Series) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]
