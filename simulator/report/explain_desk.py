"""A decision of the desk for a terminal: its state, what agents saw, said and were told, plans, vetoes, report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.padding import Padding

from simulator.council.records import DecisionRecord
from simulator.number_format import counted, dollars
from simulator.report.decision_text import SHOWN_OF_KEY
from simulator.report.renderers.console import Text

if TYPE_CHECKING:
    from simulator.desk.agents.protocol import AgentRow

LONGEST = 400
"""Characters of a fact or of a tool's answer that are printed; `--json` has all of it."""


def show_desk(record: DecisionRecord, symbol: str | None) -> Iterator[RenderableType]:
    """Yield what to print of the record of a desk's point, nothing of another; with `symbol` what concerns it only."""
    if record.get("kind") != "desk":
        return
    state = record.get("workflow") or {}
    yield Text(f"\n{str(record['point']).capitalize()}" + (f", {state['state']}" if state else ""), "bold")
    agents = [row for row in record.get("agents") or () if symbol is None or row["about"] in (None, symbol)]
    for row in agents:
        yield from _show_agent(row)
    rejected = [f"{name}: {'; '.join(why)}" for name, why in (record.get("rejected") or {}).items()]
    for name in ("watchlist", "rejected", "analyses", "plans", "vetoes", "notes", "moves"):
        given = rejected if name == "rejected" else record.get(name) or ()
        rows = [one for one in given if symbol is None or symbol in _brief(one)]
        if rows:
            yield Text(f"\n{name.capitalize()}", "bold")
            yield from (Padding(Text(_brief(one)), (0, 0, 0, 2)) for one in rows)
        if name == "analyses":
            yield from _show_passed_over(record, symbol)
    if (report := record.get("report")) and symbol is None:
        yield Text("\nReport", "bold")
        parts = [f"grade {report['grade']}", counted(report["entries"], "entry", "entries")]
        parts += [counted(len(report["trades"]), "trade") + " closed"]
        parts += [] if report["profit"] is None else [f"profit {dollars(report['profit'], 2)}"]
        yield Padding(Text(", ".join(parts)), (0, 0, 0, 2))


def _show_passed_over(record: DecisionRecord, symbol: str | None) -> Iterator[RenderableType]:
    """Yield the symbols that were to be bought and got neither plan nor veto, because they are held."""
    held = record["workflow"]["context"].get("held") or {}
    wanted = [
        one["symbol"]
        for one in record.get("analyses") or ()
        if one.get("agent", one["recommendation"]) in ("BUY", "STRONG_BUY") and one["symbol"] in held
    ]
    rows = [one for one in wanted if symbol in (None, one)]
    if rows:
        yield Text("\nPassed over", "bold")
        text = "held already, and the desk adds to no position"
        yield from (Padding(Text(f"{one}: {text}; its stop is {held[one]['stop']:.2f}"), (0, 0, 0, 2)) for one in rows)


def _show_agent(row: AgentRow) -> Iterator[RenderableType]:
    key = f" [{row['keys'][-1][:SHOWN_OF_KEY]}]" if row["keys"] else ""
    about = f" on {row['about']}" if row["about"] else ""
    said = f"no answer: {row['error']}" if row["said"] is None else _brief(row["said"], 10 * LONGEST)
    yield Padding(
        Text.assemble((f"{row['agent']}{about} · {row['seat']}", "bold"), (key, "dim"), f": {said}"), (0, 0, 0, 2)
    )
    for call in row["tools"]:
        told = f"asked {call['tool']}({_brief(call['arguments'])}), was told {_brief(call['answer'])}"
        yield Padding(Text(told, "dim"), (0, 0, 0, 4))
    for name, shown in row["shown"].items():
        yield Padding(Text(f"was shown {name}: {_brief(shown)}", "dim"), (0, 0, 0, 4))


def _brief(value: object, longest: int = LONGEST) -> str:
    """``symbol AAPL, shares 75``: names and values of a mapping, values alone of a list, at most so many characters."""
    if isinstance(value, Mapping):
        text = ", ".join(f"{name} {_write_nested(one)}" for name, one in value.items())
    else:
        text = _write_nested(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _write_nested(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
