"""A meeting recalled from its record, so that it can be decided again without asking anybody.

PipelineContext ──record.evidence──► decisions.jsonl ──recalled──► PipelineContext
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from simulator.council.answers import Answer, ChairmanDecision, Pitch, ResearchPack, Review
from simulator.council.context import Answered, PipelineContext
from simulator.council.stages.execution import Executed
from simulator.errors import DataError
from simulator.trading.model import Target

A = TypeVar("A", bound=Answer)

KIND = "council"
"""``kind`` of the records that can be recalled."""

OF_THE_MEETING = ("kind", "no_decision", "user_query", "facts", "research", "pitches", "reviews", "chairman")
DERIVED = ("labels", "scores", "net_votes", "opened", "execution")
"""Keys of a record; what else stands in it is metadata."""


def recalled(as_of: datetime, record: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> PipelineContext:
    """The context behind `record`, which :func:`simulator.council.record.evidence` wrote of the meeting at `as_of`.

    A record tells its metadata in short: where the council is at hand, `metadata` of the context it would open stands
    in its place. Answers are checked as those of a model are, and are of the general types (`Pitch`), not of those
    made for the symbols of a meeting. Raises DataError for what is no record of a meeting.
    """
    try:
        found = _recalled(as_of, record)
        return found if metadata is None else found.having(metadata=metadata)
    # pydantic's ValidationError is a ValueError.
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        said = str(error).splitlines()[0] if isinstance(error, ValueError) else f"{type(error).__name__} {error}"
        raise DataError(f"is no record of a meeting ({said})", where=f"decision of {as_of.isoformat()}") from None


def _recalled(as_of: datetime, record: Mapping[str, Any]) -> PipelineContext:
    if record["kind"] != KIND:
        raise ValueError(f"its kind is {record['kind']!r}")
    chairman = record.get("chairman")
    return PipelineContext(
        as_of=as_of,
        user_query=record["user_query"],
        facts=record["facts"],
        research_packs=_all_said(record["research"], ResearchPack),
        pm_pitches=_all_said(record["pitches"], Pitch),
        peer_reviews=_all_said(record["reviews"], Review),
        chairman_decision=None if chairman is None else _said(chairman, ChairmanDecision),
        execution_results=tuple(_executed(one) for one in record.get("execution") or ()),
        metadata={name: value for name, value in record.items() if name not in (*OF_THE_MEETING, *DERIVED)},
        no_decision=record["no_decision"],
    )


def _all_said(rows: Iterable[Mapping[str, Any]], model: type[A]) -> tuple[Answered[A], ...]:
    return tuple(_said(row, model) for row in rows)


def _said(row: Mapping[str, Any], model: type[A]) -> Answered[A]:
    value = model.model_validate(row["answer"]) if "answer" in row else None
    return Answered(row["seat"], tuple(row["keys"]), value, None if value else str(row["error"]), row.get("about"))


def _executed(row: Mapping[str, Any]) -> Executed:
    target = {name: value for name, value in row.items() if name not in ("seat", "notes")}
    return Executed(Target(**target), row["seat"], tuple(row["notes"]))
