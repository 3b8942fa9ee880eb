"""False flags and power of every check: how often councils without memory are flagged, and councils that remember.

    python benchmarks/contamination.py [--replicates 1000] [--only blind]

Each row is a check's own function on simulated results, as often as asked; `aim` is what the checks hold themselves to.
Two years of daily sessions, weekly decisions, unless said. Whole councils over HTTP:
tests/contamination/test_planted.py.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable

import numpy as np
import verdict_size
from verdict_size import DRIFT, SPREAD, weekly

from simulator.contamination import blind
from simulator.contamination.inputs import barely_used
from simulator.contamination.recall import LEVEL, fit_clustered
from simulator.contamination.reidentify import Guess, masking_failed, rate_recognition
from simulator.contamination.split import Daily, alpha_decay
from simulator.runs.exposure import SkillSeries
from simulator.stats.skill import split_return, usual_exposure

Array = np.ndarray
Flags = Callable[[np.random.Generator], bool]
DAYS = np.busday_offset("2021-01-04", np.arange(520), roll="forward")
COST = 0.0002
"""Paid on what is turned over."""

SEED = 2_711
"""Of histories no level was chosen on; the rules were tried out on those of 12."""


def garch(rng: np.random.Generator, n: int) -> Array:
    return verdict_size.garch(rng, n, 1)[0]


def ar1(rng: np.random.Generator, n: int) -> Array:
    return verdict_size.ar1(rng, n, 1)[0]


def council(
    rng: np.random.Generator,
    rates: tuple[float, float],
    drifts: tuple[float, float] = (DRIFT, DRIFT),
    cut: int = 252,
    n: int = 441,
    ic: float = 0.0,
    shocks: Callable[[np.random.Generator, int], Array] = garch,
) -> tuple[Daily, Daily]:
    """Weekly decisions on two symbols, before and after row `cut`; yearly rates and drifts of both parts.

    `ic` is the correlation of what is decided with the week's outcome, up to `cut`: memory.
    """
    later = np.arange(n) >= cut
    free = np.where(later, rates[1], rates[0]) / 252
    excess = np.where(later, drifts[1], drifts[0])[:, None] + SPREAD * np.column_stack([shocks(rng, n) for _ in "ab"])
    weeks = np.add.reduceat(excess, np.arange(0, n, 5))
    known = (weeks - weeks.mean(axis=0)) / weeks.std(axis=0)
    aware = np.where(np.arange(len(weeks)) * 5 < cut, ic, 0.0)[:, None]
    view = aware * known + np.sqrt(1.0 - aware**2) * rng.normal(size=weeks.shape)
    sizes = np.where(view > 1.0, 0.2, np.where(view > 0.0, 0.1, np.where(view < -1.3, -0.1, 0.0)))
    weights = weekly(sizes * rng.choice([1.0, 2.0]), n)
    costs = COST * np.abs(np.diff(weights, axis=0, prepend=0.0)).sum(axis=1)
    earned = (weights * excess).sum(axis=1) - costs
    parts = split_return(earned, usual_exposure(weights, excess), costs)
    every = np.ones(n, dtype=bool)
    daily = Daily(DAYS[:n], earned + free, excess.mean(axis=1) + free, free, SkillSeries(earned, parts, every, every))
    return daily.rows(~later), daily.rows(later)


def decayed(**about: object) -> Flags:
    return lambda rng: alpha_decay(*council(rng, **about))["flagged"]  # type: ignore[arg-type]


def blinded(changed: tuple[float, float], lost: tuple[float, float] = (0.0, 0.0), n: int = 127) -> Flags:
    """Flag of blind A/B: an arm decides otherwise in a share `changed` of weeks than the one before it, and `lost` a
    session of what that earned. Each draw on coarse facts decides otherwise by itself."""

    def flag(rng: np.random.Generator) -> bool:
        excess = DRIFT + SPREAD * np.column_stack([garch(rng, n), garch(rng, n)])

        def anew(choice: Array, share: float) -> Array:
            other = rng.integers(-1, 3, size=choice.shape) / 5.0
            return np.where(rng.random((len(choice), 1)) < share, other, choice)

        def earned(choice: Array, edge: float) -> Array:
            return np.asarray((weekly(choice, n) * excess).sum(axis=1) + edge)

        as_run = anew(np.zeros((n // 5 + 1, 2)), 1.0)
        both = anew(as_run, changed[0])
        arms = {blind.AS_RUN: earned(as_run, sum(lost)), blind.BOTH: earned(both, lost[1])}
        arms |= {name: earned(anew(both, changed[1]), 0.0) for name in blind.COARSE_DRAWS}
        return blind.judge_steps(arms, "", draws=1_000).outcome == "flagged"

    return flag


def looked_up(right: float, n: int = 127) -> Flags:
    """Flag of blind A/B: exact digits tell the larger move of the week, and where to, in a share `right` of weeks; in
    the others, and on coarse facts, all of the money is on one side of one symbol by lot."""

    def flag(rng: np.random.Generator) -> bool:
        excess = DRIFT + SPREAD * np.column_stack([garch(rng, n), garch(rng, n)])
        weeks = np.add.reduceat(excess, np.arange(0, n, 5))
        larger = np.abs(weeks) == np.abs(weeks).max(axis=1, keepdims=True)

        def lots() -> Array:
            return np.eye(2)[rng.integers(0, 2, len(weeks))] * rng.choice([-1.0, 1.0], (len(weeks), 1))

        known = np.where(rng.random((len(weeks), 1)) < right, np.sign(weeks) * larger, lots())
        choices = {blind.AS_RUN: known, blind.BOTH: known, **{name: lots() for name in blind.COARSE_DRAWS}}
        arms = {name: (weekly(choice, n) * excess).sum(axis=1) for name, choice in choices.items()}
        return blind.judge_steps(arms, "", draws=1_000).outcome == "flagged"

    return flag


def unused(again: float, flipped: float, meetings: int = 52) -> Flags:
    """Flag of counterfactuals: shares of decisions that stay when asked again, and with the facts turned around."""

    def flag(rng: np.random.Generator) -> bool:
        same, turned = (np.where(rng.random(meetings) < share, 1.0, 0.0) for share in (again, flipped))
        return barely_used(turned, same)

    return flag


def guesses_of(kind: str, seed: int, assets: int = 2, meetings: int = 24, quarters: int = 8) -> list[Guess]:
    """Guesses of one model at `meetings` spread over `quarters`, of which assets are shuffled anew at each."""
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    names, offered = [f"S{n}" for n in range(assets)], [f"S{n}" for n in range(max(14, assets))]
    span = quarters + 32
    fixed = dict(zip(names, rng.permutation(names), strict=True))  # by hidden name: the same at every meeting
    always, shift = str(rng.choice(names)), int(rng.integers(-16, 17))
    by_quarter = {q: int(rng.integers(span)) for q in range(span)}
    found = []
    for k in range(meetings):
        true = 16 + k * quarters // meetings
        hidden = dict(zip(rng.permutation(names), names, strict=True))
        other = dict(zip(names, rng.permutation(names), strict=True))
        knows = kind == "recognises half" and k % 2
        named = hidden if knows else other
        if kind == "uniform":
            named = {label: str(rng.choice(offered)) for label in hidden}
        elif kind in ("always the first asset", "middle of the span"):
            named = dict.fromkeys(hidden, always)
        elif kind == "assets of the run, by lot":
            named = {label: str(rng.choice(names)) for label in hidden}
        elif kind == "the same answer at every meeting":
            named = fixed
        quarter = {
            "uniform": int(rng.integers(span)),
            "assets of the run, by lot": 16 + int(rng.integers(quarters)),
            "another order at every meeting": 16 + int(rng.integers(quarters)),
            "shown date, shifted": true + shift,
            "one guess a quarter": 16 + by_quarter[true] % quarters,
            "recognises half": true if k % 2 else int(rng.integers(span)),
        }.get(kind, span // 2)
        found += [Guess(k, own, named[label], f"Q{true}", f"Q{quarter}", "pm") for label, own in hidden.items()]
    return found


GUESSERS = (
    *("uniform", "always the first asset", "the same answer at every meeting", "another order at every meeting"),
    *("assets of the run, by lot", "middle of the span", "shown date, shifted", "one guess a quarter"),
    "recognises half",
)


def named(kind: str, **about: int) -> Flags:
    """Flag of re-identification."""
    return lambda rng: bool(masking_failed(rate_recognition(guesses_of(kind, int(rng.integers(2**31)), **about))))


def recalled(edge: float, fading: bool = False, dates: int = 52) -> Flags:
    """Flag of the recall regression: two assets at each of `dates`, a forecast `edge` times better where LAP is 1."""

    def flag(rng: np.random.Generator) -> bool:
        when = np.repeat(np.arange(dates), 2)
        lap = np.where(rng.random(2 * dates) < (1.0 - when / dates if fading else 0.5), rng.random(2 * dates), 0.0)
        market = np.repeat(garch(rng, dates), 2)  # both assets of a date move together
        forecast = rng.integers(-2, 3, 2 * dates) / 10.0
        y = 0.02 * (0.8 * market + 0.6 * rng.standard_t(5, 2 * dates) + edge * lap * forecast)
        fit = fit_clustered(y, forecast, lap, when.astype(float))
        return fit is not None and fit.p_above_0(3) < LEVEL

    return flag


RATES = (0.0, 0.05)
ROWS: tuple[tuple[str, str, Flags, str], ...] = (
    ("cut-off", "no memory, rates 0 % → 5 %", decayed(rates=RATES), "≤ 4"),
    ("cut-off", "no memory, rates 5 % → 0 %", decayed(rates=RATES[::-1]), "≤ 4"),
    ("cut-off", "no memory, rates up, bull → bear", decayed(rates=RATES, drifts=(DRIFT, -DRIFT)), "≤ 4"),
    ("cut-off", "no memory, rates down, bear → bull", decayed(rates=RATES[::-1], drifts=(-DRIFT, DRIFT)), "≤ 4"),
    ("cut-off", "no memory, 84 sessions before", decayed(rates=RATES, cut=84), "≤ 4"),
    ("cut-off", "no memory, 84 before, AR(1) 0.2", decayed(rates=RATES, cut=84, shocks=ar1), "≤ 4"),
    ("cut-off", "no memory, 61 sessions after", decayed(rates=RATES, cut=380), "≤ 4"),
    ("cut-off", "remembers, weekly IC 0.3", decayed(rates=RATES, ic=0.3), "power"),
    ("cut-off", "remembers, weekly IC 0.6", decayed(rates=RATES, ic=0.6), "power"),
    ("blind", "no memory, answers anew in each arm", blinded((1.0, 1.0)), "≤ 5"),
    ("blind", "no memory, 10 % and 40 % change", blinded((0.1, 0.4)), "≤ 5"),
    ("blind", "momentum, masked the same, coarse 40 %", blinded((0.0, 0.4)), "≤ 5"),
    ("blind", "knows names and dates, 20 % a year", blinded((0.6, 0.3), (0.0008, 0.0)), "power"),
    ("blind", "looks up digits, 20 % a year", blinded((0.0, 0.6), (0.0, 0.0008)), "power"),
    ("blind", "looks up digits, 40 % a year", blinded((0.0, 0.6), (0.0, 0.0016)), "power"),
    ("blind", "looks up digits, right in all weeks", looked_up(1.0), "power"),
    ("blind", "looks up digits, right in 7 of 10", looked_up(0.7), "power"),
    ("blind", "right in all weeks of 64 sessions", looked_up(1.0, 64), "power"),
    ("blind", "reads no digits, all on one by lot", looked_up(0.0), "≤ 5"),
    ("inputs", "85 % stay asked again, 50 % turned", unused(0.85, 0.5), "≤ 5"),
    ("inputs", "85 % stay asked again, 65 % turned", unused(0.85, 0.65), "≤ 5"),
    ("inputs", "does not read them: 85 % and 85 %", unused(0.85, 0.85), "power"),
    *(("reidentify", kind, named(kind), "power" if kind == "recognises half" else "≤ 5") for kind in GUESSERS),
    ("reidentify", "assets of the run, by lot, of 12", named("assets of the run, by lot", assets=12), "≤ 5"),
    ("reidentify", "recognises half, of 12", named("recognises half", assets=12), "power"),
    ("recall", "no memory, LAP by chance", recalled(0.0), "5, nominal"),
    ("recall", "no memory, LAP fades with time", recalled(0.0, fading=True), "5, nominal"),
    ("recall", "better where it recalls", recalled(6.0), "power"),
)


def rate(flag: Flags, replicates: int) -> float:
    return 100.0 * sum(bool(flag(np.random.default_rng([seed, SEED]))) for seed in range(replicates)) / replicates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--only", default="", help="rows of this check only")
    given = parser.parse_args()
    print(f"| check | council | flagged, % of {given.replicates} | aim |\n|---|---|---|---|")
    for check, who, flag, aim in ROWS:
        if check.startswith(given.only):
            print(f"| `{check}` | {who} | {rate(flag, given.replicates):.1f} | {aim} |", flush=True)


if __name__ == "__main__":
    main()
