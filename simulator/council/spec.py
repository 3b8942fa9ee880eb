"""The keys of a council's `strategy.yaml`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError, field_validator, model_validator

from simulator.config import Section, read_yaml
from simulator.config_errors import say_wanted
from simulator.council.facts import FACTS
from simulator.council.prompt_files import OPENING, VARIABLES, Prompt, load_prompt
from simulator.council.vote import USUAL, VOTE, VoteRule
from simulator.errors import ConfigError, UsageError, did_you_mean
from simulator.files import read_bytes, read_text
from simulator.trading.model import Cadence

Share = Annotated[float, Field(gt=0, le=1)]

FactName = Literal[FACTS]  # type: ignore[valid-type]

SeatName = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
"""A seat may be the name of its account, and so of a folder."""


class ResearchSpec(Section):
    enabled: bool = True
    prompt: str
    quorum: Share = 0.5
    """Share of the questions of a stage that must come back usable; below it the meeting makes no decision."""
    seats: Annotated[dict[SeatName, str], Field(min_length=1)]
    """seat → Markdown file of its persona."""


class PitchSpec(Section):
    prompt: str
    quorum: Share = 0.6
    seats: Annotated[dict[SeatName, str], Field(min_length=1)]


class ReviewSpec(Section):
    """The managers review each other; they share one persona, for a reviewer's own would betray it."""

    enabled: bool = True
    prompt: str
    persona: str
    quorum: Share = 0.6


class ChairmanSpec(Section):
    """Without a chairman the score-weighted vote decides (council/vote.py)."""

    enabled: bool = True
    prompt: str
    persona: str
    seat: SeatName = "chairman"


class CheckpointSpec(Section):
    """Between meetings every open thesis is read again by who holds it. Absent, no thesis is."""

    enabled: bool = True
    prompt: str = ""
    persona: str = ""
    """A persona for these questions alone; without one everybody keeps their own."""

    @model_validator(mode="after")
    def _check_prompt(self) -> CheckpointSpec:
        if self.enabled and not self.prompt:
            raise ValueError("give the prompt of its questions")
        return self


class OpeningSpec(Section):
    """Prompts that all questions of a meeting begin with: the system message, and the facts of the market."""

    system: str
    facts: str


class ShortlistSpec(Section):
    """List of the symbols a meeting is about where more than `size` have a price: `size` of them, and what is held.

    By rule, or, with a `prompt`, by the model in `seat`, which is shown `SCREENED` facts of all symbols.
    """

    size: int = Field(default=24, ge=2, le=1000)
    rank_by: Annotated[tuple[Literal["liquidity", "momentum"], ...], Field(min_length=1)] = ("liquidity", "momentum")
    """Ranks are added, see simulator/council/shortlist.py."""
    held: bool = True
    """What may be held stays on the list; meetings then wait for the answers of the one before."""
    prompt: str = ""
    persona: str = ""
    seat: SeatName = "screener"

    @model_validator(mode="after")
    def _check_prompt(self) -> ShortlistSpec:
        if bool(self.prompt) != bool(self.persona):
            raise ValueError("give both prompt and persona, or neither")
        return self


Multiple = Annotated[float, Field(ge=0, le=100)]


