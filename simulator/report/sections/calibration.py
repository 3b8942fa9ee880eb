"""Calibration: what followed the convictions, a panel for each account."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.analysis.paired import rank_accounts
from simulator.evidence.members import name_account
from simulator.evidence.records import AccountRecord, ConvictionLevel, RunRecord
from simulator.number_format import number_of, ratio, signed_percent, whole
from simulator.report import drawing
from simulator.report.drawing import Frame, Layer, Panel
from simulator.report.sections.members_and_council import make_calibration_cell


@dataclass(frozen=True)
class Calibrated:
    """Convictions of one account against what followed: a small panel, a line on it, and what it shows in words."""

    name: str
    own: bool
    panel: Panel | None
    summary: str
    spoken: str


def compose(run: RunRecord) -> tuple[Calibrated, ...]:
    """Return the mean realised return of the instrument by conviction, all panels on one scale; none without a mean."""
    accounts = {account["name"]: (account, _levels(account)) for account in rank_accounts(run)}
    ends = [
        value
        for _, levels in accounts.values()
        for level in levels
        for value in (level["mean_return"], level["low"], level["high"])
        if number_of(value) is not None
    ]
    if not ends:
        return ()
    low, high = drawing.bounds([np.array([*ends, 0.0])], room=0.06)
    frame = Frame(-2.5, 2.5, low, high, 120)
    return tuple(
        _draw(name_account(run, name), account, levels, frame, name == run["account"])
        for name, (account, levels) in accounts.items()
    )


def _levels(account: AccountRecord) -> list[ConvictionLevel]:
    found = account["calibration"]
    rows = found["by_conviction"] if found else []
    return [row for row in rows if number_of(row["mean_return"]) is not None and abs(row["conviction"]) <= 2]


def _draw(name: str, account: AccountRecord, levels: list[ConvictionLevel], frame: Frame, own: bool) -> Calibrated:
    found, cell = account["calibration"], make_calibration_cell(account)
    if not levels or found is None:
        return Calibrated(name, own, None, cell.why, "")
    at = np.array([float(level["conviction"]) for level in levels])
    means = np.array([level["mean_return"] for level in levels], dtype=float)
    # A NaN after each pair of ends lifts the pen; so does an end that is None.
    ends = np.array([[level["low"], level["high"], None] for level in levels], dtype=float)
    layers = [Layer("whisker", "line", np.repeat(at, 3), ends.ravel()), Layer("dot", "dots", at, means)]
    horizon = found["horizon_sessions"]
    over = "" if horizon is None else f", {whole(horizon)} sessions ahead"
    bounds = f" ({cell.note or cell.why})" if cell.note or cell.why else ""
    summary = f"{whole(found['n'])} calls{over}; rank correlation {cell.text}{bounds}"
    words = (f"conviction {ratio(x, 0, True)}: {signed_percent(mean)}" for x, mean in zip(at, means, strict=True))
    panel = drawing.draw(layers, frame, drawing.percent_ticks(drawing.steps(frame.low, frame.high, 4)))
    return Calibrated(name, own, panel, summary, f"{name}: {'; '.join(words)}")
