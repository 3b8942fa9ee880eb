"""Answers a council did not get, and what that cost it: failed members, and meetings that ended without a decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from simulator.evidence.writer import exchange_time
from simulator.replay.run import Replayed

STAGES = {"research": "research", "pitches": "pitch", "reviews": "review"}
"""Keys of a council's record that hold lists of answers, and the stage they came from."""


def shortfalls(draws: Sequence[Replayed]) -> dict[str, Any]:
    """What run.json says of them: a pure function of the decisions' records.

    Keys: ``meetings``, ``answers`` wanted, ``failed`` [{session, replicate, stage, seat, about where it is a review,
    error}], ``no_decision`` [{session, replicate, why}] for meetings a failed answer kept from deciding.
    """
    meetings = answers = 0
    failed: list[dict[str, Any]] = []
    undecided: list[dict[str, Any]] = []
    for number, draw in enumerate(draws):
        for result in draw.results:
            record = result.decision.record
            if record.get("kind") not in ("council", "checkpoint"):
                continue
            spot = {"session": exchange_time(result.decision.as_of)[:10], "replicate": number}
            said = list(_said(record))
            lost = [{**spot, **one} for one in said if one["error"] is not None]
            meetings, answers = meetings + (record["kind"] == "council"), answers + len(said)
            failed += lost
            if lost and record.get("no_decision") is not None:
                undecided.append({**spot, "why": record["no_decision"]})
    return {"meetings": meetings, "answers": answers, "failed": failed, "no_decision": undecided}


def _said(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """(stage, seat, about, error) of every question that was put at one meeting or checkpoint."""
    if record["kind"] == "checkpoint":
        for thesis in record["theses"]:
            if thesis["keys"]:
                yield {"stage": "checkpoint", "seat": thesis["seat"], "error": thesis.get("error")}
        return
    lists = [(stage, record[key]) for key, stage in STAGES.items()]
    chairman = record["chairman"]
    for stage, said in [*lists, ("chairman", [chairman] if chairman else [])]:
        for one in said:
            # A council without a chairman votes: nobody was asked.
            if one["keys"]:
                about = {"about": one["about"]} if "about" in one else {}
                yield {"stage": stage, "seat": one["seat"], **about, "error": one.get("error")}
