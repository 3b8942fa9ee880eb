"""Journal of every question, a line each: ``logs/llm/20260102.jsonl``, by UTC day, appended to and never rewritten.

    {"account":"trend","at":"2026-01-02T03:04:05.678Z","attempt":1,"cost_usd":0.0021,"date":"2024-01-05","error":"",
     "hit":false,"key":"6b0f…","latency_s":1.9,"model":"…","outcome":"answer","provider":"…","stage":"pitch","tokens":[812,95]}

It is for people and their scripts; the program never reads it. Lines hold no text of prompts or answers, no secrets.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from simulator.llm.messages import ChatRequest, ChatResponse, canonical_json


@dataclass(frozen=True)
class Line:
    """One call, or one failed attempt at it.

    Attributes
    ----------
    date : the session the question is about
    account : the seat that was asked
    tokens : (prompt, completion)
    cost_usd, latency_s : of the call that was paid for, also where the answer came from disk (`hit`)
    outcome : ``answer``, ``refusal``, ``unusable``, or ``failed`` for an attempt without an answer
    """

    key: str
    provider: str
    model: str
    stage: str
    date: str
    account: str
    outcome: str
    hit: bool = False
    attempt: int = 1
    tokens: tuple[int, int] = (0, 0)
    cost_usd: float = 0.0
    latency_s: float = 0.0
    error: str = ""


def line_of(request: ChatRequest, response: ChatResponse, *, hit: bool, attempt: int = 1) -> Line:
    """Make the line of an answered question."""
    usage = response.usage
    tokens = (usage.prompt_tokens, usage.completion_tokens)
    return Line(*_about(request), response.outcome, hit, attempt, tokens, usage.cost_usd, response.latency_s)


def failed_line(request: ChatRequest, error: str, attempt: int) -> Line:
    """Make the line of an attempt that brought no answer."""
    return Line(*_about(request), "failed", attempt=attempt, error=error)


def _about(request: ChatRequest) -> tuple[str, str, str, str, str, str]:
    about = request.purpose.get
    return request.key, request.provider, request.model, about("stage", ""), about("session", ""), about("seat", "")


class Journal:
    """The files in `folder`; several processes may write to them.

    A disk that cannot be written to stops no run: `error` says why lines are missing.
    """

    def __init__(self, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.folder, self.error = Path(folder), ""
        self._clock = clock
        self._day: date | None = None
        self._file = -1

    def write(self, line: Line) -> None:
        """Append one line."""
        now = self._clock()
        at = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
        data = canonical_json({**vars(line), "at": at}) + b"\n"
        try:
            if now.date() != self._day:
                self._open(now.date())
            # One write to a file opened with O_APPEND: lines of several processes do not mix.
            if os.write(self._file, data) != len(data):
                self.error = "a line was cut short: the disk is full"
        except OSError as error:
            self.error = error.strerror or str(error)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file, self._day = -1, None

    def _open(self, day: date) -> None:
        self.close()
        self.folder.mkdir(parents=True, exist_ok=True)
        name = self.folder / f"{day:%Y%m%d}.jsonl"
        self._file = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        self._day = day
