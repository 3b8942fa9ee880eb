"""Inputs of a sweep: bars that are loaded and prepared once, and each member as the kernel takes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.config import Config, Seat, load_config, override_config
from simulator.desk.spec import DeskDefinition
from simulator.desk.strategy import Desk
from simulator.errors import UsageError
from simulator.evidence.sweep_records import MemoryRecord
from simulator.llm.cutoffs import cutoffs_of, grey_until, language_models, latest_cutoff
from simulator.llm.registry import seats
from simulator.llm.spending.prices import Prices
from simulator.market.bars import Bars, Floats
from simulator.replay.kernel.market import PreparedMarket
from simulator.replay.prefetch import Progress
from simulator.replay.tape import Tape
from simulator.rules import Occasions, Rule, RuleStrategy
from simulator.rules.base import exits_of, refuse_other_vector_form
from simulator.rules.exits import NO_EXITS, Exits
from simulator.runs.identity import digest_of
from simulator.runs.load_inputs import LoadedInputs, find_benchmark, load_inputs, refuse_splits, schedule_again
from simulator.runs.measure import risk_free
from simulator.runs.spec import RunSpec, split_parameters
from simulator.runs.strategies import SEATS, Loaded, Nobody, Seating, find_strategy, is_desk_file, load_strategy
from simulator.studies.council_tapes import CouncilTape, override_trade
from simulator.studies.study import Study
from simulator.trading.cycle import TradingRules
from simulator.trading.schedule import Point
from simulator.trading.strategy import points_of, seats_of
from simulator.workspace import Workspace

TRADE = "trade."
"""Beginning of a council's parameters that no question shows."""

SHOWN = ("schedule.", "costs.cash_interest")
"""Keys of ``config/`` that decide when a question is put, or what is in the bars it is made of."""


FEWEST_SESSIONS = 60
"""As in `analysis.verdict`: fewer show nothing."""

MOST_STAGED = 2**28
"""Bytes of closes of the inputs that are kept ready for members of different histories; with what is worked out on them
it is two and a half times as much."""


class Member(NamedTuple):
    """One member ready to play: its rule, what its council decided, or its desk, which asks nobody here; the rules of
    trading, and what its decisions rest on.

    `history` (sessions before the first), `points`, `weekday` and `interest` (on idle cash) decide which inputs it
    reads: members that agree in them share.
    """

    number: int
    rule: Rule | None
    rules: TradingRules
    cash: float
    history: int
    points: tuple[Point, ...]
    weekday: str
    interest: str | float
    tape: Tape | None = None
    desk: Desk | None = None
    exits: Exits = NO_EXITS

    @property
    def place(self) -> tuple[Any, ...]:
        """Key of what `SweepInputs.staged`, `market` and `occasions` depend on, quick to compare while members live."""
        return self.history, id(self.points), self.weekday, self.interest, self.cash

    @property
    def priced(self) -> bool:
        """True where a decision names prices."""
        return self.rule is None or self.exits.priced


MOST_CONFIGURED = 1_000
"""Settings of config/ held at once: drawn costs are others for every member."""


