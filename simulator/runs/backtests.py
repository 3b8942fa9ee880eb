"""Backtests within a replay, on the bars it has seen so far: part of the procedure, recorded there and no trials.

Wanted, Snapshot ─► bars cut at simulated now ─► kernel ─► Backtest, Sensitivity

Rules alone are played: they ask nobody and take no time. A result is known by its id at its own instant and no longer,
so that a replay which begins in the middle decides as one that came all the way.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from simulator.config import Config, override_config
from simulator.desk.backtests import Backtest, Report, Sensitivity, Setting, Wanted, unheard
from simulator.errors import SimError, UsageError, did_you_mean
from simulator.evidence.writer import session_ends
from simulator.market.bars import Bars, Floats, Snapshot
from simulator.market.calendar import day_number
from simulator.market.daily import closed_sessions
from simulator.number_format import counted
from simulator.replay.inputs import ReplayInputs
from simulator.replay.run import Replayed, replay_strategy
from simulator.rules import RuleStrategy
from simulator.runs import measure
from simulator.runs.exposure import SkillSeries, skill_series
from simulator.runs.identity import digest_of
from simulator.runs.load_inputs import LoadedInputs, schedule_again
from simulator.runs.spec import RunSpec
from simulator.runs.strategies import available, load_strategy
from simulator.stats.bootstrap import block_length
from simulator.stats.many import Resampling, compare_many, varying
from simulator.stats.metrics import Summary
from simulator.stats.overfitting import backtest_overfitting
from simulator.stats.series import Undefined
from simulator.stats.skill import mean_test, p_of_all, p_values
from simulator.trading.cycle import TradingRules
from simulator.trading.round_trips import round_trips
from simulator.trading.strategy import points_of

T = TypeVar("T")

FEWEST_DECISIONS = 20
"""As in `analysis.verdict`."""
SESSIONS_A_BLOCK, MOST_BLOCKS = 10, 16
"""Of the probability of overfitting, as in `studies.inference`."""


@dataclass(frozen=True, eq=False)
class BacktesterWithin:
    """Backtests of the rules in the folder `strategies` under `config`, on what a snapshot knows."""

    strategies: Path
    config: Config
    _made: dict[tuple[datetime, str], Backtest] = field(default_factory=dict)

    def run(self, wanted: Wanted, market: Snapshot, report: Report) -> Backtest:
        """Return the backtest `wanted` on the sessions of `market` that are over. Raises SimError."""
        played = apart(partial(self._play, wanted, market, report))
        tested = mean_test(played.skill.parts.beyond, played.skill.level)
        decisions = int(played.skill.decided.sum())
        few = f"{counted(decisions, 'decision')}: too few to tell choosing from luck"
        p = None if isinstance(tested, Undefined) else tested.p
        found = "cannot be told from luck" if p is None or p >= 0.05 else "skill beyond its exposure"
        made = Backtest(
            id=f"at-{digest_of([market.as_of, described(wanted)])[:10]}",
            counts=False,
            wanted=wanted,
            cash=played.cash,
            sessions=played.days,
            equity=played.equity,
            trips=round_trips(played.replayed.ledger),
            metrics=played.summary.values,
            reasons=played.summary.reasons,
            p=p,
            trials=1.0,
            verdict=f"{found}, as one trial" if decisions >= FEWEST_DECISIONS else few,
            notes=("made within a replay: not in the registry, and whatever else was tried is not counted",),
        )
        for key in [key for key in self._made if key[0] != market.as_of]:
            del self._made[key]
        self._made[market.as_of, made.id] = made
        return made

    def find(self, name: str, market: Snapshot) -> Backtest:
        """Return the backtest made under that id at this instant. Raises UsageError for another."""
        known = [made for at, made in self._made if at == market.as_of]
        if name not in known:
            raise UsageError(f'no backtest "{name}" at this time{did_you_mean(name, known)}', mend="run_backtest first")
        return self._made[market.as_of, name]

    def sweep(
        self, wanted: Wanted, swept: Mapping[str, Sequence[Setting]], market: Snapshot, report: Report
    ) -> Sensitivity:
        """Return `wanted` in every combination of `swept`. Raises SimError where no member can be played."""
        settings = [dict(zip(swept, values, strict=True)) for values in itertools.product(*swept.values())]
        members, failed = list[_Played | None](), dict[int, str]()
        for n, own in enumerate(settings):
            report(n, len(settings), "members")
            one = replace(wanted, parameters={**wanted.parameters, **own})
            try:
                members.append(apart(partial(self._play, one, market, unheard)))
            except SimError as error:
                failed[n] = str(error)
                members.append(None)
        report(len(settings), len(settings), "members")
        known = [one for one in members if one is not None]
        if not known:
            raise UsageError(f"every member failed, the first so: {failed[0]}")
        p, best, overfitting, reason = _compare(members)
        figures = {
            name: np.array([one.summary.values[name] if one else None for one in members], dtype=np.float64)
            for name in ("sharpe", "total_return", "max_drawdown")
        }
        return Sensitivity(
            id=f"at-{digest_of([market.as_of, described(wanted), {k: list(v) for k, v in swept.items()}])[:10]}",
            counts=False,
            wanted=wanted,
            sessions=(known[0].days[0], known[0].days[-1]),
            settings=settings,
            p=p,
            best=best,
            p_of_all=float(p[best]),
            overfitting=overfitting,
            reason=reason,
            failed=failed,
            **figures,
        )

    def _play(self, wanted: Wanted, market: Snapshot, report: Report) -> _Played:
        spec = RunSpec(
            check_name(wanted.strategy, self.strategies), wanted.symbols, wanted.first, parameters=wanted.parameters
        )
        config = override_config(self.config, spec.overrides)
        if not (self.strategies / f"{wanted.strategy}.py").is_file():
            raise UsageError(f"{wanted.strategy} is no rule", mend="within a replay only rules are played")
        loaded = load_strategy(wanted.strategy, self.strategies, None, spec.own, len(wanted.symbols))
        if not isinstance(loaded.strategy, RuleStrategy):
            raise UsageError(f"{wanted.strategy} changes at dates", mend="leave @DATE out")
        bars, start, last = cut_bars(wanted, market)
        context = market.context.bars if market.context is not None else bars.select(())
        none = np.empty(0, dtype=np.int64)
        inputs = ReplayInputs(bars, context, start, none, market.events, (), market.news, engine="kernel")
        staged = LoadedInputs(inputs, last, last, ())
        inputs = schedule_again(staged, points_of(loaded.strategy, config.schedule), config).inputs
        rules, cash = TradingRules.from_config(config), config.accounts.cash

        def heard(_stage: str, done: int, total: int, session: str) -> None:
            report(done, total, session)

        done = replay_strategy(loaded.strategy, inputs, rules, cash, heard)
        free = measure.risk_free(inputs, cash)
        instrument = config.assets.cash_instrument
        skill = skill_series(done.ledger, done.tape, rules.execution, cash, free, instrument)
        return _Played(done, measure.account(done.ledger, cash, free), skill, cash)


@dataclass(frozen=True, eq=False)
class _Played:
    replayed: Replayed
    summary: Summary
    skill: SkillSeries
    cash: float

    @property
    def days(self) -> tuple[date, ...]:
        bars = self.replayed.ledger.bars
        return tuple(bars.dates[session_ends(bars)].tolist())

    @property
    def equity(self) -> Floats:
        ledger = self.replayed.ledger
        return np.asarray(ledger.equity[session_ends(ledger.bars)])


def cut_bars(wanted: Wanted, market: Snapshot) -> tuple[Bars, int, date]:
    """Return the bars of `market` that a backtest reads, the row at which it starts, and its last session.

    Raises UsageError for symbols that are not there, and where no two sessions are.
    """
    for symbol in wanted.symbols:
        if not market.has(symbol):
            near = did_you_mean(symbol, market.symbols)
            raise UsageError(f'no bars of "{symbol}" by now{near}', mend=f"there are {', '.join(market.symbols)}")
    over = closed_sessions(market)
    last = min(over.session, wanted.last or over.session) if len(over) else wanted.first
    bars = market.bars.select(wanted.symbols)
    bars = bars.rows(0, int(np.searchsorted(bars.session_of, day_number(last), side="right")))
    start = int(np.searchsorted(bars.session_of, day_number(wanted.first)))
    if start == 0 and len(bars):  # a first decision needs a close before it
        start = int(np.searchsorted(bars.session_of, bars.session_of[0], side="right"))
    if start >= len(bars) - 1:
        raise UsageError(f"bars from {wanted.first} to {last} are too few to trade on", mend="choose a longer period")
    return replace(bars), start, last


def check_name(name: str, folder: Path) -> str:
    """Return `name`. Raises UsageError for what is no strategy of the workspace: who asks may be a model, and a path
    would be any program on this machine."""
    names = available(folder)
    if name not in names:
        raise UsageError(f'no strategy "{name}"{did_you_mean(name, names)}', mend=f"there are {', '.join(names)}")
    return name


def described(wanted: Wanted) -> list[object]:
    """Return what tells one backtest from another, JSON-able."""
    return [wanted.strategy, list(wanted.symbols), wanted.first, wanted.last, dict(wanted.parameters)]


def apart(work: Callable[[], T]) -> T:
    """Return what `work` returns in a thread of its own: whoever asks may have an event loop running."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(copy_context().run, work).result()


