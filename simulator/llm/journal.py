"""Journal of every question, a line each: ``logs/llm/20260102.jsonl``, by UTC day, appended to and never rewritten.

    {"account":"trend","at":"2026-01-02T03:04:05.678Z","attempt":1,"cost_usd":0.0021,"date":"2024-01-05","error":"",
     "hit":false,"key":"6b0f…","latency_s":1.9,"model":"…","outcome":"answer","provider":"…","served":"…",
     "stage":"pitch","tokens":[812,95]}

It is for people and their scripts; the program never reads it. Lines hold no text of prompts or answers, no secrets.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from simulator.files import keep_private
from simulator.llm.messages import ChatRequest, ChatResponse
from simulator.llm.trace import Call


class Journal:
    """The files in `folder`; several processes may write to them.

    A disk that cannot be written to stops no run: `error` says why lines are missing.
    """

    def __init__(self, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.folder, self.error = Path(folder), ""
        self._clock = clock
        self._day: date | None = None
        self._file = -1

    def write(
        self,
        request: ChatRequest | Call,
        response: ChatResponse | None,
        *,
        hit: bool = False,
        attempt: int = 1,
        error: str = "",
        paid_usd: float | None = None,
    ) -> None:
        """Append the line of an answer, or of an attempt that brought none but `error`, and may have cost `paid_usd`.

        Cost and latency of an answer from disk (`hit`) are those of the call that was paid for.
        """
        now, about = self._clock(), request.purpose.get
        answer = response or ChatResponse("")
        line = {
            "account": about("seat", ""),
            "at": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z",
            "attempt": attempt,
            "cost_usd": paid_usd or answer.usage.cost_usd,
            "date": about("session", ""),
            "error": error,
            "hit": hit,
            "key": request.key,
            "latency_s": answer.latency_s,
            "model": request.model,
            "outcome": answer.outcome if response else "failed",
            "provider": request.provider,
            "served": answer.model,
            "stage": about("stage", ""),
            "tokens": [answer.usage.prompt_tokens, answer.usage.completion_tokens],
        }
        # ASCII, for people look at it with `cat` and `tail -f`.
        data = json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n"
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
        keep_private(name)
        # O_NONBLOCK: a pipe without a reader is an error and no wait.
        more = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
        self._file = os.open(name, os.O_WRONLY | os.O_APPEND | more)
        self._day = day