class TradeSpec(Section):
    """Carrying out of decisions by an account. No question shows any of it: it can change and nobody is asked anew."""

    scale: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Positions are this many times `half` or `full`."""
    half: Annotated[float, Field(gt=0, le=100)] | None = None
    full: Annotated[float, Field(gt=0, le=100)] | None = None
    """Fraction of equity at conviction ±1 and ±2; as in `sizes` where None."""
    stops: Multiple = 1.0
    targets: Multiple = 1.0
    """Stops and targets stand at this many times their distance from the close they were set on; 0 leaves them out."""
    limit_atr: Annotated[float, Field(ge=-100, le=100)] | None = None
    """In place of the council's `limit_atr`."""
    min_conviction: Literal[1, 2] = 1
    """2 trades full conviction alone."""
    checkpoints_per_day: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Checkpoints of a session that are carried out, the first ones; None for all."""


class Stages(Section):
    research: ResearchSpec
    pitch: PitchSpec
    review: ReviewSpec
    chairman: ChairmanSpec
    checkpoint: CheckpointSpec = CheckpointSpec(enabled=False)


UNCHANGED = TradeSpec()


class CouncilSpec(Section):
    user_query: Annotated[str, Field(min_length=1)]
    cadence: Cadence = "weekly"
    window: int = Field(default=253, ge=1, le=10_000)
    """Bars of history needed before the first decision."""
    max_trades: int = Field(default=5, ge=1, le=1000)
    sizes: dict[Literal[1, 2], Annotated[float, Field(gt=0, le=100)]] = Field(default={1: 0.10, 2: 0.20})
    """|conviction| → fraction of equity."""
    limit_atr: Annotated[float, Field(ge=-100, le=100)] = 0.1
    """Limit orders (conviction ±1) stand this many ATR(14) on the better side of the last close; negative = worse."""
    cash: str = "BIL"
    """Whose return is the yield of cash in the facts."""
    volatility_index: str = "VIX"
    facts: Annotated[tuple[FactName, ...], Field(min_length=1)] | None = None
    """Names of the facts shown, of each symbol and of the market; None shows all. `close` and `atr_14` always are."""
    opening: OpeningSpec | None = None
    """Absent, questions are put as they were before there were openings: their answers stay in the cache."""
    correlations: int = Field(default=3, ge=0, le=1000)
    """Strongest correlations shown of each symbol; all pairs where there is no `opening`."""
    benchmark: str = "SPY"
    """Series that every symbol's correlation with is shown where there is an `opening`."""
    shortlist: ShortlistSpec | None = None
    trade: TradeSpec = TradeSpec()
    vote: VoteRule = USUAL
    stages: Stages

    @model_validator(mode="after")
    def _check_parts(self) -> CouncilSpec:
        if self.opening is None and self.shortlist is not None and self.shortlist.prompt:
            raise ValueError("a model's shortlist needs an opening")
        if strange := next((seat for seat in self.vote.weights if seat not in self.managers), None):
            raise ValueError(f'vote.weights: no manager sits in "{strange}"{did_you_mean(strange, self.managers)}')
        if self.managers and all(self.vote.weights.get(seat) == 0 for seat in self.managers):
            raise ValueError("vote.weights: nobody has a vote, give one manager a weight")
        return self

    @property
    def as_told(self) -> CouncilSpec:
        """The council as questions and theses have it: decisions carried out as they are."""
        return self if self.trade == UNCHANGED else self.model_copy(update={"trade": UNCHANGED})

    def size(self, conviction: int) -> float:
        """Return the fraction of equity an account holds at `conviction`, unsigned."""
        full, trade = abs(conviction) == 2, self.trade
        own = trade.full if full else trade.half
        return trade.scale * (self.sizes[2 if full else 1] if own is None else own)

    @property
    def listing(self) -> ShortlistSpec | None:
        """The shortlist: as given, the usual one where there is an opening, else none."""
        return self.shortlist or (None if self.opening is None else ShortlistSpec())

    @property
    def screener(self) -> str | None:
        """Seat of the model that makes the shortlist."""
        return self.shortlist.seat if self.shortlist is not None and self.shortlist.prompt else None

    @field_validator("sizes")
    @classmethod
    def _both(cls, sizes: dict[int, float]) -> dict[int, float]:
        if set(sizes) != {1, 2}:
            raise ValueError("give a size for both 1 and 2")
        if sizes[1] > sizes[2]:
            raise ValueError(f"{sizes[1]:g} at conviction 1 is more than {sizes[2]:g} at 2")
        return sizes

    @property
    def sizes_in_percent(self) -> dict[str, str]:
        """Sizes of half and full conviction in words, e.g. ``{"half": "10%", "full": "20%"}``."""
        return {"half": percent(self.sizes[1]), "full": percent(self.sizes[2])}

    @property
    def researchers(self) -> tuple[str, ...]:
        return tuple(self.stages.research.seats) if self.stages.research.enabled else ()

    @property
    def managers(self) -> tuple[str, ...]:
        return tuple(self.stages.pitch.seats)

    @property
    def seats(self) -> tuple[str, ...]:
        """Every seat that is asked something."""
        chairman = (self.stages.chairman.seat,) if self.stages.chairman.enabled else ()
        screener = () if self.screener is None else (self.screener,)
        return (*screener, *self.researchers, *self.managers, *chairman)

    @property
    def questions(self) -> dict[str, int]:
        """{stage: questions a meeting asks when nobody fails}."""
        stages, n = self.stages, len(self.managers)
        return {
            **({} if self.screener is None else {"shortlist": 1}),
            "research": len(self.researchers),
            "pitch": n,
            "review": n * (n - 1) if stages.review.enabled else 0,
            "chairman": int(stages.chairman.enabled),
        }

    @property
    def checkpoint_questions(self) -> int:
        """Questions a checkpoint asks when every manager holds a thesis and the chairman approved all it may."""
        if not self.stages.checkpoint.enabled:
            return 0
        return len(self.managers) + (self.max_trades if self.stages.chairman.enabled else 0)


