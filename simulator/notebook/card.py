"""A run in a few lines: as text, and as a card in a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from simulator.number_format import counted, dollars, interval, percent, ratio
from simulator.printing import printable

if TYPE_CHECKING:
    from simulator.notebook.run import Account, Run
    from simulator.stats.series import Floats

BEYOND = "Beyond its exposure, a year"
WIDTH, HEIGHT = 420, 110

STYLE = (
    "border:1px solid #8886;border-radius:6px;padding:.8em 1em;max-width:46em;"
    "font:14px/1.45 system-ui,sans-serif;color:inherit;background:transparent"
)


def describe(account: Account) -> str:
    """Return five lines: what was run, the verdict, the return, the risk, where it lies."""
    tiles = dict(_tiles(account))
    risk = f"drawdown {tiles['Deepest drawdown']}, costs {tiles['Costs']}"
    return printable(
        "\n".join(
            (
                _title(account.run),
                headline(account),
                f"return {tiles['Return']}, beyond its own exposure {tiles[BEYOND]}"
                if BEYOND in tiles
                else f"return {tiles['Return']}, exposure {tiles['Exposure']}",
                f"Sharpe ratio {tiles['Sharpe ratio']}, {risk}",
                str(account.run.folder),
            )
        )
    )


def headline(account: Account) -> str:
    """Return the verdict on a run, the seat and the model of one of its accounts."""
    record = account.record
    return (
        account.run.verdict.headline
        if record is None
        else f"Account {account.name}: {record['seat']}, {record['model']}"
    )


def render(account: Account) -> str:
    """Return the card as HTML that carries its own style and follows the notebook's colours."""
    tiles = "".join(
        f'<div style="min-width:8.5em"><div style="opacity:.7;font-size:.85em">{escape(name)}</div>'
        f"<div>{escape(value)}</div></div>"
        for name, value in _tiles(account)
    )
    html = (
        f'<div style="{STYLE}"><div style="opacity:.75">{escape(_title(account.run))}</div>'
        f'<div style="font-weight:600;margin:.3em 0 .6em">{escape(headline(account))}</div>'
        f"{_draw(account)}"
        f'<div style="display:flex;flex-wrap:wrap;gap:.5em 1.4em;margin:.5em 0">{tiles}</div>'
        f'<div style="opacity:.7;font-size:.85em">{escape(str(account.run.report()))}</div></div>'
    )
    return printable(html)


def _title(run: Run) -> str:
    facts = run.facts
    partial = ", partial" if facts["partial"] else ""
    sessions = counted(facts["sessions"], "session")
    symbols = ", ".join(facts["symbols"][:6]) + (" …" if len(facts["symbols"]) > 6 else "")
    return f"Run {run.id}: {facts['strategy']} on {symbols}, {facts['from']} to {facts['to']}, {sessions}{partial}"


def _tiles(account: Account) -> tuple[tuple[str, str], ...]:
    facts, record = account.run.facts, account.record
    metrics = facts["metrics"] if record is None else record["metrics"]
    low, high = (
        (facts["inference"].get(name) if record is None else record.get(name))
        for name in ("sharpe_ci_low", "sharpe_ci_high")
    )
    costs = float(account.fills["slippage"].sum() + account.fills["commission"].sum())
    bill = facts["llm"] if record is None else record["llm"]
    return (
        ("Return", percent(metrics.get("total_return"), sign=True)),
        *(((BEYOND, _beyond(account.run)),) if record is None else ()),
        ("Sharpe ratio", f"{ratio(metrics.get('sharpe'))} ({interval(low, high)})"),
        ("Deepest drawdown", percent(metrics.get("max_drawdown"))),
        ("Exposure", percent(metrics.get("exposure"), digits=0)),
        ("Costs", f"{dollars(costs)}, models {dollars(bill['cost_usd'] if bill else 0.0, digits=2)}"),
    )


def _beyond(run: Run) -> str:
    skill = run.facts.get("skill")
    if skill is None or skill["beyond"] is None:
        return "n/a"
    bounds = interval(skill["beyond_low"], skill["beyond_high"], percent)
    return f"{percent(skill['beyond'], sign=True)} ({bounds})"


def _draw(run: Account) -> str:
    """Return a small chart of the equity and of buy-and-hold."""
    paths = {"currentColor": run.equity.to_numpy()}
    if "buy_and_hold" in run.benchmarks:
        paths = {"#8889": run.benchmarks["buy_and_hold"].to_numpy(), **paths}
    every = np.concatenate([path[np.isfinite(path)] for path in paths.values()] or [np.ones(1)])
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    lines = "".join(
        f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{_points(path, low, high)}"/>'
        for colour, path in paths.items()
    )
    spoken = f"Equity {dollars(run.run.facts['cash'])} to {dollars(float(run.equity.iloc[-1]))}; grey: buy-and-hold"
    return (
        f'<svg role="img" aria-label="{escape(spoken)}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'style="width:100%;max-width:{WIDTH}px;height:auto"><title>{escape(spoken)}</title>{lines}</svg>'
    )


def _points(path: Floats, low: float, high: float) -> str:
    step = max(1, len(path) // WIDTH)
    kept = np.unique(np.append(np.arange(0, len(path), step), len(path) - 1))
    x = kept / max(1, len(path) - 1) * WIDTH
    y = HEIGHT - 4 - (path[kept] - low) / ((high - low) or 1.0) * (HEIGHT - 8)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True) if np.isfinite(b))
