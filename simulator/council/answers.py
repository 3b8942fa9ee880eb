"""Answers of each stage of the council, typed. Field names are those of the handoff report.

Answers are checked at the edge, where a model's text comes in; what passes is frozen. Unknown keys are dropped rather
than refused, for models like to add their name. The JSON schema sent along forbids them all the same. Prices
are held against the last closes of the question, which validation is handed as its context {symbol: close}.

The schemas sent stand in answer_schemas.json, titles and descriptions included, and are not derived from these classes:
they are part of every cache key, which a renamed class, a reworded docstring or another pydantic must not change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import ConfigDict, Field, ValidationInfo, create_model, model_validator

from simulator.council.records import Direction, PitchAnswer
from simulator.council.vocabulary import VOCABULARY
from simulator.llm.normalise import Spoken, Vocabulary

Text = Annotated[str, Field(min_length=1)]
Conviction = Annotated[int, Field(ge=-2, le=2)]
Score = Annotated[int, Field(ge=1, le=10)]

Schema = dict[str, Any]

SIGN: dict[str, int] = {"LONG": 1, "SHORT": -1, "FLAT": 0}
FARTHEST = 5
"""Stops and targets lie within this many times the last close, and a part as small of it."""
SCHEMAS: dict[str, Schema] = json.loads(Path(__file__).with_name("answer_schemas.json").read_text(encoding="utf-8"))


class Answer(Spoken):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    vocabulary: ClassVar[Vocabulary] = VOCABULARY
    schema_sent: ClassVar[Schema | None] = None

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> Schema:
        """Return the schema sent with a question; pydantic's own for its parts, which are never asked alone."""
        return super().model_json_schema(*args, **kwargs) if cls.schema_sent is None else cls.schema_sent


class Picked(Answer):
    """Symbols a meeting is to be about, best first."""

    schema_sent = SCHEMAS["Shortlist"]

    symbols: Annotated[tuple[Text, ...], Field(min_length=1)]
    reason: Text


class Candidate(Answer):
    ticker: Text
    rationale: Text


class CalendarEvent(Answer):
    date: Text
    event: Text
    impact: Text


class ResearchPack(Answer):
    """A researcher's reading of the facts."""

    schema_sent = SCHEMAS["ResearchPack"]
    spare = ("tradable_candidates", "event_calendar")

    macro_regime: Text
    top_narratives: Annotated[tuple[Text, ...], Field(min_length=3, max_length=5)]
    consensus_map: dict[str, Literal["Bullish", "Neutral", "Bearish"]]
    tradable_candidates: tuple[Candidate, ...]
    event_calendar: tuple[CalendarEvent, ...]


class Pitch(Answer):
    """One manager's idea. `conviction` carries the sign of `direction`; `stop` and `target` are prices."""

    schema_sent = SCHEMAS["Pitch"]
    spare = ("indicators",)

    instrument: Text
    direction: Direction
    horizon: Text
    thesis_bullets: Annotated[tuple[Text, ...], Field(min_length=3, max_length=5)]
    indicators: tuple[Text, ...]
    conviction: Conviction
    invalidation: Text
    stop: float | None
    target: float | None

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Pitch:
        _check_sign(self.direction, self.conviction)
        if self.direction == "FLAT":
            return self
        if self.stop is None or self.target is None:
            raise ValueError(f"a {self.direction} pitch needs a stop and a target price")
        closes: Mapping[str, float] = info.context or {}
        _check_prices(self.stop, self.target, SIGN[self.direction], self.instrument, closes.get(self.instrument))
        if min(self.stop, self.target) <= 0 or (self.target - self.stop) * SIGN[self.direction] <= 0:
            side = "below" if self.direction == "LONG" else "above"
            raise ValueError(
                f"stop {self.stop} and target {self.target}: the stop of a {self.direction} lies {side} its target"
            )
        return self


class Scores(Answer):
    """The seven dimensions, 1 (worst) to 10 (best)."""

    clarity: Score
    edge_plausibility: Score
    timing_catalyst: Score
    risk_definition: Score
    indicator_integrity: Score
    originality: Score
    tradeability: Score

    @cached_property
    def mean(self) -> float:
        """Plain mean of the seven."""
        return float(sum(getattr(self, name) for name in DIMENSIONS)) / len(DIMENSIONS)


class Review(Answer):
    """One manager's judgement of one pitch that is not its own."""

    schema_sent = SCHEMAS["Review"]

    scores: Scores
    kill_shot: Text
    flip_condition: Text


class ApprovedTrade(Answer):
    """`conviction` decides the size; `position_size` is what the chairman wrote beside it, e.g. ``20%``."""

    instrument: Text
    direction: Literal["LONG", "SHORT"]
    conviction: Conviction
    position_size: Text
    rationale: Text

    @model_validator(mode="after")
    def _consistent(self) -> ApprovedTrade:
        _check_sign(self.direction, self.conviction)
        return self


class RejectedTrade(Answer):
    instrument: Text
    direction: Direction
    reason: Text


class ChairmanDecision(Answer):
    """The council's decision: at most one approved trade per instrument."""

    schema_sent = SCHEMAS["ChairmanDecision"]
    spare = ("rejected_trades",)

    approved_trades: tuple[ApprovedTrade, ...]
    rejected_trades: tuple[RejectedTrade, ...]
    dissent_summary: Text
    monitoring_plan: Text

    @model_validator(mode="after")
    def _consistent(self) -> ChairmanDecision:
        names = [trade.instrument for trade in self.approved_trades]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice[0]} is approved twice; net its votes into one trade")
        return self


