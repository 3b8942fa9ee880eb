"""Prompts of a run: the questions behind its own decisions as they were put, each line of text held once.

    prompts.json   {"lines": ["You take part …\\n", …], "prompts": {key: [{"role": "system", "lines": "0-11,40"}, …]}}

A meeting's questions repeat its facts and each other's words, so that this is a tenth of the size they have together.
They follow from the keys in the records and are in no digest of a result.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict, cast

from simulator import files
from simulator.council.records import AnswerRow, CouncilRecord, council_record
from simulator.evidence import verify
from simulator.evidence.reader import read_document
from simulator.evidence.records import DecisionRow, RunRecord

if TYPE_CHECKING:  # a report opens no cache
    from simulator.llm.cache import AnswerCache

PROMPTS = "prompts.json"

MOST = 3_000
"""Questions that are kept with a run, those of decisions that led to orders first; `sim cache show KEY` has all."""

PIECE = re.compile(r'"[^"\n]{1,12}": (?=\{")|\{"[^\n]*\}(?=,?\n)|[^\n]+\n*|\n+')
"""A line with the empty ones behind it; an object in a line of its own apart from its name: every reviewer is shown the
same pitches under other letters."""

DECIDED_BY = ("llm_calls.jsonl", "decisions.jsonl", "orders.csv")
"""Files that decide which questions are kept."""


class Question(NamedTuple):
    """A question of a meeting or checkpoint: who was asked, about whose pitch, and its key in the cache."""

    stage: str
    seat: str
    about: str
    key: str


class MessageRow(TypedDict):
    role: str
    lines: str


class PromptsRecord(TypedDict):
    """prompts.json."""

    lines: list[str]
    prompts: dict[str, list[MessageRow]]


def questions_of(record: CouncilRecord) -> list[Question]:
    """Return the questions behind a decision, in the order of their stages."""
    found: list[Question] = []

    def add(stage: str, rows: Iterable[Mapping[str, object]]) -> None:
        for row in rows:
            seat, about = str(row["seat"]), str(row.get("about") or "")
            found.extend(Question(stage, seat, about, key) for key in cast(list[str], row.get("keys") or ()))

    if record["kind"] == "council":
        shortlist = record.get("shortlist")
        if shortlist and "answer" in shortlist:
            add("shortlist", [cast(AnswerRow[object], shortlist["answer"])])
        add("research", record["research"])
        add("pitch", record["pitches"])
        add("review", record["reviews"])
        add("chairman", [record["chairman"]] if record["chairman"] else [])
    elif record["kind"] == "checkpoint":
        add("checkpoint", record["theses"])
    return found


def prompts_file(decisions: Sequence[DecisionRow], acting: Iterable[int], cache: AnswerCache) -> dict[str, bytes]:
    """Return prompts.json of `decisions`, those numbered in `acting` first, empty where nobody was asked.

    Raises CacheCorruptError and LLMError as `AnswerCache.entry` does.
    """
    first = set(acting)
    order = sorted(range(len(decisions)), key=lambda n: n not in first)
    lines: dict[str, int] = {}
    prompts: dict[str, list[MessageRow]] = {}
    for key in _keys(decisions[n] for n in order):
        if len(prompts) == MOST:
            break
        if key not in prompts and (entry := cache.entry(key)) is not None:
            prompts[key] = [
                {
                    "role": str(message["role"]),
                    "lines": join_runs(
                        lines.setdefault(line, len(lines)) for line in PIECE.findall(str(message["content"]))
                    ),
                }
                for message in entry.request["messages"]
            ]
    content: PromptsRecord = {"lines": list(lines), "prompts": prompts}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return {PROMPTS: text.encode("utf-8", "surrogatepass")} if prompts else {}


def _keys(decisions: Iterable[DecisionRow]) -> Iterator[str]:
    for decision in decisions:
        record = council_record(decision["record"])
        if record is not None:
            yield from (question.key for question in questions_of(record))
        elif decision["record"].get("kind") == "desk":
            agents = cast(Sequence[Mapping[str, Sequence[str]]], decision["record"].get("agents", ()))
            yield from (key for row in agents for key in row["keys"])


def prompts_before(folder: Path, now: Mapping[str, bytes]) -> dict[str, bytes] | None:
    """Return prompts.json of an earlier making of the run, None unless what decides it is as it was: a rerun asks
    nothing, and thousands of questions take most of a second to unpack."""
    try:
        parts = json.loads(files.read_bytes(folder / "run.json"))["parts"]
        if any(parts.get(name) != verify.sha256(now[name]) for name in DECIDED_BY):
            return None
        content = files.read_bytes(folder / PROMPTS)
        return {PROMPTS: content} if parts[PROMPTS] == verify.sha256(content) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def read_prompts(folder: Path, run: RunRecord) -> PromptsRecord:
    """Return prompts.json of `folder`, empty in folders that have none. Raises DataError."""
    if PROMPTS not in (run.get("parts") or {}):
        return {"lines": [], "prompts": {}}
    return cast(PromptsRecord, read_document(folder / PROMPTS, PromptsRecord, run))


def join_runs(numbers: Iterable[int]) -> str:
    """Return ``0-11,40``: numbers with those that follow each other together."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
