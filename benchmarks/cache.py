"""Speed of stored answers: `python benchmarks/cache.py [--entries N] [--json]`.

A year of weekly councils is 52 × 28 = 1,456 questions of some 6 KB. Aims: 5,000 answers a second in one process,
1,456 structured answers in half a second, a miss explained in seconds whatever the size of the cache.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from simulator.errors import CacheMissError
from simulator.llm.answers import with_schema
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway
from simulator.llm.messages import ChatRequest, ChatResponse, Message

YEAR = 52 * 28


class Pick(BaseModel):
    symbol: str
    conviction: Literal[-2, -1, 0, 1, 2]
    thesis: str = Field(max_length=2000)


class Pitch(BaseModel):
    """An answer as a manager gives it."""

    picks: list[Pick]
    risks: list[str]
    summary: str


def question(number: int) -> ChatRequest:
    """A prompt of 6 KB, of which a tenth differs from one date to the next."""
    numbers = random.Random(number)
    rows = "".join(
        f"SYM{i:02d} close {numbers.uniform(10, 500):.2f} sma20 above sma50, trend up, no event\n" for i in range(90)
    )
    return ChatRequest(
        provider="offline",
        model=f"seat{number % 28}@1a2b3c4d",
        messages=(Message("system", "You manage a macro book.\n" * 15), Message("user", rows)),
        purpose={"stage": "pitch", "seat": f"seat{number % 28}", "session": str(number // 28)},
    )


def answer(number: int) -> ChatResponse:
    picks = [{"symbol": f"SYM{i:02d}", "conviction": i % 5 - 2, "thesis": f"reason {number} " * 12} for i in range(5)]
    return ChatResponse(json.dumps({"picks": picks, "risks": ["one", "two"], "summary": "a sentence or two " * 8}))


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """The best of `repeats`."""
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def measure(folder: Path, entries: int) -> dict[str, float]:
    with AnswerCache(folder) as cache:
        requests = [with_schema(question(i), Pitch) for i in range(YEAR)]
        writing = seconds(lambda: [cache.put(request, answer(i)) for i, request in enumerate(requests)], 1)
        cache.close()
        found = {
            "prompt_bytes": len(requests[0].canonical_json),
            "entry_bytes": size(folder) / YEAR,
            "opening_ms": 1000 * seconds(lambda: opened(folder), 5),
            "key_us": 1e6 / YEAR * least(keys, requests),
            "puts_per_second": YEAR / writing,
            "gets_per_second": YEAR / seconds(lambda: [cache.get(request.key) for request in requests]),
            "asks_per_second": YEAR / least(lambda again: rerun(cache, again), requests),
            "structured_year_s": least(lambda again: rerun_structured(cache, again), requests),
        }
        for number in range(YEAR, entries):
            cache.put(question(number), answer(number))
        found["entries"] = max(entries, YEAR)
        found["explained_miss_s"] = seconds(lambda: missed(cache, 5), 1)
        found["explained_miss_other_purpose_s"] = seconds(lambda: missed(cache, 5, session="none"), 1)
        found["verify_s"] = seconds(cache.verify, 1)
        found["stats_s"] = seconds(cache.stats, 1)
    return found


def size(folder: Path) -> int:
    """Bytes of a closed cache."""
    with AnswerCache(folder) as cache:
        cache.verify()
    return (folder / "cache.db").stat().st_size


def opened(folder: Path) -> None:
    with AnswerCache(folder) as cache:
        cache.get("0" * 64)


def rerun(cache: AnswerCache, requests: list[ChatRequest]) -> None:
    async def run() -> None:
        gateway = Gateway(cache, {}, mode="replay")
        for request in requests:
            await gateway.ask(request)

    asyncio.run(run())


def rerun_structured(cache: AnswerCache, requests: list[ChatRequest]) -> None:
    async def run() -> None:
        gateway = Gateway(cache, {}, mode="replay")
        for request in requests:
            answered = await gateway.ask_for(request, Pitch)
            if answered.value is None:
                raise RuntimeError(answered.error)

    asyncio.run(run())


def keys(requests: list[ChatRequest]) -> None:
    for request in requests:
        _ = request.key


def least(work: Callable[[list[ChatRequest]], object], requests: list[ChatRequest]) -> float:
    """Seconds `work` takes for questions whose keys are not worked out yet; the best of three."""
    return min(once(work, [replace(request) for request in requests]) for _ in range(3))


def once(work: Callable[[list[ChatRequest]], object], requests: list[ChatRequest]) -> float:
    return seconds(lambda: work(requests), 1)


def missed(cache: AnswerCache, number: int, **purpose: str) -> None:
    request = with_schema(question(number), Pitch)
    changed = request.messages[1].content.replace("no event", "an event", 1)
    request = replace(request, messages=(request.messages[0], Message("user", changed)))
    try:
        rerun(cache, [replace(request, purpose={**request.purpose, **purpose})])
    except CacheMissError:
        return
    raise RuntimeError("the changed question was found")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--entries", type=int, default=YEAR, help="size of the cache when misses are explained")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), given.entries)
    if given.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:<32}{value:>14,.2f}")


if __name__ == "__main__":
    main()
