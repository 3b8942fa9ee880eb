"""Speed of asking a year of questions: `python benchmarks/gateway.py [--latency S] [--concurrency N] [--json]`.

A year of weekly full councils is 52 dates × 28 questions in four rounds that follow each other: 2 researchers, 5
managers, 20 reviews, 1 chairman. They are put to `python -m simulator.llm.fake_service`, a server on loopback.
Aims: all dates together in 1.3 × max(calls × latency / concurrency, 4 × latency); 5,000 stored answers a second.
Beside it the same questions date by date, each waiting for the one before, over a part of the year.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from simulator.config import EndpointLimits, Price, Seat
from simulator.llm.answers import schema_of
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway
from simulator.llm.journal import Journal
from simulator.llm.messages import ChatRequest, Message
from simulator.llm.providers.offline import Offline
from simulator.llm.registry import providers_for, request_for
from simulator.llm.spending.budget import Budget
from simulator.llm.spending.charges import Charges
from simulator.llm.spending.limits import Limits
from simulator.llm.spending.prices import Prices
from simulator.llm.spending.shared_ledger import SharedLedger

DATES = 52
ROUNDS = {"research": 2, "pitch": 5, "review": 20, "chairman": 1}
CALLS = sum(ROUNDS.values())
FACTS = "".join(f"SYM{i:02d} close {100 + 7 * i % 31}.25, sma20 above sma50, trend up, no event\n" for i in range(90))


class Pick(BaseModel):
    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})
    symbol: str
    conviction: Literal[-2, -1, 0, 1, 2]
    thesis: str


class Pitch(BaseModel):
    """An answer as a manager gives it."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})
    pick: Pick
    risks: list[str]
    summary: str


Work = Callable[[Gateway, Seat, int], Awaitable[list[list[str]]]]


def question(seat: Seat, date: int, stage: str, number: int, so_far: str) -> ChatRequest:
    """Some 6 KB of prompt; every round quotes the answers of the one before."""
    text = f"Date {date}, {stage} {number}.\n{FACTS}{so_far}"
    purpose = {"stage": stage, "seat": f"{stage}{number}", "session": f"2024-{date:03d}"}
    return request_for(
        seat, [Message("system", "You manage a book."), Message("user", text)], schema_of(Pitch), purpose
    )


async def date_side_by_side(gateway: Gateway, seat: Seat, date: int) -> list[str]:
    answers: list[str] = []
    for stage, number in ROUNDS.items():
        so_far = " ".join(answers)[:500]
        asked = [gateway.ask_for(question(seat, date, stage, i, so_far), Pitch) for i in range(number)]
        answers = [answered.response.text for answered in await asyncio.gather(*asked)]
    return answers


async def date_one_by_one(gateway: Gateway, seat: Seat, date: int) -> list[str]:
    answers: list[str] = []
    for stage, number in ROUNDS.items():
        so_far = " ".join(answers)[:500]
        answers = [
            (await gateway.ask_for(question(seat, date, stage, i, so_far), Pitch)).response.text for i in range(number)
        ]
    return answers


async def year_together(gateway: Gateway, seat: Seat, dates: int) -> list[list[str]]:
    return await asyncio.gather(*(date_side_by_side(gateway, seat, date) for date in range(dates)))


async def year_by_date(gateway: Gateway, seat: Seat, dates: int) -> list[list[str]]:
    return [await date_one_by_one(gateway, seat, date) for date in range(dates)]


@contextmanager
def service(latency: float) -> Iterator[str]:
    words = [sys.executable, "-m", "simulator.llm.fake_service", "--port", "0", "--latency", str(latency)]
    with subprocess.Popen([*words, "--price", "1", "4"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().removeprefix("listening on ").strip()
        finally:
            process.terminate()


def time_year(
    folder: Path, url: str, concurrency: int, work: Work, dates: int
) -> tuple[float, list[list[str]], Gateway]:
    """Seconds and answers of `work` with everything a real run has: ledger, budget, limits, journal, cache on disk."""
    seat = Seat(provider="openai_compatible", model="rehearsal", endpoint=url, temperature=0.7, max_tokens=400)
    ledger = SharedLedger(folder)
    prices = Prices({url: Price(input=1.0, output=4.0)})
    gateway = Gateway(
        AnswerCache(folder),
        providers_for({"*": seat}, Offline({}, ""), Charges(prices).charge),
        budget=Budget(100.0, max_usd_per_day=1000.0, ledger=ledger),
        estimate_usd=prices.estimate,
        limiter=Limits.for_seats([seat], {url: EndpointLimits(concurrency=concurrency)}, ledger),
        journal=Journal(folder / "log"),
    )

    async def run() -> tuple[float, list[list[str]]]:
        # The SDK is imported and one connection made before the clock starts: a run has done both in its first call.
        await gateway.ask(replace(question(seat, -1, "warm", 0, ""), replicate=int(time.time_ns() % 10**9)))
        started = time.perf_counter()
        answers = await work(gateway, seat, dates)
        taken = time.perf_counter() - started
        await gateway.drain()
        return taken, answers

    try:
        return *asyncio.run(run()), gateway
    finally:
        ledger.close()
        gateway.cache.close()


def stats(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/stats") as answer:
        counted: dict[str, Any] = json.load(answer)
    return counted


def measure(latency: float, concurrency: int, part: int) -> dict[str, float]:
    calls = DATES * CALLS
    with tempfile.TemporaryDirectory() as scratch, service(latency) as url:
        cold, together, gateway = time_year(Path(scratch) / "together", url, concurrency, year_together, DATES)
        counted = stats(url)
        if gateway.asked != calls + 1 or counted["answered"] != calls + 1:
            raise RuntimeError(f"{gateway.asked} asked, {counted}")
        warm = min(time_year(Path(scratch) / "together", url, concurrency, year_together, DATES)[0] for _ in range(3))
        slow, by_date, _ = time_year(Path(scratch) / "by_date", url, concurrency, year_by_date, part)
        if by_date != together[:part]:
            raise RuntimeError("date by date the answers are others than together")
    ideal = max(calls * latency / concurrency, 4 * latency)
    return {
        "calls": calls,
        "latency_s": latency,
        "concurrency": concurrency,
        "most_at_once": counted["most_at_once"],
        "ideal_s": ideal,
        "cold_s": cold,
        "cold_over_ideal": cold / ideal,
        "by_date_part": part / DATES,
        "by_date_part_s": slow,
        "by_date_year_s": slow * DATES / part,
        "times_faster": slow * DATES / part / cold,
        "rerun_s": warm,
        "cached_answers_per_second": calls / warm,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--latency", type=float, default=0.2)
    options.add_argument("--concurrency", type=int, default=64)
    options.add_argument("--part", type=int, default=2, help="dates asked one by one (52 take five minutes)")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    found = measure(given.latency, given.concurrency, given.part)
    if given.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:<32}{value:>14,.2f}")
    print(f"\ndate by date was asked for {given.part} of {DATES} dates and multiplied")


if __name__ == "__main__":
    main()
