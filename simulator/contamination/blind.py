"""Blind A/B: the same council, when it cannot tell which asset and which date it is asked about.

                    dates as they are    dates moved
    names real      as run               dates hidden         two factors, prices and volumes at 100 wherever
    names masked    names hidden         both hidden          something is hidden
    another name    other name (placebo)
    both hidden, and every number of the facts moved to the nearest of nine values (coarse.py)

Two steps are judged, each by its own interval: from the run to both hidden, which takes away names, dates and levels,
and from there to coarse facts, which takes away exact digits: a table of them names asset and date too. Those are shown
several times, each at other dates, and what is earned on them is the mean: who guesses there earns by luck.

Every arm meets at the run's meetings and trades the real bars under the run's terms; what differs is what it was shown.
Arms are paired by session. Sources: Glasserman & Lin (2023); Lopez-Lira, Tang & Zhu (2025).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simulator.contamination.case import Case
from simulator.contamination.coarse import Coarse
from simulator.contamination.disguise import SHIFT_WEEKS, Disguise, Disguised, masks, other_names
from simulator.contamination.results import Figure, Outcome, Result
from simulator.contamination.split import parts_of
from simulator.contamination.words import FINDS, p_text, percent, percents
from simulator.errors import SimError, UsageError
from simulator.llm.cutoffs import BEFORE
from simulator.market.bars import Floats
from simulator.stats.bootstrap import DRAWS
from simulator.stats.compare import compare
from simulator.stats.mean import mean_of
from simulator.stats.metrics import ENOUGH_SESSIONS, PERIODS, sharpe
from simulator.stats.series import Undefined, split
from simulator.trading.strategy import Strategy

AS_RUN, NAMES, DATES, BOTH, PLACEBO = "as run", "names hidden", "dates hidden", "both hidden", "another real name"
COARSE = "both hidden, coarse facts"
COARSE_DRAWS = tuple(COARSE if draw == 1 else f"{COARSE}, draw {draw}" for draw in (1, 2, 3))
DRAW_WEEKS = 522
"""Weeks by which the dates of each draw lie behind those of the one before: ten years."""
MASKED, COARSENED = "both hidden, less as run", "coarse facts, less both hidden"
"""What is judged."""
OTHER_NAME = "another real name, less as run (placebo)"
LEVEL = 0.975
"""Of the interval that judges a step: without memory the one or the other lies below 0 in at most 4 %."""
FOUR_IN_FIVE = 0.69
"""Width of that interval times this is the loss found four times in five: (2.241 + 0.842) / (2 · 2.241)."""
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
    shown = () if spec is None else (spec.cash, spec.volatility_index, *((spec.benchmark,) if spec.opening else ()))
    beside = (assets.cash_instrument, *shown)
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
    if case.council is not None and case.asks_models:
        both = disguises(case)[BOTH]
        for draw, name in enumerate(COARSE_DRAWS):
            coarse = Coarse(case.council, replace(both, weeks=both.weeks + draw * DRAW_WEEKS))
            arms.append(Arm(name, coarse, await case.opine(coarse)))
    return tuple(arms)


def judge(case: Case, arms: tuple[Arm, ...]) -> Result:
    """Flagged where less is earned with names and dates hidden than as run, or with coarse facts than with exact ones,
    beyond chance: the interval of one step lies below 0, 4 % for both together.

    Judged on the sessions up to the cut-off where there are 60 of them, for memory can sit nowhere else; otherwise on
    all sessions.
    """
    returns: dict[str, Floats] = {}
    try:
        for arm in arms:
            returns[arm.name] = case.returns(case.play(arm.strategy, case.at_meetings, arm.opinions))
    except Exception as error:
        if case.council is not None and not isinstance(error, UsageError):
            raise
        found = error.found if isinstance(error, SimError) else f"{type(error).__name__}: {error}"  # of its own code
        sentence = f"{case.strategy.name} cannot be shown other names: {found}"
        return Result("not assessable", f"Not assessable: {sentence}.")
    kept, where = _judged_on(case)
    result = judge_arms({name: path[kept] for name, path in returns.items()}, case.free[kept], where)
    notes = [f"judged on {where}", "every arm decides at the run's meetings only, without checkpoints"]
    if PLACEBO not in returns:
        notes.append("no other real name is at hand: there is no placebo")
    if COARSE not in returns:
        notes.append("no model is shown facts: none are made coarse")
    else:
        notes.append(f"coarse facts are shown {len(COARSE_DRAWS)} times, ten years apart: their mean is judged")
    if any(snapshot.news for snapshot in case.at_meetings.snapshots):
        notes.append("headlines are left out of every arm but the first: they name what is hidden")
    return replace(result, notes=tuple(notes))


def judge_arms(returns: Mapping[str, Floats], free: Floats, where: str) -> Result:
    """Return the result from `returns` {arm: (n,) by session} and risk-free returns (n,) on the sessions `where`."""
    steps = judge_steps(returns, where)
    effects = _effects(returns)
    sentence = steps.verdict
    placebo = next((one for one in effects if one.name == OTHER_NAME), None)
    if steps.outcome == "flagged" and placebo is not None and placebo.value is not None:
        sentence += f" Under another real name: {percent(placebo.value, sign=True)}."
    values, reasons = split({name: sharpe(path, free, PERIODS) for name, path in returns.items()})
    levels = [Figure(f"{arm}: Sharpe", ratio, "Sharpe", note=reasons.get(arm, "")) for arm, ratio in values.items()]
    return Result(steps.outcome, sentence, (*steps.figures, *effects, *levels))


def judge_steps(r: Mapping[str, Floats], where: str, draws: int = DRAWS) -> Result:
    """Return the result of the two steps that are judged, the first alone where no facts were made coarse."""
    told = [_step(MASKED, r[BOTH] - r[AS_RUN], where, draws)]
    if coarse := [r[name] for name in COARSE_DRAWS if name in r]:
        told.append(_step(COARSENED, np.mean(coarse, axis=0) - r[BOTH], where, draws))
    outcomes = [outcome for outcome, _, _ in told]
    outcome = min(outcomes, key=lambda one: one != "flagged")
    if outcome == "passed" and "shown" in outcomes:
        outcome = "shown"
    return Result(outcome, " ".join(sentence for _, sentence, _ in told), tuple(step for *_, step in told))


def _judged_on(case: Case) -> tuple[np.ndarray, str]:
    if case.cutoff is not None:
        before = parts_of(case.sessions, case.cutoff)[BEFORE]
        if before.sum() >= ENOUGH_SESSIONS:
            return before, f"the {int(before.sum())} sessions up to the cut-off {case.cutoff}"
    return np.ones(len(case.sessions), dtype=bool), f"all {len(case.sessions)} sessions"


def _effects(r: Mapping[str, Floats]) -> list[Figure]:
    """Effects on the mean return a year that explain what is judged."""
    contrasts = {
        "hiding names (main effect)": (r[NAMES] - r[AS_RUN] + r[BOTH] - r[DATES]) / 2,
        "hiding dates (main effect)": (r[DATES] - r[AS_RUN] + r[BOTH] - r[NAMES]) / 2,
        "names and dates together (interaction)": r[BOTH] - r[NAMES] - r[DATES] + r[AS_RUN],
    }
    if PLACEBO in r:
        contrasts[OTHER_NAME] = r[PLACEBO] - r[AS_RUN]
        contrasts["both hidden, less placebo"] = r[BOTH] - r[PLACEBO]
    means = {name: mean_of(difference, PERIODS) for name, difference in contrasts.items()}
    found = [Figure(name, one.value, "a year", one.low, one.high, one.p) for name, one in means.items()]
    tested = compare(r[BOTH], r[AS_RUN], 0.0, PERIODS) if np.ptp(r[BOTH] - r[AS_RUN]) else Undefined("the same")
    if not isinstance(tested, Undefined):
        label = "both hidden, less as run: Sharpe"
        found.append(Figure(label, tested.difference, "Sharpe", tested.low, tested.high, tested.p, "Ledoit-Wolf"))
    return found


WORDS = {
    MASKED: (
        SAME,
        "With names, dates and price levels hidden",
        "it cannot be told apart from the run",
        "what it earned rests on recognising asset and date",
        "names or dates mislead it",
    ),
    COARSENED: (
        "It earns the same on coarse facts.",
        "With facts coarse as well",
        "it cannot be told apart from the masked one",
        "what it earned rests on exact digits, by which asset and date can be looked up",
        "exact digits mislead it",
    ),
}
"""Of each step: the same, what was taken away, no difference, what a loss means, what a gain means."""


def _step(name: str, difference: Floats, where: str, draws: int) -> tuple[Outcome, str, Figure]:
    """Outcome of one step, its sentence, and its figure with the interval that judges it."""
    same, taken, alike, loss, gain = WORDS[name]
    mean = mean_of(difference, PERIODS, draws, level=LEVEL)
    figure = Figure(name, mean.value, "a year", mean.low, mean.high, note=f"interval of {percent(LEVEL)}")
    if abs(mean.value) < NEARLY_NOTHING:
        return "passed", same, figure
    if mean.low is None or mean.high is None:
        return "not assessable", f"Not assessable: too few sessions differ ({where}).", figure
    less, sure = percent(-mean.value), f"({percents(mean.low, mean.high, percent(LEVEL))})"
    if mean.high < 0.0:
        sentence = f"FLAGGED: {taken[0].lower()}{taken[1:]} it earns {less} a year less {sure}: {loss}."
        return "flagged", sentence, figure
    if mean.low > 0.0:
        return "shown", f"{taken} it earns {percent(mean.value)} a year more {sure}: {gain}.", figure
    limit = f"{FINDS} {percent(FOUR_IN_FIVE * (mean.high - mean.low))} a year"
    alone = (
        f", which by itself would be beyond chance ({p_text(mean.p)})" if mean.p is not None and mean.p < 0.05 else ""
    )
    moved = percent(mean.value, sign=True)
    sentence = f"{taken} {alike}: {moved} a year {sure}{alone}; four times in five this {limit}."
    return "passed", sentence, replace(figure, note=f"{figure.note}; {limit}, four times in five")