class CheckpointReview(Answer):
    """Review of a thesis by its holder. `stop` and `target` are prices; None leaves them as they are."""

    schema_sent = SCHEMAS["CheckpointReview"]

    invalidated: bool
    conviction: Conviction
    stop: Annotated[float, Field(gt=0)] | None
    target: Annotated[float, Field(gt=0)] | None
    reason: Text

    @model_validator(mode="after")
    def _in_order(self, info: ValidationInfo) -> CheckpointReview:
        sign = (self.conviction > 0) - (self.conviction < 0)
        for symbol, close in (info.context or {}).items():
            _check_prices(self.stop, self.target, sign, symbol, close)
        if self.stop is not None and self.target is not None and sign and (self.target - self.stop) * sign <= 0:
            side = "below" if sign > 0 else "above"
            raise ValueError(
                f"stop {self.stop} and target {self.target}: at conviction {self.conviction} the stop lies {side} "
                "the target"
            )
        return self


DIMENSIONS: tuple[str, ...] = tuple(Scores.model_fields)


@lru_cache(maxsize=64)
def pitch_on(symbols: tuple[str, ...]) -> type[Pitch]:
    """Return `Pitch` whose instrument must be one of `symbols`: in the schema sent, and checked on return."""
    model = create_model("Pitch", __base__=Pitch, instrument=(_one_of(symbols), ...))
    model.schema_sent = _on_symbols(SCHEMAS["Pitch"], symbols)
    return model


@lru_cache(maxsize=64)
def decision_on(symbols: tuple[str, ...]) -> type[ChairmanDecision]:
    """Return `ChairmanDecision` whose approved trades must be in one of `symbols`."""
    trade: Any = create_model("ApprovedTrade", __base__=ApprovedTrade, instrument=(_one_of(symbols), ...))
    model = create_model("ChairmanDecision", __base__=ChairmanDecision, approved_trades=(tuple[trade, ...], ...))
    sent, parts = SCHEMAS["ChairmanDecision"], SCHEMAS["ChairmanDecision"]["$defs"]
    model.schema_sent = {**sent, "$defs": {**parts, "ApprovedTrade": _on_symbols(parts["ApprovedTrade"], symbols)}}
    return model


@lru_cache(maxsize=64)
def picked_of(symbols: tuple[str, ...]) -> type[Picked]:
    """Return `Picked` of `symbols` alone."""
    choice: Any = _one_of(symbols)
    model = create_model(
        "Shortlist", __base__=Picked, symbols=(Annotated[tuple[choice, ...], Field(min_length=1)], ...)
    )
    sent = SCHEMAS["Shortlist"]
    listed = {**sent["properties"]["symbols"], "items": {"enum": list(symbols), "type": "string"}}
    model.schema_sent = {**sent, "properties": {**sent["properties"], "symbols": listed}}
    return model


@lru_cache(maxsize=2)
def checkpoint_of(direction: Direction) -> type[CheckpointReview]:
    """Return `CheckpointReview` of a thesis that is `direction`: once invalidated, it cannot be held on that side."""

    def leaves_when_invalidated(review: CheckpointReview) -> CheckpointReview:
        if review.invalidated and review.conviction * SIGN[direction] > 0:
            raise ValueError(
                f"invalidated, yet conviction {review.conviction} stays {direction}: give 0 or the other side"
            )
        return review

    check: Any = model_validator(mode="after")(leaves_when_invalidated)
    return create_model("CheckpointReview", __base__=CheckpointReview, __validators__={"leaves": check})


def pitch_row(pitch: Pitch) -> PitchAnswer:
    """Return `pitch` as it stands in records and prompts, JSON-able."""
    return cast(PitchAnswer, pitch.model_dump())


def _one_of(symbols: tuple[str, ...]) -> Any:
    return Literal[symbols]


def _on_symbols(schema: Schema, symbols: tuple[str, ...]) -> Schema:
    choice = {"const": symbols[0]} if len(symbols) == 1 else {"enum": list(symbols)}
    instrument = {**choice, "title": "Instrument", "type": "string"}
    return {**schema, "properties": {**schema["properties"], "instrument": instrument}}


def _check_sign(direction: str, conviction: int) -> None:
    if (conviction > 0) - (conviction < 0) != SIGN[direction]:
        raise ValueError(f"conviction {conviction} does not fit direction {direction}: LONG > 0, SHORT < 0, FLAT 0")


def _check_prices(stop: float | None, target: float | None, sign: int, symbol: str, close: float | None) -> None:
    """Refuse protective prices that no price near the last close explains: a slip of the point, a percentage, the other
    side. With `sign` 0 nothing is held that they could protect."""
    if close is None or not sign:
        return
    for name, price, way in (("stop", stop, -sign), ("target", target, sign)):
        if price is None:
            continue
        if not close / FARTHEST <= price <= close * FARTHEST:
            raise ValueError(
                f"{name} {price:g} is not from 1/{FARTHEST} to {FARTHEST} times the last close of {symbol}, {close}"
            )
        if (price - close) * way <= 0:
            side = "above" if way > 0 else "below"
            raise ValueError(f"{name} {price:g} does not lie {side} the last close of {symbol}, {close}")