def percent(fraction: float) -> str:
    """Return ``0.1`` as ``10%``."""
    return f"{100 * fraction:g}%"


@dataclass(frozen=True, eq=False)
class Prompts:
    """A council's compiled prompts: the task of each stage, the persona of each seat, the reviewers' common one, and
    one for checkpoints where there is one, and the opening."""

    tasks: Mapping[str, Prompt]
    personas: Mapping[str, Prompt]
    reviewer: Prompt
    checkpoint: Prompt | None = None
    opening: tuple[Prompt, Prompt] | None = None
    """System message and facts that all questions of a meeting begin with."""

    @property
    def all(self) -> tuple[Prompt, ...]:
        checkpoint = () if self.checkpoint is None else (self.checkpoint,)
        return (*self.tasks.values(), *self.personas.values(), self.reviewer, *checkpoint, *(self.opening or ()))


@dataclass(frozen=True, eq=False)
class Definition:
    """A council as written. `files` is {path relative to the council's folder, with /: sha256 (hex)}."""

    name: str
    path: Path
    spec: CouncilSpec
    prompts: Prompts
    files: Mapping[str, str]
    left_out: tuple[str, ...] = ()
    """Seats of the file that parameters left out. Their names are struck out all the same: what the others are asked
    stays what it was."""

    def line_of(self, text: str) -> str:
        """``file:line`` of the last line of its strategy.yaml that says `text`."""
        return f"{self.path}:{_last_line(self.path, text)}"


def load_definition(path: Path, parameters: Mapping[str, object] | None = None) -> Definition:
    """Load the council in the folder of `path` (its ``strategy.yaml``); `parameters` replace keys: ``max_trades``,
    ``trade.scale``, ``stages.review.enabled``.

    Raises ConfigError naming file and line, UsageError for a parameter there is no key for.
    """
    if not path.resolve().is_relative_to(path.parent.resolve()):
        raise ConfigError("is a link that leads out of the council's folder", where=str(path), mend="put a copy there")
    written = read_yaml(path, CouncilSpec)
    spec = _override(written, parameters) if parameters else written
    stages = spec.stages
    taken = [*stages.research.seats, *stages.pitch.seats, stages.chairman.seat]
    if spec.screener is not None:
        taken.append(spec.screener)
    if twice := next((seat for n, seat in enumerate(taken) if seat in taken[:n]), None):
        raise ConfigError(f'seat "{twice}" is taken twice', where=f"{path}:{_last_line(path, twice)}")
    if VOTE in taken:
        raise ConfigError(
            f'seat "{VOTE}" stands for a council without a chairman',
            where=f"{path}:{_last_line(path, VOTE)}",
            mend="call the seat something else",
        )
    personas = stages.research.seats | stages.pitch.seats | {stages.chairman.seat: stages.chairman.persona}
    tasks = {name: file for name in Stages.model_fields if (file := getattr(stages, name).prompt)}
    if spec.shortlist is not None and spec.shortlist.prompt:
        personas[spec.shortlist.seat], tasks["shortlist"] = spec.shortlist.persona, spec.shortlist.prompt
    opening = spec.opening
    load = partial(_prompt, path, declared=VARIABLES if opening is None else OPENING)
    prompts = Prompts(
        tasks={name: load(file, name) for name, file in tasks.items()},
        personas={seat: load(file, "persona") for seat, file in personas.items()},
        reviewer=load(stages.review.persona, "persona"),
        checkpoint=load(stages.checkpoint.persona, "persona") if stages.checkpoint.persona else None,
        opening=None if opening is None else (load(opening.system, "system"), load(opening.facts, "facts")),
    )
    files = {path.name: hashlib.sha256(read_bytes(path)).hexdigest()}
    for prompt in prompts.all:
        files[prompt.path.relative_to(path.parent).as_posix()] = prompt.digest
    left_out = tuple(seat for seat in written.seats if seat not in spec.seats)
    return Definition(path.parent.name, path, spec, prompts, dict(sorted(files.items())), left_out)