@dataclass(frozen=True, eq=False)
class _Settings:
    """Parts of ``config/`` with the keys of a member in place."""

    config: Config
    rules: TradingRules
    points: dict[str, tuple[Point, ...]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class SweepInputs:
    """A study and the workspace it reads. Sent to another process, it takes along what it has read: all that members
    need, after `prepare`."""

    study: Study
    workspace: Workspace
    _read: dict[str, Any] = field(default_factory=dict)
    """`inputs` with the longest `history` read so far."""
    decided: dict[str, CouncilTape] = field(default_factory=dict)
    """Decisions of the councils by `council_key`, once they were asked (:mod:`simulator.studies.ask_councils`)."""
    tapes: dict[int, Tape] = field(default_factory=dict, init=False)
    """Decisions of members that are desks, those played last (:mod:`simulator.studies.desk_tapes`)."""
    heard: list[Progress] = field(default_factory=list, init=False)
    """Called while a desk is played in this process."""

    def __getstate__(self) -> dict[str, Any]:
        kept = ["study", "workspace", "_read", "decided", "config", "kind", "definition"]
        kept += ["strategy"] if self.kind == "rule" else []  # templates of prompts do not travel
        return {name: value for name, value in vars(self).items() if name in kept} | {"tapes": {}, "heard": []}

    def prepare(self) -> SweepInputs:
        """Read all that members need, the bars for the longest history of any. Raises as `member` and `staged`."""
        self.staged(max(map(self.member, range(self.study.space.known)), key=lambda one: one.history))
        return self

    @cached_property
    def config(self) -> Config:
        return load_config(self.workspace.config)

    @cached_property
    def reading(self) -> Workspace:
        return self.workspace.reading(self.study.base.bars)

    def member(self, number: int) -> Member:
        """Return member `number`. Raises UsageError and ConfigError as its `sim run` would."""
        return self.members([number], [self.study.space.settings(number)])[0]

    def members(self, numbers: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> list[Member]:
        """Return the members of `numbers`, whose settings are `rows`, as `member` gives each."""
        if self.kind != "rule":
            make = self._council_member if self.of_council else self._desk_member
            return [make(number) for number in numbers]
        base, found = self.study.base, list[Member]()
        own, overrides = split_parameters(name for name in rows[0] if name != "models")
        fixed_own = base.own
        rules = self._rules(numbers, [{**fixed_own, **{n: row[n] for n in own}} for row in rows])
        fixed, settings = base.overrides, self.settings(base.overrides)
        for number, rule, row in zip(numbers, rules, rows, strict=True):
            if overrides:
                settings = self.settings({**fixed, **{name: row[name] for name in overrides}})
            schedule, cash = settings.config.schedule, settings.config.accounts.cash
            # By cadence: asking what else a strategy might be takes longer than all the rest.
            points = settings.points.get(rule.cadence)
            if points is None:
                points = settings.points.setdefault(rule.cadence, points_of(RuleStrategy(rule), schedule))
            interest = settings.config.costs.cash_interest
            place = rule.window, points, schedule.weekday, interest
            found.append(Member(number, rule, settings.rules, cash, *place, exits=exits_of(rule)))
        return found

    def _council_member(self, number: int) -> Member:
        spec = self.study.spec(number)
        settings = self.settings(spec.overrides)
        decided, config = self.decided[self.council_key(spec)], settings.config
        tape = decided.tape(override_trade(decided.spec, split_own(spec)[1]))
        place = decided.window, decided.points, config.schedule.weekday, config.costs.cash_interest
        return Member(number, None, settings.rules, config.accounts.cash, *place, tape)

    def _desk_member(self, number: int) -> Member:
        spec = self.study.spec(number)
        settings = self.settings(spec.overrides)
        own = {name: value for name, value in spec.own.items() if not name.startswith(SEATS)}
        desk, config = Desk(self.definition.override(own)), settings.config
        points = settings.points.setdefault(repr(desk.points), points_of(desk, config.schedule))
        place = desk.window, points, config.schedule.weekday, config.costs.cash_interest
        return Member(number, None, settings.rules, config.accounts.cash, *place, desk=desk)

    def council_key(self, spec: RunSpec) -> str:
        """Return what tells the councils of two members apart: all that a question may show."""
        shown = {name: value for name, value in spec.overrides.items() if name.startswith(SHOWN)}
        return json.dumps([spec.models, split_own(spec)[0], shown], sort_keys=True, default=str)

    def settings(self, overrides: Mapping[str, object]) -> _Settings:
        """Return config and rules of trading with `overrides` in place, the same object for equal ones."""
        key = json.dumps(overrides, sort_keys=True, default=str)
        found = self._configured.get(key)
        if found is None:
            if len(self._configured) >= MOST_CONFIGURED:
                self._configured.clear()
            config = override_config(self.config, overrides)
            found = self._configured[key] = _Settings(config, TradingRules.from_config(config))
        return found

    @cached_property
    def _configured(self) -> dict[str, _Settings]:
        return {}

    def _rules(self, numbers: Sequence[int], own: Sequence[Mapping[str, Any]]) -> list[Rule]:
        first = self.rule
        if dated := [name for name in own[0] if "@" in name]:
            mend = "settings of a member hold throughout; --walk-forward changes them as it goes along"
            raise UsageError(f"{dated[0]} changes at a date", mend=mend)
        try:
            rules = type(first).of_many(own)
            for rule in rules:
                rule.name, rule.file = first.name, first.file
                _ = int(rule.window)
            return rules
        except Exception:  # loaded once more for the error that tells file and line
            for number in numbers:
                self._load(self.study.spec(number))
            raise

    @cached_property
    def kind(self) -> Literal["rule", "council", "desk"]:
        """Kind of strategy."""
        name = self.study.base.strategy
        if not isinstance(name, str) or (path := find_strategy(name, self.workspace.strategies)).suffix == ".py":
            return "rule"
        return "desk" if is_desk_file(path) else "council"

    @property
    def of_council(self) -> bool:
        """True where what was said of the market is all that members need, whatever their account."""
        return self.kind == "council"

    @cached_property
    def definition(self) -> DeskDefinition:
        """The desk as its first member has it. Raises UsageError for another strategy."""
        strategy = self.strategy.strategy
        if not isinstance(strategy, Desk):
            raise UsageError(f"{strategy.name} is no desk")
        return strategy.definition

    @cached_property
    def asks_in_turn(self) -> bool:
        """True where members are desks with agents: they are asked date by date, as their account is then."""
        shown = map(self.member, self.study.space.examples()) if self.kind == "desk" else ()
        return any(one.desk is not None and one.desk.definition.spec.agents for one in shown)

    @cached_property
    def budget_name(self) -> str:
        """Name under which what the members ask is paid."""
        made_of = [self.study.described(), self.config.dump(), dict(self.strategy.files)]
        return f"sweep-{digest_of(made_of)[:10]}"

    @cached_property
    def strategy(self) -> Loaded:
        """The strategy as the first member has it. A council of it asks nobody."""
        return self._load(self.study.spec(0))

    @property
    def rule(self) -> Rule:
        """The rule as the first member has it. Raises UsageError for a strategy that is none."""
        strategy = self.strategy.strategy
        if not isinstance(strategy, RuleStrategy):
            raise UsageError(f"{strategy.name} is no rule", mend="sweep a rule strategy, e.g. sma_cross")
        return strategy.rule

    @property
    def name(self) -> str:
        """Name of the strategy."""
        return self.strategy.strategy.name

    @property
    def by_step(self) -> bool:
        """True where the members are asked date by date and put no question."""
        if self.kind == "desk":
            return not self.asks_in_turn
        return not self.of_council and type(self.rule).weights_for.__func__ is Rule.weights_for.__func__  # type: ignore[attr-defined]

    def _load(self, spec: RunSpec) -> Loaded:
        seating = None
        if self.kind != "rule":
            config = self.settings(spec.overrides).config
            taken = seats(config.models, spec.models)
            seating = Seating(Nobody("sweep"), taken, tuple(config.accounts.accounts), config=config)
        return load_strategy(spec.strategy, self.workspace.strategies, seating, spec.own, len(spec.symbols))

    def staged(self, member: Member) -> LoadedInputs:
        """Return the inputs of `member`, the same object for all that agree in history, points, weekday, interest.

        Bars are read once, for the longest history there was need of. A shorter one is cut from it, and other points
        are scheduled on it: what comes of it is what its `sim run` loads.
        """
        return self.stage(member.history, member.points, member.weekday, member.interest)

    def stage(self, history: int, points: tuple[Point, ...], weekday: str, interest: str | float) -> LoadedInputs:
        """Return the inputs of members with these."""
        key, base = (history, points, weekday, interest), self.study.base
        found = self._staged.get(key)
        if found is None:
            config = self.settings({"schedule.weekday": weekday, "costs.cash_interest": interest}).config
            longest = self._read.get("history", -1)
            if history > longest or (history < 1 and longest > 0):
                period = base.first, base.last, history, points
                made = load_inputs(base.symbols, *period, self.reading, config, self.beside)
                if history > longest:
                    self._read.update(inputs=made, history=history)
            else:
                made = schedule_again(cut_history(self._read["inputs"], history), points, config)
            self._forget_oldest(made)
            found = self._staged.setdefault(key, made)
        return found

    @cached_property
    def beside(self) -> tuple[str, ...]:
        """Series that members are shown beside what they trade. Raises DataError for one without bars."""
        shown = [self.member(number).desk for number in self.study.space.examples()] if self.kind == "desk" else []
        found = (find_benchmark(desk, self.study.base.symbols, self.reading) for desk in shown if desk is not None)
        return tuple(dict.fromkeys(name for names in found for name in names))

    def _forget_oldest(self, one: LoadedInputs) -> None:
        # Other threads may be at it as well: whoever finds nothing to forget leaves it to them.
        with suppress(KeyError, RuntimeError, StopIteration):
            while len(self._staged) > max(8, MOST_STAGED // one.inputs.bars.close.nbytes):
                self._occasions.pop(id(self._staged.pop(next(iter(self._staged)))), None)

    @cached_property
    def _staged(self) -> dict[Any, LoadedInputs]:
        return {}

    def market(self, member: Member) -> PreparedMarket:
        """Return the bars that `member` trades on, the same object for all whose bars are the same."""
        inputs = self.staged(member).inputs
        # A close before the run that a short history does not reach is no opening mark.
        marks = inputs.opening_marks
        key = (len(inputs.traded), inputs.traded.opens_at[0], member.interest, member.cash, marks.tobytes())
        if key not in self._prepared:
            instrument = self.config.assets.cash_instrument
            self._prepared[key] = PreparedMarket.of(inputs.traded, marks, self.free(member), instrument)
        return self._prepared[key]

    @cached_property
    def _prepared(self) -> dict[Any, PreparedMarket]:
        return {}

    def shared(self, member: Member) -> tuple[int, bytes]:
        """Return what members agree in that trade on the same bars at the same instants."""
        key = (member.history, member.points, member.weekday, member.interest, member.cash)
        found = self._shared.get(key)
        if found is None:
            instants = self.staged(member).inputs.instants
            digest = hashlib.sha256(instants.tobytes()).digest()
            found = self._shared[key] = (id(self.market(member)), digest)
        return found

    @cached_property
    def _shared(self) -> dict[Any, tuple[int, bytes]]:
        return {}

    def occasions(self, member: Member) -> Occasions:
        """Return the dates `member` decides on, the same object for all that `staged` is the same for."""
        staged = self.staged(member)
        found = self._occasions.get(id(staged))
        if found is None or found[0] is not staged:
            # Beside the bars and not kept with them: in a ring, what is forgotten would stay in memory for long.
            found = self._occasions[id(staged)] = (staged, Occasions(staged.inputs.bars, staged.inputs.instants))
        return found[1]

    @cached_property
    def _occasions(self) -> dict[int, tuple[LoadedInputs, Occasions]]:
        return {}

    def free(self, member: Member) -> Floats:
        """(S,) risk-free returns."""
        return risk_free(self.staged(member).inputs, member.cash)

    def check(self) -> None:
        """Raise what the members would raise before their first bar: an unknown parameter, a value of the wrong type,
        no such symbol. Loads the bars of the longest history. Of councils the definitions are read, and no bars."""
        if self.of_council:
            for number in self.study.space.examples():
                self._load(self.study.spec(number))
            return
        members = [self.member(number) for number in self.study.space.examples()]
        self.staged(max(members, key=lambda one: one.history))
        for member in members:
            if member.desk is not None:
                refuse_splits(self._load(self.study.spec(member.number)).strategy, self.staged(member))
        for member in (members[0], members[-1]):
            if member.rule is not None:
                refuse_other_vector_form(member.rule, self.occasions(member))

    @cached_property
    def sessions(self) -> NDArray[np.datetime64]:
        """(S,) sessions all members are played on."""
        strategy, config = self.strategy.strategy, self.settings(self.study.spec(0).overrides).config
        place = points_of(strategy, config.schedule), config.schedule.weekday, config.costs.cash_interest
        return np.unique(self.stage(strategy.window, *place).inputs.traded.dates)

    def whole(self) -> SweepInputs:
        """Return the same study with the sessions of its hold-out."""
        study, held = self.study, self.study.hold_out
        last = held.last if held else study.base.last
        return SweepInputs(replace(study, base=replace(study.base, last=last), hold_out=None), self.workspace)

    @cached_property
    def memory(self) -> MemoryRecord | None:
        """Memory of the models that were asked; None where none was."""
        prices = Prices(self.config.models.prices)
        taken: list[Mapping[str, Seat]] = [tape.seats for tape in self.decided.values()]
        if self.asks_in_turn:
            taken = [seats_of(self._load(self.study.spec(n)).strategy) for n in self.study.space.examples()]
        models = [one for each in taken for one in cutoffs_of(each, prices)]
        if not language_models(models):
            return None
        cutoff = latest_cutoff(models)
        after = 0 if cutoff is None else int((self.sessions > np.datetime64(grey_until(cutoff))).sum())
        judged = after if after >= FEWEST_SESSIONS else None
        return {"cutoff": None if cutoff is None else str(cutoff), "after": after, "judged": judged}

    def command(self, number: int) -> str:
        """Return the `sim run` that makes member `number` by itself, with the same result."""
        member = self.member(number)
        return self.study.spec(number).command(self.name, self.staged(member).last)


def is_hidden(name: str) -> bool:
    """Return True for a parameter that no question of a council shows, and none is asked anew for."""
    return name.startswith((TRADE, "costs.", "risk.", "accounts.")) and not name.startswith(SHOWN)


def split_own(spec: RunSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a council's own parameters that a question may show, and those of the trade without their first word."""
    asked = {name: value for name, value in spec.own.items() if not name.startswith(TRADE)}
    return asked, {name.removeprefix(TRADE): value for name, value in spec.own.items() if name not in asked}


def cut_history(widest: LoadedInputs, history: int) -> LoadedInputs:
    """Return `widest`, loaded with at least so many sessions before the first, with `history` of them: all that is
    worked out over whole bars begins where it would if they had been loaded so."""
    inputs = widest.inputs
    sessions = np.unique(inputs.bars.session_of[: inputs.start])
    if history >= len(sessions) or history < 1:
        return widest
    first = int(np.searchsorted(inputs.bars.session_of, sessions[-history]))

    def cut(bars: Bars) -> Bars:
        return replace(bars.rows(first, len(bars)))  # no rows of others any more, but bars of their own

    cut_inputs = replace(inputs, bars=cut(inputs.bars), context=cut(inputs.context), start=inputs.start - first)
    return replace(widest, inputs=cut_inputs)
