"""Builds report.html: one file, no network, the same bytes for the same run folder.

The last line of the file is the run-time line, the only part that differs between reruns.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from simulator.evidence.reader import Evidence, read
from simulator.number_format import counted, dollars, ratio, whole
from simulator.report import layout
from simulator.store.folders import write_file

FILE = "report.html"
LARGEST = 1_990_000
"""Bytes of a page. The debates take what the rest of it leaves, and are told more briefly where that is little."""

PLACE_OF_DEBATES = "<!--debates-->"
"""Where the template leaves room for them: nothing out of a run folder reaches the page with ``<`` in it."""


def build(folder: Path) -> Path:
    """Write ``folder/report.html`` from the files of a run folder and return its path.

    Raises DataError when a file of the folder is missing or corrupt, SimError when the report cannot be written;
    an older report is replaced in one step or left as it was.
    """
    return write_file(folder / FILE, render(folder))


def render(folder: Path) -> bytes:
    """The report of a run folder as UTF-8 HTML. Nothing but the folder's content decides its bytes."""
    from simulator.report.debates import debates

    evidence = read(folder)
    from markupsafe import Markup

    script, digest = _script()
    own = {"script": Markup(script), "script_digest": digest}
    page = layout.template("page.html").render(**contents(evidence), **own)
    told = debates(evidence, LARGEST - len(page.encode()))
    return page.replace(PLACE_OF_DEBATES, told, 1).encode()


@cache
def _script() -> tuple[str, str]:
    """The page's one script and its sha256, by which the page's policy lets it in."""
    script = layout.read("report.js")
    return script, base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def contents(evidence: Evidence) -> dict[str, Any]:
    """Everything the template shows, by name."""
    from simulator.analysis.unanswered import failed_answers
    from simulator.analysis.verdict import judge
    from simulator.report import charts, figures, leaderboard, tables
    from simulator.report.assumptions import assumptions
    from simulator.report.biases import checklist
    from simulator.report.further import PART_COLUMNS, TOGGLES, contamination, council_value, toggles
    from simulator.report.linked import linked
    from simulator.report.paired import COLUMNS as PAIRED
    from simulator.report.paired import against_benchmarks

    run = evidence.run
    verdict = judge(run)
    return {
        "run": run,
        "title": f"{run['strategy']}: {run['from']} to {run['to']}{', partial' if run.get('partial') else ''}",
        "facts": _facts(evidence),
        "verdict": verdict,
        "interval": charts.sharpe_interval(run, verdict),
        "wide_ticks": figures.session_ticks(evidence.sessions, 13),
        "narrow_ticks": figures.session_ticks(evidence.sessions, 5),
        "linked": linked(evidence),
        "last": len(evidence.sessions) - 1,
        "holdings": charts.holdings(evidence),
        "brief": tables.comparison(run, brief=True),
        "comparison": tables.comparison(run),
        "significance": tables.significance(run),
        "paired_columns": PAIRED,
        "paired": against_benchmarks(run, evidence.equity),
        "months": figures.MONTHS,
        "monthly": tables.monthly(evidence),
        "board_columns": leaderboard.COLUMNS,
        "leaderboard": leaderboard.board(evidence),
        "accounts": leaderboard.curves(evidence),
        "calibration": leaderboard.calibration(run),
        "value": council_value(evidence),
        "call_columns": tables.CALL_COLUMNS,
        "calls": tables.calls(evidence),
        "failed": failed_answers(run),
        "spread_columns": tables.SPREAD_COLUMNS,
        "replicates": tables.replicates(run),
        "cost_columns": tables.COST_COLUMNS,
        "cost_sensitivity": tables.cost_sensitivity(run),
        "toggle_columns": TOGGLES,
        "toggles": toggles(run),
        "part_columns": PART_COLUMNS,
        "contamination": contamination(evidence),
        "orders": tables.orders(evidence),
        "sources": tables.sources(run),
        "context": tables.sources(run, "context"),
        "audit": tables.audit_line(run),
        "assumptions": assumptions(run),
        "biases": checklist(run),
        "notes": [str(note) for note in run.get("notes") or []],
        "command": run["command"],
        "identity": _identity(run),
        "listings": _listings(run),
        "runtime": runtime_line(evidence.runtime),
    }


def _facts(evidence: Evidence) -> tuple[str, ...]:
    run = evidence.run
    symbols = ", ".join(map(str, run["symbols"]))
    return (
        symbols,
        f"{run['from']} to {run['to']}",
        counted(int(run["sessions"]), "session"),
        f"{dollars(run['cash'])} at the start",
        counted(len(evidence.decisions), "decision"),
    )


def _identity(run: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    code = run.get("code") or {}
    commit = str(code.get("commit") or "not under version control")
    if code.get("dirty"):
        commit += ", with uncommitted changes"
    pairs = (
        ("Run", run["run_id"]),
        ("Result digest", run["digest"]),
        ("Bars digest", run.get("data_digest")),
        ("Code digest", code.get("digest")),
        ("Code", commit),
        ("LLM answers digest", (run.get("llm") or {}).get("cache_entries")),
    )
    return tuple((name, str(value)) for name, value in pairs if value)


def _listings(run: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Long passages folded away: configuration as read, strategy files, packages."""
    named = (("Configuration", "config"), ("Strategy files, sha256", "strategy_files"), ("Packages", "packages"))
    return tuple((title, json.dumps(run[key], indent=1, ensure_ascii=False)) for title, key in named if run.get(key))


def runtime_line(runtime: Mapping[str, Any]) -> str:
    """The one line that may differ between reruns."""
    parts = []
    if "seconds" in runtime:
        parts.append(f"Run time {ratio(runtime['seconds'], 1)}\u00a0s")
    if "asked" in runtime:
        parts.append(f"{whole(runtime['asked'])} questions asked")
    if "cached" in runtime:
        parts.append(f"{whole(runtime['cached'])} answered from the cache")
    if "cost_usd" in runtime:
        parts.append(f"{dollars(runtime['cost_usd'], 2)} spent")
    if runtime.get("lost_usd"):
        parts.append(f"{dollars(runtime['lost_usd'], 2)} perhaps charged for answers that never came")
    rest = {k: v for k, v in runtime.items() if k not in ("seconds", "asked", "cached", "cost_usd", "lost_usd")}
    parts += [f"{name.replace('_', ' ')} {value}" for name, value in _flat(rest)]
    return "; ".join(parts) or "Run time not recorded"


def _flat(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        pairs += _flat(value) if isinstance(value, Mapping) else [(name, value)]
    return pairs
