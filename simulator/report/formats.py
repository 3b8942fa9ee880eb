"""The report in other forms than a page: Markdown for a repository, numbers for a program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from simulator.analysis.targets import targets
from simulator.errors import UsageError
from simulator.evidence.reader import Evidence, Series, read
from simulator.report import page
from simulator.store.folders import write_file

FORMATS = ("html", "md", "json")


def write(folder: Path, kind: str) -> Path:
    """Write the report of a run folder as ``report.<kind>`` into it and return the path.

    Raises UsageError for a format there is not, DataError for a damaged folder, SimError when it cannot be written.
    """
    if kind not in FORMATS:
        raise UsageError(f'no format "{kind}"', mend=f"it is one of {', '.join(FORMATS)}")
    if kind == "html":
        return page.build(folder)
    if kind == "md":
        from simulator.report.markdown import as_markdown

        content = as_markdown(folder)
    else:
        content = as_json(folder)
    return write_file(folder / f"report.{kind}", content.encode())


def as_json(folder: Path) -> str:
    """The report as numbers: one JSON object, null for what is undefined.

    Keys: run, verdict, comparison {account: metrics}, reasons, chart {sessions, accounts, drawdown, gross, net,
    weights, trades}, monthly, targets, significance, against_benchmarks, replicates, leaderboard, against_best,
    ablation, costs, execution_toggles, orders, shortfalls, contamination, checks, data, audit, assumptions, biases,
    notes.
    """
    evidence = read(folder)
    return json.dumps(_numbers(evidence), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _numbers(evidence: Evidence) -> dict[str, Any]:
    from simulator.analysis.verdict import judge
    from simulator.report import tables
    from simulator.report.assumptions import assumptions
    from simulator.report.biases import checklist
    from simulator.report.leaderboard import against_best, ranked
    from simulator.report.paired import against_benchmarks

    run = evidence.run
    known = ("run_id", "digest", "strategy", "analysts", "symbols", "from", "to", "sessions", "cash", "partial")
    return {
        "run": {**{key: run.get(key) for key in known}, "command": run["command"]},
        "verdict": asdict(judge(run)),
        "comparison": {str(run["strategy"]): run["metrics"], **run["benchmarks"]},
        "reasons": run.get("reasons") or {},
        "chart": _chart(evidence),
        "monthly": _monthly(evidence),
        "targets": [{**asdict(one), "verdict": one.verdict} for one in targets(evidence)],
        "significance": run.get("inference") or {},
        "against_benchmarks": [asdict(one) for one in against_benchmarks(run, evidence.equity)],
        "replicates": run.get("replicates") or {},
        "leaderboard": ranked(run),
        "against_best": dict(against_best(run, evidence.equity)) if run.get("accounts") else {},
        "ablation": evidence.ablation,
        "costs": run.get("cost_sensitivity") or [],
        "execution_toggles": run.get("execution_toggles") or [],
        "orders": asdict(tables.orders(evidence)),
        "shortfalls": run.get("shortfalls") or {},
        "contamination": run.get("contamination") or {},
        "checks": evidence.checks,
        "data": {"sources": run.get("sources") or {}, "context": run.get("context") or {}},
        "audit": run.get("audit") or {},
        "assumptions": assumptions(run),
        "biases": [asdict(one) for one in checklist(run)],
        "notes": run.get("notes") or [],
    }


def _chart(evidence: Evidence) -> dict[str, Any]:
    from simulator.report.debates import trades
    from simulator.report.tables import drawdown

    own = evidence.equity
    curves = {name: own[name] for name in ("equity", "buy_and_hold", "equal_weight") if name in own}
    names = ("session", "symbol", "shares", "price", "why", "decision")
    filled = [dict(zip(names, fill, strict=True)) for fill in trades(evidence)]
    return {
        "sessions": [day.isoformat() for day in evidence.sessions],
        "accounts": {name: _list(values) for name, values in {**curves, **evidence.accounts}.items()},
        "drawdown": _list(drawdown(own["equity"], float(evidence.run["cash"]))),
        "gross": _list(own["gross"]),
        "net": _list(own["net"]),
        "weights": {symbol: _list(values) for symbol, values in evidence.weights.items()},
        "trades": [{**fill, "session": evidence.sessions[fill["session"]].isoformat()} for fill in filled],
    }


def _monthly(evidence: Evidence) -> dict[str, Mapping[str, float | None]]:
    from simulator.report.tables import period_returns

    sessions, cash = evidence.sessions, float(evidence.run["cash"])
    found: dict[str, Mapping[str, float | None]] = {}
    for name in ("equity", "buy_and_hold"):
        if name in evidence.equity:
            months = period_returns(sessions, evidence.equity[name], cash, lambda day: (day.year, day.month))
            found[name] = {f"{year}-{month:02}": value for (year, month), value in months.items()}
    return found


def _list(values: Series) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]
