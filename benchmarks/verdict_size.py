"""Size and power of the verdict: books and noise without skill, planted skill, and the shipped coin on the sample bars.

    python benchmarks/verdict_size.py [--replicates 1000] [--seeds 200] [--only PART] [--write]

`--write` puts the tables into docs/verdict.md. Without it 100 replicates and 20 seeds are tried, and printed.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
from pages import write_table

from simulator.analysis.verdict import ANCHORED, judge
from simulator.config import load_config
from simulator.evidence.records import SkillRecord
from simulator.market.load import load_bars
from simulator.replay import kernel
from simulator.replay.tape import Tape
from simulator.rules.loader import load_rule
from simulator.runs import exposure, measure
from simulator.runs.exposure import skill_record, skill_series
from simulator.runs.load_inputs import load_inputs
from simulator.stats.distributions import student_cdf, student_sf
from simulator.stats.series import Undefined
from simulator.stats.skill import anchoring, cosines, level_reward, mean_so_far, mean_test, p_of_trials
from simulator.trading.cycle import TradingRules
from simulator.trading.strategy import points_of
from simulator.workspace import find_workspace

LENGTHS = (60, 125, 251, 501, 1000)
DRIFT, SPREAD = 0.0006, 0.011
"""A session's mean excess return and its standard deviation in the bull market: 15 % and 17 % a year."""

WARM = 60
"""Moves before the first session, for books that look back."""

BEST_OF, CASH = 20, 100_000.0
PERIODS = (("2018-01-02", "2018-12-31"), ("2019-01-02", "2021-12-31"), ("2022-01-03", "2022-12-30"),
           ("2023-01-03", "2024-12-30"))  # fmt: skip

Floats = np.ndarray
Series = Callable[[np.random.Generator, int, int], Floats]
"""(R, n) histories, by generator, n and R."""

Tested = Callable[[np.random.Generator, int, int], Iterator[tuple[Floats, float]]]
"""Of R histories (n,) what is tested, and the reward of its change of level."""

Weigh = Callable[[np.random.Generator, Floats], Floats]
"""Weights (T, N) held over moves (T, N), known before each."""


def garch(rng: np.random.Generator, n: int, count: int) -> Floats:
    """(R, n) standardised GARCH(1, 1) with Student's t of 5 degrees: α 0.08, β 0.9."""
    shocks, out = rng.standard_t(5, (n + 200, count)) / math.sqrt(5 / 3), np.empty((n + 200, count))
    variance = np.ones(count)
    for t, shock in enumerate(shocks):
        out[t] = np.sqrt(variance) * shock
        variance = 0.02 + 0.08 * out[t] ** 2 + 0.9 * variance
    return out[200:].T


def ar1(rng: np.random.Generator, n: int, count: int) -> Floats:
    x = rng.normal(size=(count, n))
    for t in range(1, n):
        x[:, t] += 0.2 * x[:, t - 1]
    return x


def independent(rng: np.random.Generator, n: int, count: int) -> Floats:
    return rng.normal(size=(count, n))


def book(weigh: Weigh, shocks: Series = garch, symbols: int = 2) -> Tested:
    """Returns beyond its usual exposure of a book of so many independent symbols in the bull market."""

    def tested(rng: np.random.Generator, n: int, count: int) -> Iterator[tuple[Floats, float]]:
        moves = DRIFT + SPREAD * np.stack([shocks(rng, n + WARM, count) for _ in range(symbols)], axis=-1)
        return (beyond(weigh(rng, one)[WARM:], one[WARM:]) for one in moves)

    return tested


def bare(series: Series) -> Tested:
    """Returns without positions."""
    return lambda rng, n, count: ((one, 0.0) for one in series(rng, n, count))


def beyond(w: Floats, x: Floats) -> tuple[Floats, float]:
    ahead = w - mean_so_far(w)
    return (ahead * x).sum(axis=1), level_reward(ahead, x)


def weekly(values: Floats, n: int) -> Floats:
    return np.repeat(values, 5, axis=0)[:n]


