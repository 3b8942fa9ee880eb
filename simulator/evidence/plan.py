"""Plan of a run: its questions and their cost, before anything is asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Range:
    """Lowest, likely and highest."""

    low: float = 0.0
    likely: float = 0.0
    high: float = 0.0

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def times(self, factor: float) -> Range:
        return Range(factor * self.low, factor * self.likely, factor * self.high)

    def up_to(self, factor: float) -> Range:
        """Return the same with a highest that is `factor` times as high."""
        return Range(self.low, self.likely, factor * self.high)


@dataclass(frozen=True)
class PlanLine:
    """Questions of one stage to one model.

    Attributes
    ----------
    calls, hits, misses : questions, those answered on disk, and those to be asked
    prompt_tokens, completion_tokens, usd : of the misses
    cached_tokens : those of `prompt_tokens` that the service is likely to have read before, and to charge less for
    saved_usd : dollars that this saves; `usd` is without it at its highest
    most_calls : questions where every tool is asked that may be, 0 where `calls` are all; at the highest, tokens and
        dollars are those of as many
    seconds : that one answer takes
    past : answers on disk the estimate rests on; 0 = a first guess
    """

    stage: str
    provider: str
    model: str
    endpoint: str
    calls: int
    hits: int
    misses: int
    prompt_tokens: Range
    completion_tokens: Range
    usd: Range
    seconds: float
    past: int
    cached_tokens: float = 0.0
    saved_usd: float = 0.0
    most_calls: int = 0

    def at_most(self, most: int) -> PlanLine:
        """Return the same with tokens and dollars that are, at the highest, those of `most` questions."""
        if most <= self.calls:
            return self
        factor = (self.misses + most - self.calls) / max(1, self.misses)
        scaled = {name: getattr(self, name).up_to(factor) for name in ("prompt_tokens", "completion_tokens", "usd")}
        return replace(self, most_calls=most, **scaled)


@dataclass(frozen=True)
class BatchPlan:
    """Plan of asking in batches.

    Attributes
    ----------
    asked : ``all`` or ``meetings`` where the run is to be asked so, None where it only could be
    rounds, hours : rounds without repairs, and the longest that they can take
    usd : of the whole run, with what is asked singly all the same
    set_aside_usd : the most that is set aside at once
    """

    asked: str | None
    rounds: int
    hours: int
    usd: Range
    set_aside_usd: float


class Questions:
    """Sums over the `lines` of a plan: answers it rests on, those that are still to be asked for, and their dollars."""

    lines: tuple[PlanLine, ...]

    @property
    def calls(self) -> int:
        return sum(line.calls for line in self.lines)

    @property
    def misses(self) -> int:
        return sum(line.misses for line in self.lines)

    @property
    def most_calls(self) -> int:
        """Questions where every tool is asked that may be."""
        return sum(max(line.calls, line.most_calls) for line in self.lines)

    @property
    def usd(self) -> Range:
        return sum((line.usd for line in self.lines), Range())


@dataclass(frozen=True)
class Plan(Questions):
    """The lines of a run, and how long the asking takes. `fails` says why the run cannot succeed as it is asked for.

    `shortlist` says which of many symbols a meeting is about, and whether meetings wait for each other because of it.
    `read_tokens` are those of prompts answered on disk, `reread_tokens` those of them that services had read before.
    `execution` names the terms of orders.
    """

    strategy: str
    first: str
    last: str
    decisions: int
    checkpoints: int
    replicates: int
    models: str | None
    max_cost: float
    max_day: float
    lines: tuple[PlanLine, ...]
    minutes: float
    fails: str | None = None
    shortlist: str | None = None
    read_tokens: int = 0
    reread_tokens: int = 0
    batch: BatchPlan | None = None
    execution: str = "ideal"

    @property
    def paid(self) -> Range:
        """Dollars of the run as it is asked for: in batches or singly."""
        return self.batch.usd if self.batch is not None and self.batch.asked else self.usd

    @property
    def cached_tokens(self) -> float:
        return sum(line.cached_tokens for line in self.lines)

    @property
    def saved_usd(self) -> float:
        return sum(line.saved_usd for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        """Return what ``sim run --plan --json`` prints."""
        names = ("strategy", "decisions", "checkpoints", "replicates", "models", "max_cost", "max_day", "execution")
        total = {
            "calls": self.calls,
            "hits": self.calls - self.misses,
            "misses": self.misses,
            "most_calls": self.most_calls,
            "prompt_tokens": asdict(sum((line.prompt_tokens for line in self.lines), Range())),
            "completion_tokens": asdict(sum((line.completion_tokens for line in self.lines), Range())),
            "cached_tokens": self.cached_tokens,
            "on_disk": {"prompt_tokens": self.read_tokens, "cached_tokens": self.reread_tokens},
            "usd": asdict(self.usd),
            "usd_undiscounted": self.usd.likely + self.saved_usd,
            "minutes": self.minutes,
            "batch": self.batch and asdict(self.batch),
        }
        return {
            **{name: getattr(self, name) for name in (*names, "fails", "shortlist")},
            "from": self.first,
            "to": self.last,
            "total": total,
            "lines": [asdict(line) for line in self.lines],
        }


@dataclass(frozen=True)
class PlannedParameter:
    """A parameter of a sweep: what it changes (`kind`), how many values it has, None for a distribution, and which."""

    name: str
    kind: str
    values: int | None
    shown: str


@dataclass(frozen=True)
class SweepPlan(Questions):
    """Plan of a sweep: its members, the minutes their playing takes, and the questions of a council to models.

    Attributes
    ----------
    decisions : of one member; 0 where that is not known before anybody is asked
    lines : questions of all members, one that several share counted once
    asked_apart : combinations of settings that ask questions of their own
    splits : sentences on what is chosen in sample and judged out of sample
    notes : sentences on which questions are new, and which members are there
    """

    strategy: str
    first: str
    last: str
    decisions: int
    search: str
    members: int
    parameters: tuple[PlannedParameter, ...]
    minutes: float
    max_cost: float
    lines: tuple[PlanLine, ...] = ()
    asking_minutes: float = 0.0
    asked_apart: int = 0
    splits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return what ``sim sweep --plan --json`` prints."""
        names = (
            *("strategy", "decisions", "search", "members", "minutes", "max_cost"),
            *("asking_minutes", "asked_apart", "splits", "notes"),
        )
        return {
            **{name: getattr(self, name) for name in names},
            "from": self.first,
            "to": self.last,
            "parameters": [asdict(one) for one in self.parameters],
            "total": {
                "calls": self.calls,
                "hits": self.calls - self.misses,
                "misses": self.misses,
                "usd": asdict(self.usd),
            },
            "lines": [asdict(line) for line in self.lines],
        }
