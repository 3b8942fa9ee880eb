"""Inputs of a sweep: bars that are loaded and prepared once, and each member as the kernel takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

from simulator.config import Config, load_config, override_config
from simulator.errors import UsageError
from simulator.market.bars import Floats
from simulator.replay.kernel.market import PreparedMarket
from simulator.rules import Rule, RuleStrategy
from simulator.runs.load_inputs import LoadedInputs, load_inputs
from simulator.runs.measure import risk_free
from simulator.runs.strategies import load_strategy
from simulator.studies.study import Study
from simulator.trading.cycle import TradingRules
from simulator.trading.schedule import Point
from simulator.trading.strategy import points_of
from simulator.workspace import Workspace


@dataclass(frozen=True)
class Member:
    """One member ready to play: its rule, the rules of trading, and what its decisions rest on.

    `history` (sessions before the first) and `points` decide which inputs it reads: members that agree in them share.
    """

    number: int
    rule: Rule
    rules: TradingRules
    cash: float
    history: int
    points: tuple[Point, ...]
    weekday: str


@dataclass(frozen=True, eq=False)
class SweepInputs:
    """A study and the workspace it reads."""

    study: Study
    workspace: Workspace

    @cached_property
    def config(self) -> Config:
        return load_config(self.workspace.config)

    @cached_property
    def reading(self) -> Workspace:
        return self.workspace.reading(self.study.base.bars)

    def member(self, number: int) -> Member:
        """Return member `number`. Raises UsageError and ConfigError as its `sim run` would."""
        spec = self.study.spec(number)
        config = override_config(self.config, spec.overrides)
        strategy = load_strategy(spec.strategy, self.workspace.strategies, None, spec.own, len(spec.symbols)).strategy
        if not isinstance(strategy, RuleStrategy):
            raise UsageError(f"{strategy.name} is no rule", mend="sweep a rule strategy, e.g. sma_cross")
        points = points_of(strategy, config.schedule)
        rules, cash = TradingRules.from_config(config), config.accounts.cash
        return Member(number, strategy.rule, rules, cash, strategy.window, points, config.schedule.weekday)

    def staged(self, member: Member) -> LoadedInputs:
        """Return the inputs of `member`, the same object for all that agree in history and points."""
        return self._staged(member.history, member.points, member.weekday)

    @cached_property
    def _staged(self) -> Callable[[int, tuple[Point, ...], str], LoadedInputs]:
        base = self.study.base

        @cache
        def stage(history: int, points: tuple[Point, ...], weekday: str) -> LoadedInputs:
            config = override_config(self.config, {"schedule.weekday": weekday})
            return load_inputs(base.symbols, base.first, base.last, history, points, self.reading, config)

        return stage

    def market(self, member: Member) -> PreparedMarket:
        inputs = self.staged(member).inputs
        return PreparedMarket.of(
            inputs.traded, inputs.opening_marks, self.free(member), self.config.assets.cash_instrument
        )

    def free(self, member: Member) -> Floats:
        """(S,) risk-free returns."""
        return risk_free(self.staged(member).inputs, member.cash)