def _prompt(spec: Path, file: str, kind: str, declared: Mapping[str, tuple[str, ...]]) -> Prompt:
    path = spec.parent / file
    if Path(file).is_absolute():
        raise ConfigError(
            f'prompt file "{file}" is named by its whole path',
            where=f"{spec}:{_last_line(spec, file)}",
            mend="put it into the council's folder and name it from there",
        )
    if not path.resolve().is_relative_to(spec.parent.resolve()):
        raise ConfigError(
            f'prompt file "{file}" lies outside of the council\'s folder',
            where=f"{spec}:{_last_line(spec, file)}",
            mend="put a copy into the folder: a link, or .., leads out of it",
        )
    if not path.exists():
        near = did_you_mean(file, (str(p.relative_to(spec.parent).as_posix()) for p in spec.parent.rglob("*.md")))
        raise ConfigError(f'no prompt file "{file}"{near}', where=f"{spec}:{_last_line(spec, file)}")
    return load_prompt(path, kind, declared)


def _last_line(path: Path, text: str) -> int:
    lines = read_text(path).splitlines()
    return max((n for n, line in enumerate(lines, 1) if text in line), default=1)


def _override(spec: CouncilSpec, parameters: Mapping[str, object]) -> CouncilSpec:
    """Return `spec` with ``{"trade.scale": 2, "stages.review.enabled": False}`` in place; ``off`` (False) or None takes
    an entry out of a mapping: a seat, a weight."""
    content = spec.model_dump()
    for name, value in parameters.items():
        _put(content, name, value, CouncilSpec, name)
    try:
        return CouncilSpec.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or " or ".join(parameters)
        shown = "" if isinstance(first["input"], dict) else f" was {first['input']!r}"
        raise UsageError(f"parameter {name}{shown}: {say_wanted(first)}") from None


def _put(content: dict[Any, Any], rest: str, value: object, model: type[Section], whole: str) -> None:
    """Put `value` into the `content` of `model` at the dotted path `rest` of the parameter `whole`."""
    key, _, deeper = rest.partition(".")
    if key not in model.model_fields or (model is CouncilSpec and rest == "stages"):
        known = [name for name in model.model_fields if name != "stages" or model is not CouncilSpec]
        near = did_you_mean(key, known)
        raise UsageError(f'the council has no parameter "{whole}"{near}', mend=f"it has {', '.join(known)}")
    inner = model.model_fields[key].annotation
    if not deeper:
        content[key] = value
    elif section := next(
        (t for t in (inner, *get_args(inner)) if isinstance(t, type) and issubclass(t, Section)), None
    ):
        if content[key] is None:
            raise UsageError(f"the council has no {key}", mend=f"write {key} into its strategy.yaml first")
        _put(content[key], deeper, value, section, whole)
    elif not isinstance(content[key], dict):
        raise UsageError(f'the council has no parameter "{whole}"', mend=f"{rest.rpartition('.')[0]} is a single value")
    elif value is None or value is False or value == "off":
        content[key].pop(deeper, None)
    else:
        content[key][int(deeper) if deeper.isdigit() else deeper] = value
