"""Types of a regression on factors: factors.json of a run folder, and `factors` of `sim stats --json`."""

from __future__ import annotations

from typing import Literal, TypedDict

from simulator.evidence.records import About


class FactorRow(TypedDict):
    """A factor: its loading with HAC t and two-sided p, its mean and what the loading earned, means times periods."""

    name: str
    part: Literal["market", "style"]
    loading: float
    t: float | None
    p: float | None
    mean: float
    contribution: float


class FactorFigures(TypedDict):
    """Regression on factors. Returns are means times the periods of a year: ``market`` (null without such a factor) +
    ``style`` + ``selection`` = ``excess``, and with ``cash`` the return itself."""

    first: str
    last: str
    lag: int
    alpha: float
    alpha_t: float | None
    alpha_p: float | None
    r_squared: float
    cash: float
    excess: float
    market: float | None
    style: float
    selection: float
    factors: list[FactorRow]


class FactorRecord(TypedDict):
    """Excess returns held against the factors of a file; see :func:`simulator.analysis.factors.explain_by_factors`.

    ``form`` is how the file was read, ``over`` where the risk-free return comes from, ``sessions`` those in common;
    without figures ``reason`` says why.
    """

    file: str
    file_digest: str
    form: str
    over: str
    sessions: int
    figures: FactorFigures | None
    reason: str | None
    notes: list[str]


class RunFactors(About):
    """factors.json."""

    regression: FactorRecord
