"""Answers of the five agents, typed. An answer is a result, or the tool that is to be asked first.

    {"candidates": …, "market_note": …}   or   {"tool": "scan_momentum", "arguments": {"most": 5}}

An agent judges: it ranks, approves, rejects and explains. No answer holds a price, a size or a score, so none is taken.
Schemas sent stand in answer_schemas.json: they are part of every cache key, whatever becomes of these classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)

from simulator.desk.formulas import Recommendation
from simulator.llm.normalise import NOTHING, Spoken, Vocabulary

Text = Annotated[str, Field(min_length=1)]
Words = tuple[Text, ...]
Verdict = Literal["adopt", "reject", "more evidence"]

Schema = dict[str, Any]
SCHEMAS: Mapping[str, Schema] = json.loads(Path(__file__).with_name("answer_schemas.json").read_text(encoding="utf-8"))

VOCABULARY = Vocabulary(
    meanings={
        "STRONG_BUY": frozenset(("strong buy", "strongly buy")),
        "BUY": frozenset(("buy", "long", "bullish")),
        "HOLD": frozenset(("hold", "wait", "neutral", "watch")),
        "AVOID": frozenset(("avoid", "sell", "short", "pass", "skip", "bearish")),
        "adopt": frozenset(("adopt", "accept", "ready", "approved")),
        "reject": frozenset(("reject", "rejected", "not ready")),
        "more evidence": frozenset(("more evidence", "needs work", "inconclusive")),
    },
    fillers=frozenset(("a", "the", "recommendation", "rating", "position", "trade")),
    wrappers=frozenset(("screening", "analysis", "optimization", "review", "validation", "watchlist", "decision")),
)


class Judgement(Spoken):
    """Base of all results. Fields named in `spare` may be missing."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)
    vocabulary: ClassVar[Vocabulary] = VOCABULARY


class Candidate(Judgement):
    symbol: Text
    rationale: Text


class Screening(Judgement):
    """The screener's watchlist, best first."""

    candidates: Annotated[tuple[Candidate, ...], Field(max_length=5)]
    market_note: Text


class Analysis(Judgement):
    """The analyzer's judgement of one symbol."""

    spare = ("key_risks",)

    symbol: Text
    recommendation: Recommendation
    rationale: Text
    key_risks: Annotated[Words, Field(max_length=5)]


class Optimization(Judgement):
    """The optimizer's word on one plan whose prices and size stand."""

    symbol: Text
    approve: bool
    rationale: Text
    scaling_note: Text


class PerformanceReview(Judgement):
    """The reviewer's reading of past trades."""

    spare = ("patterns", "psychology", "recommendations", "poor_performers")

    summary: Text
    patterns: Words
    psychology: Words
    recommendations: Words
    poor_performers: Words


class Validation(Judgement):
    """The backtester's word on a strategy."""

    spare = ("concerns",)

    strategy: Text
    verdict: Verdict
    reasons: Annotated[Words, Field(min_length=1)]
    concerns: Words


R = TypeVar("R", bound=Judgement)


class Turn(Spoken):
    """One answer of an agent: a call, where `tool` is named, or its result in the other fields."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)
    vocabulary: ClassVar[Vocabulary] = VOCABULARY
    needed: ClassVar[tuple[str, ...]] = ()
    schema_sent: ClassVar[Schema] = {}

    tool: str | None = None
    arguments: dict[str, Any] | None = None

    @field_validator("tool", mode="before")
    @classmethod
    def _read_none(cls, given: Any) -> Any:
        return None if isinstance(given, str) and given.strip().casefold() in NOTHING else given

    @model_validator(mode="after")
    def _says_something(self, info: ValidationInfo) -> Turn:
        if self.tool is not None:
            return self
        if missing := [name for name in self.needed if getattr(self, name) is None]:
            raise ValueError(f"it is neither a tool and its arguments nor a result: {', '.join(missing)} missing")
        symbols: Mapping[str, Any] = info.context or {}
        for named in self.symbols_named():
            if symbols and named not in symbols:
                raise ValueError(f'"{named}" is not asked about: there are {", ".join(symbols)}')
        return self

    def symbols_named(self) -> tuple[str, ...]:
        """Symbols that a result is about. Candidates are none: those that did not pass are struck out."""
        given = vars(self)
        return (given["symbol"],) if given.get("symbol") else ()

    @model_serializer(mode="wrap")
    def _as_given(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if name in self.model_fields_set}

    @classmethod
    def model_json_schema(cls, *_args: Any, **_kwargs: Any) -> Schema:
        """Return the schema sent with a question."""
        return cls.schema_sent


@cache
def turn_of(result: type[Judgement], with_tools: bool) -> type[Turn]:
    """Return the answer that is a `result`, or, `with_tools`, a call: the schema sent says so, what is read takes both.

    Without tools a call is still read, so that it can be refused in words.
    """
    needed = tuple(name for name in result.model_fields if name not in result.spare)
    fields: dict[str, Any] = {}
    for name, field in result.model_fields.items():
        kind: Any = field.annotation
        limited = Annotated[kind, *field.metadata] if field.metadata else kind
        fields[name] = (limited, ()) if name in result.spare else (limited | None, None)
    turn = create_model(result.__name__, __base__=Turn, **fields)
    turn.needed, turn.spare = needed, result.spare
    own = SCHEMAS[result.__name__]
    choice = {"anyOf": [SCHEMAS["call"], own]} if with_tools else own
    turn.schema_sent = {"title": result.__name__, **choice}
    return turn
