"""The base class of rule strategies: it turns target weights into a Decision."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Any, Self, get_args
from weakref import WeakKeyDictionary

import numpy as np

from simulator.errors import UsageError, did_you_mean
from simulator.market.bars import Bars, Floats, Instants, Snapshot
from simulator.rules.exits import NO_EXITS, Exits
from simulator.rules.failure import OTHERS, as_strategy_error, exit_of_strategy
from simulator.rules.occasions import Occasions
from simulator.stopping import refuse_if_stopped
from simulator.trading.model import Book, Cadence, Decision, Target
from simulator.trading.strategy import Reads

CADENCES: tuple[str, ...] = get_args(Cadence)

LIKE_PERCENT = 10.0
"""Weight from which on a percentage was meant: nobody lends ten times what an account holds."""


FORMS_OF_MANY: dict[Any, Callable[[Any, Occasions, Sequence[Mapping[str, Any]]], Floats]] = {}
"""Vector forms, each with the form that takes many sets of parameters at once. Both must read the last `window` bars of
a symbol and nothing before."""

_NAMES: WeakKeyDictionary[type[Any], tuple[tuple[int, ...], list[str]]] = WeakKeyDictionary()


class Rule(ABC):
    """A strategy that names the weights it wants. Subclasses write `weights` and, where they differ, the attributes.

    Attributes
    ----------
    cadence : ``once`` (decide at the first date, then leave everything alone), ``daily``, ``weekly`` or ``monthly``
    window : bars of history needed before the first decision; may be a property computed from other attributes

    Every other public class attribute is a parameter: ``load("sma_cross", fast=20)`` sets `fast` on the instance.
    """

    name: str = ""
    file: Path | None = None
    cadence: Cadence = "weekly"
    window: int = 1
    _exits: Exits = NO_EXITS

    def __init__(self, **parameters: Any) -> None:
        self.name = self.name or type(self).__name__
        known = self.parameters()
        self._exits, own = Exits.split(parameters)
        for key, value in own.items():
            if key not in known:
                raise UsageError(
                    f'{type(self).__name__} has no parameter "{key}"{did_you_mean(key, known)}',
                    mend=f"it has {', '.join(known)}",
                )
            setattr(self, key, _coerce(known[key], value, f"{type(self).__name__}.{key}"))
        if self.cadence not in CADENCES:
            raise UsageError(
                f'{type(self).__name__}.cadence was "{self.cadence}"{did_you_mean(str(self.cadence), CADENCES)}',
                mend=f"one of {', '.join(CADENCES)}",
            )

    @classmethod
    def of_many(cls, many: Sequence[Mapping[str, Any]]) -> list[Self]:
        """Return ``cls(**parameters)`` for each of `many`; values of the very type of a default pass unchecked."""
        quick = cls.__setattr__ is object.__setattr__ and cls.__new__ is object.__new__
        common, found = {"name": cls.name or cls.__name__, "_exits": NO_EXITS}, list[Self]()
        for parameters, like in zip(many, cls.like_defaults(many), strict=True):
            if quick and like:
                one = cls.__new__(cls)
                one.__dict__.update(common, **parameters)
            else:
                one = cls(**parameters)
            found.append(one)
        return found

    @classmethod
    def like_defaults(cls, many: Sequence[Mapping[str, Any]]) -> list[bool]:
        """Return for each of `many` whether all its values are of the very types of the defaults, and none else."""
        known, names = cls.parameters(), dict[tuple[Any, ...], bool]()
        found, plain = list[bool](), cls.__init__ is Rule.__init__
        for parameters in many:
            key = (*parameters, *map(type, parameters.values()))
            like = names.get(key)
            if like is None:
                like = names[key] = plain and all(type(known.get(name)) is type(v) for name, v in parameters.items())
            found.append(like and parameters.get("cadence", known["cadence"]) in CADENCES)
        return found

    @abstractmethod
    def weights(self, market: Snapshot) -> Mapping[str, float]:
        """Return signed fractions of equity per symbol, e.g. ``{"SPY": 0.6}``; symbols left out are sold.

        `market` ends at the newest bar closed by ``market.as_of``; what is returned fills at the next open.
        """

    @classmethod
    def weights_for(cls, market: Occasions, parameters: Mapping[str, Any]) -> Floats:
        """Return (K, N) targets at all dates of `market` for one set of parameters: the vector form of the rule.

        Row k is what `decide` gives at date k, bit for bit: from bars that have closed by then, to be filled at the
        next open; 0 for what is not held, NaN, left alone, for a symbol without a bar yet. Here the step form is asked
        date by date. A rule that can tell all dates at once overrides this, and sweeps over it are fast.
        """
        return step_by_step(cls, market, parameters)

    @classmethod
    def weights_for_many(cls, market: Occasions, parameters: Sequence[Mapping[str, Any]]) -> Floats:
        """Return (R, K, N) targets for R sets of parameters, each as `weights_for` gives it.

        A rule whose sets have much in common overrides this, and sweeps over it are faster still.
        """
        form = FORMS_OF_MANY.get(cls.weights_for.__func__)  # type: ignore[attr-defined]
        if form is not None:
            return form(cls, market, parameters)
        found = [cls.weights_for(market, each) for each in parameters]
        return np.array(found).reshape(len(found), *market.listed.shape)

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """Return the public attributes that may be set from outside, with their defaults, in order of declaration."""
        # Sweeps ask for each member. Names are looked for again where a class has got or lost an attribute since.
        kinds = cls.__mro__[: cls.__mro__.index(Rule) + 1]
        state = tuple([len(vars(kind)) for kind in kinds])
        if cls not in _NAMES or _NAMES[cls][0] != state:
            found: dict[str, Any] = {}
            for kind in reversed(kinds):
                found |= {key: value for key, value in vars(kind).items() if _is_parameter(key, value)}
            _NAMES[cls] = state, [key for key in found if _is_parameter(key, getattr(cls, key))]
        return {key: getattr(cls, key) for key in _NAMES[cls][1]}

    def decide(self, snapshot: Snapshot) -> Decision:
        """Return the weights as targets; 0.0 for every other symbol that has had a bar.

        Symbols without a bar yet get no target. Raises UsageError where `weights` names an unknown symbol or gives
        something that is not a finite number.
        """
        return self._as_decision(self._check(self._call_weights(snapshot), snapshot), snapshot)

    def decide_ahead(self, snapshots: Sequence[Snapshot], market: Occasions) -> Iterator[Decision]:
        """Yield what `decide` returns at each of `snapshots`, whose dates are those of `market`.

        By the vector form where the class has one of its own that tells the same at a dozen dates across all.
        """
        vector = self._weights_ahead(market)
        for k in dict.fromkeys(np.linspace(0, len(snapshots) - 1, 12).astype(int).tolist()) if snapshots else ():
            if vector is None:
                break
            one, other = self.decide(snapshots[k]), self._as_decision(vector(k), snapshots[k])
            if one != other or [*one.record["weights"]] != [*other.record["weights"]]:
                vector = None
        for k, snapshot in enumerate(snapshots):
            yield self.decide(snapshot) if vector is None else self._as_decision(vector(k), snapshot)

    def _weights_ahead(self, market: Occasions) -> Callable[[int], dict[str, float]] | None:
        """Return the weights of the vector form by the number of the date; None where there is none, or it fails."""
        if type(self).weights_for.__func__ is Rule.weights_for.__func__:  # type: ignore[attr-defined]
            return None
        try:
            found = type(self).weights_for(market, settings_of(self))
        except Exception:  # the step form says what is wrong, and on which date
            return None
        given, names = np.where(np.isnan(found), 0.0, found), market.symbols
        if given.shape != market.listed.shape or not (np.abs(given) < LIKE_PERCENT).all():
            return None
        return lambda k: {names[n]: float(given[k, n]) for n in np.flatnonzero(given[k]).tolist()}

    def _as_decision(self, weights: dict[str, float], snapshot: Snapshot) -> Decision:
        wanted, exits = weights, self._exits
        if exits.scale != 1.0:
            weights = {symbol: weight * exits.scale for symbol, weight in weights.items()}
        # Texts that recur are one object: there is a target for each symbol at each date.
        reasons = {weight: f"{self.name} wants {weight:.1%} of equity" for weight in weights.values()}
        none, listed = f"{self.name} wants none", snapshot.listed
        targets = tuple(
            Target(symbol, weights.get(symbol, 0.0), reason=reasons[weights[symbol]] if symbol in weights else none)
            for symbol, there in zip(snapshot.symbols, listed.tolist(), strict=True)
            if there
        )
        if exits.priced:
            targets = tuple(exits.on(target, snapshot.last(target.symbol)) for target in targets)
        parameters = settings_of(self)
        record = {"kind": "rule", "rule": self.name, "parameters": {**parameters, **exits.named}, "weights": wanted}
        return Decision(snapshot.as_of, targets, record)

    def _call_weights(self, snapshot: Snapshot) -> Mapping[str, float]:
        try:
            found = self.weights(snapshot)
        except OTHERS:
            raise
        except BaseException as error:
            when = f" (deciding as of {snapshot.as_of.isoformat()})"
            if self.file is not None:
                raise as_strategy_error(error, self.file, when) from error
            if isinstance(error, Exception):
                raise
            raise exit_of_strategy(error, when) from error
        refuse_if_stopped()  # a bare `except:` in it may have swallowed the interruption
        return found

    def _check(self, weights: Mapping[str, float], snapshot: Snapshot) -> dict[str, float]:
        if not isinstance(weights, Mapping):
            mend = "return a dict, e.g. {'SPY': 0.6}; {} holds nothing; dict(series) makes one of a pandas Series"
            raise UsageError(f"{self.name}: weights was {_describe(weights)} on {snapshot.session}", mend=mend)
        checked: dict[str, float] = {}
        known = snapshot.bars.columns
        for symbol, weight in weights.items():
            if symbol not in known:
                guess = did_you_mean(str(symbol), snapshot.symbols)
                raise UsageError(f'{self.name}: no symbol "{symbol}" in this run{guess}', mend="see --symbols")
            checked[symbol] = number = _fraction(weight)
            found = f"{self.name}: the weight of {symbol} was {_describe(weight)}"
            if not math.isfinite(number):
                mend = "write a fraction of equity, 0.5 for 50 %; leave a symbol out to hold none of it"
                what = "not a finite number" if isinstance(weight, float) else "not a number"
                raise UsageError(f"{found}, {what}, on {snapshot.session}", mend=mend)
            if abs(number) >= LIKE_PERCENT:
                mend = f"weights are fractions of equity: write {number / 100:g} for {number:g} %"
                raise UsageError(f"{found} on {snapshot.session}, {number:,.0%} of equity", mend=mend)
        return checked


def settings_of(rule: Rule) -> dict[str, Any]:
    """Return {name: value} of all parameters of `rule`, in order of declaration."""
    return {name: getattr(rule, name) for name in rule.parameters()}


def settings_of_many(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """Return what `settings_of` gives for each of `rules`, which are of one class."""
    names = list(type(rules[0]).parameters()) if rules else []
    return [{name: getattr(rule, name) for name in names} for rule in rules]


def refuse_other_vector_form(rule: Rule, market: Occasions) -> None:
    """Raise UsageError where the vector form of `rule` is not what its step form says, looked at on a dozen dates of
    `market`: a sweep plays the one and a run the other."""
    kind, parameters = type(rule), settings_of(rule)
    if kind.weights_for.__func__ is Rule.weights_for.__func__ or not len(market):  # type: ignore[attr-defined]
        return
    try:
        found, alone = kind.weights_for(market, parameters), kind(**parameters)
        looked_at = dict.fromkeys(np.linspace(0, len(market) - 1, 12).astype(int).tolist())
        decided = {k: alone.decide(market.snapshot(k)) for k in looked_at}
    except OTHERS:
        raise
    except Exception:  # a member that fails is told of where it is played
        return
    if found.shape != market.listed.shape:
        what = f"{kind.__name__}.weights_for gave an array {found.shape}"
        raise UsageError(what, mend=f"give one row a date and one column a symbol, {market.listed.shape}")
    for k, decision in decided.items():
        told = {target.symbol: target.weight for target in decision.targets}
        for symbol, weight in zip(market.symbols, found[k].tolist(), strict=True):
            if not (weight == told.get(symbol) or (math.isnan(weight) and symbol not in told)):
                other = f"weights says {told.get(symbol, 'nothing')} of {symbol}, weights_for {weight:g}"
                mend = "make them agree, or leave weights_for out"
                raise UsageError(f"{kind.__name__} deciding on {decision.as_of:%Y-%m-%d}: {other}", mend=mend)


def has_form_of_many(kind: type[Rule]) -> bool:
    """Return True where a vector form of the rule takes many sets of parameters at once."""
    return kind.weights_for.__func__ in FORMS_OF_MANY  # type: ignore[attr-defined]


def step_by_step(kind: type[Rule], market: Occasions, parameters: Mapping[str, Any]) -> Floats:
    """Return (K, N) what the step form of the rule `kind` decides at each date of `market`."""
    return weights_by_step(kind(**parameters), market)


def weights_by_step(rule: Rule, market: Occasions) -> Floats:
    """Return (K, N) what the step form of `rule` decides at each date of `market`."""
    targets = np.full((len(market), len(market.symbols)), np.nan)
    for k in range(len(market)):
        for target in rule.decide(market.snapshot(k)).targets:
            targets[k, market.bars.column(target.symbol)] = target.weight
    return targets


class RuleStrategy:
    """A rule as a Strategy and nothing else: no attribute its author names is taken for a capability."""

    reads: Reads = "nothing"

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    @property
    def name(self) -> str:
        return self.rule.name

    @property
    def cadence(self) -> Cadence:
        return self.rule.cadence

    @property
    def window(self) -> int:
        return self.rule.window

    async def opine(self, _snapshot: Snapshot, _journal: Sequence[Decision]) -> None:
        """Rules have no opinion apart from their decision."""

    def decide(self, snapshot: Snapshot, _opinion: None, _book: Book, _journal: Sequence[Decision]) -> Decision:
        """Return the decision of the rule, which reads neither the account nor its own past."""
        return self.decide_alone(snapshot)

    def decide_alone(self, snapshot: Snapshot) -> Decision:
        """Return the decision of the rule."""
        return self.rule.decide(snapshot)

    def decide_ahead(self, snapshots: Sequence[Snapshot], bars: Bars, instants: Instants) -> Iterator[Decision]:
        """Yield the decisions of the rule at `instants` (K,), `snapshots` of `bars`."""
        return self.rule.decide_ahead(snapshots, Occasions(bars, instants))


def exits_of(rule: Rule) -> Exits:
    """Return the sizes and exits that were set on `rule` from outside."""
    return rule._exits


def uniform(*parts: Any) -> float:
    """Return a number in [0, 1) that depends on `parts` alone: the same in every process, on every machine.

    Moments are taken in UTC, so ``uniform(seed, market.as_of, symbol)`` does not depend on the time zone given.
    """
    words = [part.astimezone(UTC).isoformat() if getattr(part, "tzinfo", None) else str(part) for part in parts]
    digest = hashlib.sha256("|".join(words).encode()).digest()
    return int.from_bytes(digest[:6], "big") / float(1 << 48)


def _fraction(weight: Any) -> float:
    """Return a weight as a float; NaN for what is no number: None, True, an array, "50%"."""
    if not isinstance(weight, Real | Decimal | str) or isinstance(weight, bool):
        return math.nan
    try:
        return float(weight)
    except (ValueError, OverflowError):
        return math.nan


def _describe(value: Any) -> str:
    """Return `value` as it was written, by its type where that fills more than a line, as a data frame does."""
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"


def _is_parameter(key: str, value: Any) -> bool:
    if key.startswith("_") or key in ("name", "file"):
        return False
    return not callable(value) and not isinstance(value, property | classmethod | staticmethod)


def _coerce(default: Any, value: Any, name: str) -> Any:
    """Return `value` if it is of the default's kind; whole numbers pass for floats and lists for tuples."""
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    if default is None or type(value) is type(default):
        return value
    raise UsageError(f"{name} was {value!r}", mend=f"it takes {type(default).__name__}, as in {default!r}")
