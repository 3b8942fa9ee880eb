"""Answers a council did not get, and what that cost it: failed members, and meetings that ended without a decision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from simulator.council.records import AnswerRow, CheckpointRecord, MeetingRecord, RevisedThesis, council_record
from simulator.evidence.records import FailedAnswer, Shortfalls
from simulator.evidence.rows import exchange_time
from simulator.replay.run import Replayed


def shortfalls(replicates: Sequence[Replayed]) -> Shortfalls:
    """Return ``shortfalls`` of run.json: a pure function of the records of the decisions of every replicate."""
    found: Shortfalls = {"meetings": 0, "answers": 0, "failed": [], "no_decision": []}
    for number, replayed in enumerate(replicates):
        for result in replayed.results:
            record = council_record(result.decision.record)
            if record is None or (record["kind"] != "council" and record["kind"] != "checkpoint"):
                continue
            session = exchange_time(result.decision.as_of)[:10]
            asked = [(stage, row) for stage, row in _questions(record) if row["keys"]]
            failed = [_make_failed(session, number, stage, row) for stage, row in asked if row.get("error") is not None]
            found["answers"] += len(asked)
            found["failed"] += failed
            if record["kind"] == "council":
                found["meetings"] += 1
                if failed and record["no_decision"] is not None:
                    why = record["no_decision"]
                    found["no_decision"].append({"session": session, "replicate": number, "why": why})
    return found


def _questions(record: MeetingRecord | CheckpointRecord) -> Iterator[tuple[str, AnswerRow[Any] | RevisedThesis]]:
    """(stage, answer) of a meeting or checkpoint. What has no keys was asked of nobody: a chair that only counts votes,
    a thesis that its stop ended."""
    if record["kind"] == "checkpoint":
        yield from (("checkpoint", thesis) for thesis in record["theses"])
        return
    yield from (("research", row) for row in record["research"])
    yield from (("pitch", row) for row in record["pitches"])
    yield from (("review", row) for row in record["reviews"])
    if record["chairman"] is not None:
        yield "chairman", record["chairman"]


def _make_failed(session: str, replicate: int, stage: str, row: AnswerRow[Any] | RevisedThesis) -> FailedAnswer:
    failed: FailedAnswer = {
        "session": session,
        "replicate": replicate,
        "stage": stage,
        "seat": row["seat"],
        "error": str(row.get("error")),
    }
    about = row.get("about")
    return {**failed, "about": str(about)} if about is not None else failed
