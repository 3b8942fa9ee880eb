"""A meeting restored from its record, so that it can be decided again without asking anybody.

PipelineContext ──record.evidence──► decisions.jsonl ──restore_meeting──► PipelineContext
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from simulator.council.answers import Answer, ChairmanDecision, Picked, Pitch, ResearchPack, Review
from simulator.council.context import Answered, Metadata, PipelineContext
from simulator.council.records import AnswerRow, DecisionRecord, ExecutionRow, meeting_record
from simulator.council.shortlist import Shortlist
from simulator.council.stages.execution import Executed
from simulator.errors import DataError
from simulator.trading.model import Target

A = TypeVar("A", bound=Answer)

OF_THE_MEETING = ("kind", "no_decision", "user_query", "facts", "research", "pitches", "reviews", "chairman")
DERIVED = ("labels", "scores", "net_votes", "opened", "execution", "shortlist", "may_hold")
"""Keys of a record; what else stands in it is metadata."""


def restore_meeting(as_of: datetime, record: DecisionRecord, metadata: Metadata | None = None) -> PipelineContext:
    """Return the context behind `record`, which :func:`simulator.council.write_record.evidence` wrote of the meeting at
    `as_of`.

    A record has its metadata in short: where the council is at hand, `metadata` of the context it would open stands in
    its place. Answers are checked as those of a model are, and are of the general types (`Pitch`), not of those made
    for the symbols of a meeting. Raises DataError for what is no record of a meeting.
    """
    try:
        context = _restore(as_of, record)
        return context if metadata is None else replace(context, metadata=metadata)
    # pydantic's ValidationError is a ValueError.
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        why = str(error).splitlines()[0] if isinstance(error, ValueError) else f"{type(error).__name__} {error}"
        raise DataError(f"is no record of a meeting ({why})", where=f"decision of {as_of.isoformat()}") from None


def _restore(as_of: datetime, record: DecisionRecord) -> PipelineContext:
    meeting = meeting_record(record)
    if meeting is None:
        raise ValueError(f"its kind is {record['kind']!r}")
    chairman, row = meeting.get("chairman"), meeting.get("shortlist")
    said = read_answers([row["answer"]], Picked)[0] if row and "answer" in row else None
    return PipelineContext(
        as_of=as_of,
        user_query=meeting["user_query"],
        facts=meeting["facts"],
        research_packs=read_answers(meeting["research"], ResearchPack),
        pm_pitches=read_answers(meeting["pitches"], Pitch),
        peer_reviews=read_answers(meeting["reviews"], Review),
        chairman_decision=None if chairman is None else read_answers([chairman], ChairmanDecision)[0],
        execution_results=tuple(_execution(row) for row in meeting.get("execution", ())),
        metadata={name: value for name, value in record.items() if name not in (*OF_THE_MEETING, *DERIVED)},
        no_decision=meeting["no_decision"],
        shortlist=None
        if row is None
        else Shortlist(tuple(row["symbols"]), row["of"], row["by"], tuple(row["held"]), said),
    )


def read_answers(rows: Iterable[AnswerRow[Any]], model: type[A]) -> tuple[Answered[A], ...]:
    """Return the answers of rows that `write_record.answer_row` wrote. Raises ValueError, KeyError or TypeError."""
    answers = []
    for row in rows:
        value = model.model_validate(row["answer"]) if "answer" in row else None
        error = None if value else str(row["error"])
        fixes = tuple(row.get("fixes", ()))
        answers.append(Answered(row["seat"], tuple(row["keys"]), value, error, row.get("about"), fixes))
    return tuple(answers)


def _execution(row: ExecutionRow) -> Executed:
    target: dict[str, Any] = {name: value for name, value in row.items() if name not in ("seat", "notes")}
    return Executed(Target(**target), row["seat"], tuple(row["notes"]))
