"""Blind A/B: the same council, when it cannot tell which asset and which date it is asked about.

                    dates as they are    dates moved
    names real      as run               dates hidden         two factors, prices and volumes at 100 wherever
    names masked    names hidden         both hidden          something is hidden
    another name    other name (placebo)

Every arm meets at the run's meetings and trades the real bars under the run's terms; what differs is what it was shown.
Arms are paired by session. Sources: Glasserman & Lin (2023); Lopez-Lira, Tang & Zhu (2025).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.contamination.case import Case
from simulator.contamination.disguise import SHIFT_WEEKS, Disguise, Disguised, masks, other_names
from simulator.contamination.results import Figure, Outcome, Result
from simulator.contamination.split import parts_of
from simulator.contamination.words import p_text, percent, percents
from simulator.errors import UsageError
from simulator.llm.cutoffs import BEFORE
from simulator.market.bars import Floats
from simulator.stats.compare import compare
from simulator.stats.mean import mean_of
from simulator.stats.metrics import ENOUGH_SESSIONS, PERIODS, sharpe
from simulator.stats.series import Undefined, split
from simulator.trading.strategy import Strategy

AS_RUN, NAMES, DATES, BOTH, PLACEBO = "as run", "names hidden", "dates hidden", "both hidden", "another real name"
OTHER_NAME = "another real name, less as run (placebo)"
LEVEL = 0.05
NEARLY_NOTHING = 1e-4
"""A difference a year that is only rounding: limits and stops of rescaled prices differ in the last digit."""
SAME = "It earns the same, to a hundredth of a per cent a year, whether or not it can tell asset and date."


@dataclass(frozen=True, eq=False)
class Arm:
    """One way to show the market, the strategy that sees it so, and its opinions."""

    name: str
    strategy: Strategy[Any]
    opinions: Mapping[int, Any]


def disguises(case: Case) -> dict[str, Disguise]:
    """Return {arm: what it hides}. Without another name to be had there is no placebo."""
    symbols, assets = case.inputs.bars.symbols, case.config.assets
    hidden, other = masks(symbols), other_names(symbols, assets.assets, (assets.cash_instrument, *assets.context))
    spec = case.council.spec if case.council is not None else None
    beside = (assets.cash_instrument, *((spec.cash, spec.volatility_index) if spec is not None else ()))
    found = {
        NAMES: Disguise(hidden, beside=beside),
        DATES: Disguise({}, SHIFT_WEEKS, beside=beside),
        BOTH: Disguise(hidden, SHIFT_WEEKS, beside=beside),
    }
    return found | ({PLACEBO: Disguise(other, beside=beside)} if other else {})


async def ask(case: Case) -> tuple[Arm, ...]:
    """Return the opinions of every arm; the arm shown the real market first."""
    arms = [Arm(AS_RUN, case.strategy, await case.opine(case.strategy))]
    for name, disguise in disguises(case).items():
        strategy: Strategy[Any] = Disguised(case.strategy, disguise)
        arms.append(Arm(name, strategy, await case.opine(strategy)))
    return tuple(arms)


def judge(case: Case, arms: tuple[Arm, ...]) -> Result:
    """Flagged where, with names and dates hidden, less is earned than as run, beyond chance (two-sided, 5 %).

    Judged on the sessions up to the cut-off where there are 60 of them, for memory can sit nowhere else; otherwise on
    all sessions.
    """
    returns: dict[str, Floats] = {}
    try:
        for arm in arms:
            returns[arm.name] = case.returns(case.play(arm.strategy, case.at_meetings, arm.opinions))
    except UsageError as error:
        sentence = f"{case.strategy.name} cannot be shown other names: {error.found}"
        return Result("not assessable", f"Not assessable: {sentence}.")
    kept, where = _judged_on(case)
    figures = [*_effects(returns, kept), *_levels(returns, kept, case.free)]
    notes = [f"judged on {where}", "every arm decides at the run's meetings only, without checkpoints"]
    if PLACEBO not in returns:
        notes.append("no other real name is at hand: there is no placebo")
    if any(snapshot.news for snapshot in case.at_meetings.snapshots):
        notes.append("headlines are left out of every arm but the first: they name what is hidden")
    outcome, sentence = _verdict(figures[0], where)
    placebo = next((one for one in figures if one.name == OTHER_NAME), None)
    if outcome == "flagged" and placebo is not None and placebo.value is not None:
        sentence += f" Under another real name: {percent(placebo.value, sign=True)}."
    return Result(outcome, sentence, tuple(figures), tuple(notes))


def _judged_on(case: Case) -> tuple[np.ndarray, str]:
    if case.cutoff is not None:
        before = parts_of(case.sessions, case.cutoff)[BEFORE]
        if before.sum() >= ENOUGH_SESSIONS:
            return before, f"the {int(before.sum())} sessions up to the cut-off {case.cutoff}"
    return np.ones(len(case.sessions), dtype=bool), f"all {len(case.sessions)} sessions"


def _effects(returns: Mapping[str, Floats], kept: np.ndarray) -> list[Figure]:
    """Effect of each masking on the mean return a year, the judged one first."""
    r = {name: values[kept] for name, values in returns.items()}
    contrasts = {
        "both hidden, less as run": r[BOTH] - r[AS_RUN],
        "hiding names (main effect)": (r[NAMES] - r[AS_RUN] + r[BOTH] - r[DATES]) / 2,
        "hiding dates (main effect)": (r[DATES] - r[AS_RUN] + r[BOTH] - r[NAMES]) / 2,
        "names and dates together (interaction)": r[BOTH] - r[NAMES] - r[DATES] + r[AS_RUN],
    }
    if PLACEBO in r:
        contrasts[OTHER_NAME] = r[PLACEBO] - r[AS_RUN]
        contrasts["both hidden, less placebo"] = r[BOTH] - r[PLACEBO]
    found = []
    for name, difference in contrasts.items():
        mean = mean_of(difference, PERIODS)
        found.append(Figure(name, mean.value, "a year", mean.low, mean.high, mean.p))
    tested = compare(r[BOTH], r[AS_RUN], 0.0, PERIODS) if np.ptp(r[BOTH] - r[AS_RUN]) else Undefined("the same")
    if not isinstance(tested, Undefined):
        label = "both hidden, less as run: Sharpe"
        found.append(Figure(label, tested.difference, "Sharpe", tested.low, tested.high, tested.p, "Ledoit-Wolf"))
    return found


def _levels(returns: Mapping[str, Floats], kept: np.ndarray, free: Floats) -> list[Figure]:
    """Sharpe ratio of each arm."""
    values, reasons = split({name: sharpe(path[kept], free[kept], PERIODS) for name, path in returns.items()})
    return [Figure(f"{arm}: Sharpe", ratio, "Sharpe", note=reasons.get(arm, "")) for arm, ratio in values.items()]


def _verdict(effect: Figure, where: str) -> tuple[Outcome, str]:
    if effect.value is None or effect.p is None or effect.low is None or effect.high is None:
        if effect.value is not None and abs(effect.value) < NEARLY_NOTHING:
            return "passed", SAME
        return "not assessable", f"Not assessable: too few sessions differ ({where})."
    if abs(effect.value) < NEARLY_NOTHING:
        return "passed", SAME
    sure = f"({percents(effect.low, effect.high)}, {p_text(effect.p)})"
    hidden = "With names, dates and price levels hidden"
    if effect.p >= LEVEL:
        size = percent(effect.value, sign=True)
        return "passed", f"{hidden} it cannot be told apart from the run: {size} a year {sure}."
    if effect.value < 0:
        lost = f"{hidden} it earns {percent(-effect.value)} a year less {sure}"
        return "flagged", f"FLAGGED: {lost}: what it earned rests on recognising asset and date."
    return "shown", f"{hidden} it earns {percent(effect.value)} a year more {sure}: names or dates mislead it."