def _compare(members: Sequence[_Played | None]) -> tuple[Floats, int, float | None, str]:
    """Return (N,) p of each as one of all, the best, and the probability of overfitting or why there is none; as
    `studies.inference` has them. Members that decided too little set no bar, and are chosen where no other is."""
    at = np.flatnonzero([one is not None for one in members])
    played = [one.skill for one in members if one is not None]
    rows, levels = np.array([one.parts.beyond for one in played]), np.array([one.level for one in played])
    able = np.array([one.decided.sum() >= FEWEST_DECISIONS and one.held.any() for one in played])
    lengths = [block_length(row) for row in rows[varying(rows)]]
    how = Resampling(block=float(np.mean(lengths)) if lengths else 1.0)
    many = compare_many([rows], how, levels, able if able.any() else None)
    if not many.null.size:
        many = compare_many([rows], how, levels)
    p, ratio = np.ones(len(members)), np.full(len(members), -np.inf)
    p[at], ratio[at] = (
        np.maximum(p_of_all(many, levels), p_values(rows, levels)),
        np.nan_to_num(many.ratio, nan=-np.inf),
    )
    judged = np.isfinite(many.ratio) & (able if (able & np.isfinite(many.ratio)).any() else True)
    among = at[judged] if judged.any() else at
    best = int(among[np.lexsort((among, -ratio[among], p[among]))[0]])
    blocks = min(MOST_BLOCKS, rows.shape[1] // SESSIONS_A_BLOCK // 2 * 2)
    if blocks < 2 or judged.sum() < 2 or not np.ptp(rows[judged], axis=0).any():
        return p, best, None, "fewer than two members to choose from, or too few sessions"
    return p, best, backtest_overfitting(rows[judged].T, blocks).probability, ""