def coins(rng: np.random.Generator, moves: Floats) -> Floats:
    n, symbols = moves.shape
    return weekly((rng.random((n // 5 + 1, symbols)) < 0.5) / symbols, n)


def graded(rng: np.random.Generator, moves: Floats) -> Floats:
    return weekly(rng.random((len(moves) // 5 + 1, 2)) / 2, len(moves))


def pick(rng: np.random.Generator, moves: Floats) -> Floats:
    return weekly(np.eye(2)[rng.integers(0, 2, len(moves) // 5 + 1)], len(moves))


def neutral(rng: np.random.Generator, moves: Floats) -> Floats:
    side = rng.choice([-0.5, 0.5], len(moves) // 5 + 1)
    return weekly(np.column_stack([side, -side]), len(moves))


def tilt(rng: np.random.Generator, moves: Floats) -> Floats:
    noise = rng.normal(0.0, 0.1, (len(moves) // 5 + 1, 2))
    return weekly(np.array([0.2, 0.7]) + noise, len(moves))


def trend_of(moves: Floats, sessions: int) -> Floats:
    """(n, 2) return over the sessions before each, 0 where there are too few."""
    level = np.vstack([np.zeros((1, 2)), np.cumsum(moves, axis=0)])
    trend = np.zeros(moves.shape)
    trend[sessions:] = level[sessions:-1] - level[: -sessions - 1]
    return trend


def dips(sessions: int) -> Weigh:
    return lambda _, moves: 0.5 * (trend_of(moves, sessions) < 0)


def double_down(_: np.random.Generator, moves: Floats) -> Floats:
    """A tenth in each, doubled up to eight times after each losing week, back to a tenth after a winning one."""
    w, size = np.full(moves.shape, 0.1), np.full(2, 0.1)
    for start in range(0, len(moves), 5):
        w[start : start + 5] = size
        lost = moves[start : start + 5].sum(axis=0) < 0
        size = np.where(lost, np.minimum(2 * size, 0.8), 0.1)
    return w


def ramp(_: np.random.Generator, moves: Floats) -> Floats:
    """A thousandth more in each every session, up to one half; a weight that only falls is as much below its mean."""
    return np.minimum(0.001 * np.maximum(np.arange(len(moves)) - WARM, 0), 0.5)[:, None] * np.ones((1, 2))


def late(_: np.random.Generator, moves: Floats) -> Floats:
    """Nothing for half of the time, everything after."""
    return np.where(np.arange(len(moves)) < WARM + (len(moves) - WARM) // 2, 0.0, 0.5)[:, None] * np.ones((1, 2))


def saver(after_losses: bool) -> Weigh:
    """Buys for a hundredth of the money in each symbol every week, or two after its losing weeks, and never sells."""

    def weigh(_: np.random.Generator, moves: Floats) -> Floats:
        w, held, cash = np.zeros(moves.shape), np.zeros(2), 1.0
        for t in range(WARM, len(moves)):
            if t % 5 == 0:
                wanted = 0.02 * (moves[t - 5 : t].sum(axis=0) < 0) if after_losses else np.full(2, 0.01)
                bought = wanted * min(1.0, cash / max(wanted.sum(), 1e-9))
                held, cash = held + bought, cash - bought.sum()
            w[t] = held / (held.sum() + cash)
            held = held * (1 + moves[t])
        return w

    return weigh


def laggard(_: np.random.Generator, moves: Floats) -> Floats:
    """Puts an equal part of the money every week into what has risen least since the start, and never sells."""
    w, held, cash = np.zeros(moves.shape), np.zeros(moves.shape[1]), 1.0
    since = np.cumsum(moves, axis=0)
    for t in range(WARM, len(moves)):
        if t % 5 == 0:
            bought = min(5 / (len(moves) - WARM), cash)
            held[since[t - 1].argmin()] += bought
            cash -= bought
        w[t] = held / (held.sum() + cash)
        held = held * (1 + moves[t])
    return w


def anchored(_: np.random.Generator, moves: Floats) -> Floats:
    """Half of the money, more as far as the price is below where a known trend from its start has it, less above."""
    gap = np.cumsum(np.vstack([np.zeros((1, moves.shape[1])), moves[WARM:-1] - DRIFT]), axis=0)
    return np.vstack([np.zeros((WARM, moves.shape[1])), weekly(np.clip(0.5 - gap, 0.0, 1.0)[::5], len(gap))])


def reverting_pair(_: np.random.Generator, moves: Floats) -> Floats:
    """Long the one of two that has risen less since the start, short the other, by twice the gap, up to one half."""
    gap = np.cumsum(np.vstack([np.zeros((1, 2)), moves[WARM:-1]]), axis=0)
    side = weekly(np.clip(2 * (gap[:, 1] - gap[:, 0]), -0.5, 0.5)[::5], len(gap))
    return np.vstack([np.zeros((WARM, 2)), np.column_stack([side, -side])])


def informed(ic: float) -> Weigh:
    """Holds half in each symbol in the weeks a signal of that correlation with the week's return is above 0."""

    def weigh(rng: np.random.Generator, moves: Floats) -> Floats:
        weeks = np.add.reduceat(moves, np.arange(0, len(moves), 5), axis=0)
        scale = SPREAD * math.sqrt(5)
        signal = ic * (weeks - 5 * DRIFT) / scale + math.sqrt(1 - ic * ic) * rng.normal(size=weeks.shape)
        return weekly(0.5 * (signal > 0), len(moves))

    return weigh


def drawn(p: float, loss: float) -> Series:
    return lambda rng, n, count: (
        rng.normal(scale=0.5, size=(count, n)) + np.where(rng.random((count, n)) < p, -loss, 1.0)
    )


def nvidia(rng: np.random.Generator, n: int, count: int) -> Iterator[tuple[Floats, float]]:
    """Weekly coins over stretches of NVDA's sample bars, which begin at random."""
    moves = sample_moves("NVDA")
    starts = rng.integers(0, len(moves) - n + 1, count)
    return (beyond(coins(rng, one), one) for one in (moves[at : at + n, None] for at in starts))


@cache
def sample_moves(symbol: str) -> Floats:
    folder = Path(__file__).parents[1] / "data"
    bars = load_bars([symbol, "BIL"], folder, first=date(2018, 1, 2), last=date(2024, 12, 30)).bars
    moves = bars.close[1:] / bars.close[:-1] - 1.0
    return moves[:, 0] - moves[:, 1]


def bulls(shocks: Series) -> dict[str, Tested]:
    return {
        "buys 20-session dips": book(dips(20), shocks),
        "buys 60-session dips": book(dips(60), shocks),
        "follows the 50-session trend": book(lambda _, moves: 0.5 * (trend_of(moves, 50) > 0), shocks),
        "doubles down": book(double_down, shocks),
        "a little more every session": book(ramp, shocks),
        "out for half of the time, then in": book(late, shocks),
        "buys every week, never sells": book(saver(after_losses=False), shocks),
        "buys after losing weeks, never sells": book(saver(after_losses=True), shocks),
        "buys the laggard of 20, never sells": book(laggard, shocks, 20),
    }


NULLS: dict[str, Tested] = {
    "noise: iid normal": bare(independent),
    "noise: Student t, 4 degrees": bare(lambda rng, n, count: rng.standard_t(4, (count, n))),
    "noise: AR(1), 0.2": bare(ar1),
    "noise: GARCH-t": bare(garch),
    "skewed: 1 − Exp(1)": bare(lambda rng, n, count: 1.0 - rng.exponential(size=(count, n))),
    "skewed: gamma, skew −4": bare(lambda rng, n, count: 0.5 - rng.gamma(0.25, 2.0, (count, n))),
    "skewed: puts that lose in 5 %": bare(drawn(0.05, 19.0)),
    "bull: weekly coin a symbol": book(coins),
    "bull: weekly graded coin a symbol": book(graded),
    "bull: weekly picker, fully invested": book(pick),
    "bull: long one, short the other": book(neutral),
    "bull: constant tilt and noise": book(tilt),
    **{f"bull: {name}": series for name, series in bulls(garch).items()},
    **{f"iid bull: {name}": series for name, series in bulls(independent).items()},
    "NVDA's bars: weekly coin": nvidia,
}
UNTESTABLE: dict[str, Tested] = {
    "iid bull: anchored to the starting price": book(anchored, independent, 1),
    "a disaster in 1 %": bare(drawn(0.01, 99.0)),
}

BOUNDS = {"skewed": 6.5, "doubles down": 8.0, "": 5.0}
"""Percent called skill at most, by a part of the name: the first that fits."""


def bound(name: str, replicates: int) -> float:
    """Percent up to which chance takes a share at its bound, at 99 %."""
    most = next(most for part, most in BOUNDS.items() if part in name)
    return most + 233 * math.sqrt(most / 100 * (1 - most / 100) / replicates)


def p_values(tested: Tested, n: int, replicates: int) -> Floats:
    """(R,) p of each history as one trial; 1 where undefined. The seed is that of the length."""
    found = [mean_test(d, level) for d, level in tested(np.random.default_rng(n), n, replicates)]
    return np.array([1.0 if isinstance(one, Undefined) else one.p for one in found])


def share(p: Floats, trials: float = 1) -> float:
    """Percent below 0.05 as the best of so many trials."""
    return 100.0 * float(np.mean([p_of_trials(one, trials) < 0.05 for one in p.tolist()]))


def best(p: Floats, of: int) -> Floats:
    """The smallest p of each `of` in a row, as the best of so many."""
    return p[: len(p) // of * of].reshape(-1, of).min(axis=1)


def noncentral(ratio: float, n: int, trials: float = 1) -> float:
    """Power in percent of Student's t with the EWC degrees of freedom at a true ratio per session."""
    level = 1.0 - 0.95 ** (1.0 / trials)
    low, high = 0.0, 1e3
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if student_sf(middle, cosines(n)) > level else (low, middle)
    return 100.0 * (1.0 - student_cdf(low, cosines(n), ratio * math.sqrt(n)))


def true_ratio(tested: Tested, n: int, sessions: int = 2_000_000) -> float:
    """Ratio per session of histories of n, over so many sessions in all: where volatility comes in clusters, it takes
    many histories, and is another in short ones."""
    rng, count = np.random.default_rng(1), 100
    d = np.array([one for _ in range(max(1, sessions // (n * count))) for one, _ in tested(rng, n, count)])
    return float(d.mean() / d.std())


def table(head: str, columns: tuple[str, ...], rows: Iterator[tuple[str, list[str]]]) -> str:
    lines = [f"| {head} | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for name, cells in rows:
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


CAUTIONED: dict[str, tuple[Weigh, int]] = {
    "iid bull: anchored to the starting price": (anchored, 1),
    "iid bull: the same, two symbols": (anchored, 2),
    "iid bull: long the laggard, short the leader": (reverting_pair, 2),
    "iid bull: weekly coin a symbol": (coins, 2),
    "iid bull: buys 20-session dips": (dips(20), 2),
    "iid bull: buys 60-session dips": (dips(60), 2),
    "iid bull: follows the 50-session trend": (lambda _, moves: 0.5 * (trend_of(moves, 50) > 0), 2),
    "iid bull, IC 0.3": (informed(0.3), 2),
}


def cautions(replicates: int) -> Iterator[tuple[str, list[str]]]:
    """Of books, those that pass, and of these those that carry the word on books anchored to their starting prices."""
    for name, (weigh, symbols) in CAUTIONED.items():
        cells = []
        for n in LENGTHS:
            rng = np.random.default_rng(n)
            moves = DRIFT + SPREAD * np.stack([independent(rng, n + WARM, replicates) for _ in range(symbols)], axis=-1)
            anchors = []
            for one in moves:
                w, x = weigh(rng, one)[WARM:], one[WARM:]
                d, level = beyond(w, x)
                found = mean_test(d, level)
                if not isinstance(found, Undefined) and found.p < 0.05:
                    anchors.append(anchoring(w, x))
            told = f" ({100 * np.mean(np.array(anchors) <= ANCHORED):.0f})" if anchors else ""
            cells.append(f"{100 * len(anchors) / replicates:.1f}{told}")
        yield name, cells


def sizes(replicates: int) -> Iterator[tuple[str, list[str]]]:
    for name, series in {**NULLS, **UNTESTABLE}.items():
        found = [share(p_values(series, n, replicates)) for n in LENGTHS]
        over = [" **!**" if name in NULLS and one > bound(name, replicates) else "" for one in found]
        yield name, [f"{one:.1f}{mark}" for one, mark in zip(found, over, strict=True)]


def best_sizes(replicates: int) -> Iterator[tuple[str, list[str]]]:
    for name in ("noise: iid normal", "noise: GARCH-t", "skewed: 1 − Exp(1)", "bull: weekly coin a symbol"):
        found = [share(best(p_values(NULLS[name], n, replicates), BEST_OF), BEST_OF) for n in LENGTHS]
        yield name, [f"{one:.1f}" for one in found]


def powers(replicates: int) -> Iterator[tuple[str, list[str]]]:
    for market, shocks, ic in (("iid", independent, 0.1), ("iid", independent, 0.2), ("iid", independent, 0.3),
                               ("GARCH-t", garch, 0.2)):  # fmt: skip
        series = book(informed(ic), shocks)
        ratio = {n: true_ratio(series, n) for n in LENGTHS}
        p = {n: p_values(series, n, replicates) for n in LENGTHS}
        for trials in (1, 20, 1000):
            cells = [f"{share(p[n], trials):.0f} ({noncentral(ratio[n], n, trials):.0f})" for n in LENGTHS]
            known = f"{market} bull, IC {ic:g} (true ratio {ratio[1000]:.3f} a session)"
            yield f"{known}, {trials:,} trial{'s'[: trials > 1]}", cells


class Replay:
    """Symbols over a period of the sample, played by the kernel and judged by the verdict, each run for itself."""

    def __init__(self, symbols: tuple[str, ...], first: str, last: str) -> None:
        workspace = find_workspace(Path(__file__).parents[1])
        self.config = load_config(workspace.config)
        self.rules = TradingRules.from_config(self.config)
        rule = load_rule(workspace.strategies / "random_entry.py")
        span = (date.fromisoformat(first), date.fromisoformat(last))
        points = points_of(rule, self.config.schedule)
        self.inputs = load_inputs(symbols, *span, rule.window, points, workspace, self.config).inputs
        self.free = measure.risk_free(self.inputs, CASH)
        self.file = workspace.strategies / "random_entry.py"
        self.market = kernel.PreparedMarket.of(self.inputs.traded, self.inputs.opening_marks)

    def shipped(self, seed: int) -> Tape:
        """What the shipped coin decides."""
        rule = load_rule(self.file, {"seed": seed})
        decisions = [rule.decide(snapshot) for snapshot in self.inputs.snapshots]
        return Tape.from_decisions(decisions, self.inputs.bars.symbols)

    def drawn(self, weigh: Weigh, seed: int) -> Tape:
        """What a book that looks at nothing decides at the same instants."""
        at = self.inputs.instants
        weight = weigh(np.random.default_rng(seed), np.zeros((5 * len(at), len(self.inputs.bars.symbols))))[::5]
        nothing = np.full(weight.shape, np.nan)
        return Tape(at, self.inputs.bars.symbols, weight, nothing, nothing, nothing)

    def skill(self, tape: Tape) -> SkillRecord:
        ledger = kernel.Batch.of(self.market, tape, self.rules.execution, CASH).ledger(0)
        cash = self.config.assets.cash_instrument
        return skill_record(skill_series(ledger, tape, self.rules.execution, CASH, self.free, cash))


def standing(skill: SkillRecord, trials: float) -> str:
    """The word of the verdict."""
    return judge(
        {
            "from": "", "to": "", "partial": False, "sessions": skill["sessions"], "analysts": None, "metrics": {},
            "reasons": {}, "inference": {"trials": trials}, "skill": skill, "benchmarks": {},
            "replicates": {"count": 1},
            "contamination": None, "shortfalls": {"meetings": 0, "answers": 0, "failed": [], "no_decision": []},
            "llm": {"calls": 0, "failed": 0, "cost_usd": 0.0, "analysts": None, "models": [], "cache_entries": ""},
        }
    ).standing  # fmt: skip


PAIR = ("SPY", "QQQ")
SAMPLE: dict[str, tuple[tuple[str, ...], Weigh | None]] = {
    "random_entry, as shipped": (PAIR, None),
    "graded coin a symbol": (PAIR, graded),
    "picker at 100 %": (PAIR, pick),
    "long one, short the other": (PAIR, neutral),
    "constant tilt and noise": (PAIR, tilt),
    "NVDA alone: coin": (("NVDA",), coins),
}
"""Books by name: the symbols, and how they are weighed; None is the shipped rule."""


def on_the_sample(seeds: int) -> Iterator[tuple[str, list[str]]]:
    """Percent called skill, and beside it "paid for holding the market", by period; then that of the best of 20, with
    20 trials, of which there are `seeds`."""
    exposure.DRAWS = 1  # of the interval beside the verdict, which decides nothing
    for name, (symbols, weigh) in SAMPLE.items():
        every, best_of = [], []
        for period in PERIODS:
            replay = Replay(symbols, *period)
            tapes = (replay.drawn(weigh, n) if weigh else replay.shipped(n) for n in range(seeds * BEST_OF))
            skills = [replay.skill(tape) for tape in tapes]
            words = [standing(one, 1) for one in skills]
            over = " **!**" if percent_of(words, "skill") > bound(name, len(words)) else ""
            every.append(f"{percent_of(words, 'skill'):.1f} ({percent_of(words, 'paid'):.0f}){over}")
            groups = [skills[at : at + BEST_OF] for at in range(0, len(skills), BEST_OF)]
            tops = [standing(min(some, key=lambda one: one["p"] or 1.0), BEST_OF) for some in groups]
            over = " **!**" if percent_of(tops, "skill") > bound(name, len(tops)) else ""
            best_of.append(f"{percent_of(tops, 'skill'):.1f}{over}")
        yield name, every
        yield f"{name}: the best of {BEST_OF}, {BEST_OF} trials", best_of


def percent_of(words: list[str], word: str) -> float:
    return 100.0 * words.count(word) / len(words)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--replicates", type=int, default=100)
    options.add_argument("--seeds", type=int, default=20)
    options.add_argument("--only", choices=("size", "best", "anchored", "power", "sample"))
    options.add_argument("--write", action="store_true")
    given = options.parse_args()
    lengths, periods = tuple(f"n = {n}" for n in LENGTHS), tuple(f"{a[:4]} to {b[:4]}" for a, b in PERIODS)
    parts = {
        "size": ("% with p < 0.05", lengths, sizes(given.replicates)),
        "best": (f"% with p < 0.05, the best of {BEST_OF}", lengths, best_sizes(4 * given.replicates)),
        "anchored": ("% with p < 0.05 (of these, % with the word)", lengths, cautions(given.replicates)),
        "power": ("% found (by the noncentral t)", lengths, powers(given.replicates)),
        "sample": ("% skill (% paid)", periods, on_the_sample(given.seeds)),
    }
    for name, part in parts.items():
        if given.only in (None, name):
            content = table(*part)
            if given.write:
                write_table("verdict.md", name, content)


if __name__ == "__main__":
    main()
