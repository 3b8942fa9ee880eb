"""A small council over a service, in a process of its own, with everything a real run has. Not a test by itself.

    python small_run.py '{"folder": …, "url": …, "dates": 5, …}'  ─►  a line of JSON on stdout

Two researchers, three managers and a chairman per date; each round's questions quote the answers of the one before.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from simulator.config import EndpointLimits, Price, Seat
from simulator.errors import SimError
from simulator.llm.answers import schema_of
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway, Mode
from simulator.llm.journal import Journal
from simulator.llm.messages import Message
from simulator.llm.providers.offline import Offline
from simulator.llm.registry import providers_for, request_for
from simulator.llm.retries import Retry
from simulator.llm.spending.budget import Budget
from simulator.llm.spending.charges import Charges
from simulator.llm.spending.limits import Limits
from simulator.llm.spending.prices import Prices
from simulator.llm.spending.shared_ledger import SharedLedger

ROUNDS = {"research": 2, "pitch": 3, "chairman": 1}
PER_DATE = sum(ROUNDS.values())


class View(BaseModel):
    """An answer of every seat."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})
    conviction: int = Field(ge=-2, le=2)
    thesis: str


@dataclass(frozen=True)
class Settings:
    folder: str
    url: str
    dates: int = 5
    mode: Mode = "record"
    concurrency: int = 8
    timeout_s: float = 5.0
    max_cost: float = 100.0
    max_day: float = 100.0
    run: str = ""
    key_env: str = ""
    waits: int = 8
    guard: bool = False
    kills: int = 0
    processes: int = 1
    seed: int = 0
    price: float = 100.0


async def date(gateway: Gateway, seat: Seat, number: int) -> list[str]:
    """What the chairman of that date said, or why there is nothing."""
    said: list[str] = []
    for stage, several in ROUNDS.items():
        asked = []
        for i in range(several):
            prompt = f"Date {number}, {stage} {i}. So far: {' | '.join(said)}"
            purpose = {"stage": stage, "seat": f"{stage}.{i}", "session": f"2024-01-{number:03d}"}
            request = request_for(seat, [Message("user", prompt)], schema_of(View), purpose)
            asked.append(gateway.ask_for(request, View))
        said = [one.value.thesis if one.value else f"nothing: {one.error}" for one in await asyncio.gather(*asked)]
    return said


async def council(gateway: Gateway, seat: Seat, dates: int) -> list[list[str]]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(date(gateway, seat, number)) for number in range(dates)]
    finally:
        await gateway.drain()
    return [task.result() for task in tasks]


def run(settings: Settings) -> dict[str, Any]:
    """What came of it, JSON-able: a digest of all answers or the error, and what was counted."""
    folder = Path(settings.folder)
    seat = Seat(provider="openai_compatible", model="rehearsal", endpoint=settings.url, temperature=0.7, max_tokens=50,
                api_key_env=settings.key_env, timeout_s=settings.timeout_s)  # fmt: skip
    ledger = SharedLedger(folder / "llm_cache")
    charges = Charges(Prices({settings.url: Price(input=settings.price, output=4 * settings.price)}), ledger=ledger)
    gateway = Gateway(
        AnswerCache(folder / "llm_cache"),
        providers_for({"*": seat}, Offline({}, ""), charges.charge),
        mode=settings.mode,
        budget=Budget(settings.max_cost, max_usd_per_day=settings.max_day, ledger=ledger, run=settings.run),
        estimate_usd=charges.estimate,
        retry=Retry(tuple(0.01 * (i + 1) for i in range(settings.waits))),
        limiter=Limits.for_seats([seat], {settings.url: EndpointLimits(concurrency=settings.concurrency)}, ledger),
        journal=Journal(folder / "logs" / "llm"),
    )
    found: dict[str, Any] = {"error": "", "code": 0}
    try:
        said = asyncio.run(council(gateway, seat, settings.dates))
        found["digest"] = hashlib.sha256(json.dumps(said).encode()).hexdigest()
    except* SimError as errors:
        first = errors.exceptions[0]
        assert isinstance(first, SimError)
        found |= {"error": str(first), "code": first.exit_code, "kind": type(first).__name__}
    found |= {
        "asked": gateway.asked,
        "cached": gateway.cached,
        "failed": gateway.failed,
        "cost_usd": gateway.cost_usd,
        "entries": len(gateway.cache.keys()),
        "calls": hashlib.sha256(repr(sorted(map(repr, gateway.calls))).encode()).hexdigest(),
    }
    gateway.cache.close()
    ledger.close()
    return found


def refuse_network() -> None:
    """From here on whoever reaches for the network is stopped."""

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
            raise RuntimeError(f"{event} {args!r}")

    sys.addaudithook(hook)


def kill_at_random_moments(settings: Settings) -> None:
    """Fork the run and kill it, over and over; after each kill a line is printed and one is waited for on stdin.

    Forked after a first date rather than started, so that a run is killed while it asks and not while it imports.
    """
    run(replace(settings, dates=1))
    moments = random.Random(settings.seed)
    for _ in range(settings.kills):
        child = os.fork()
        if not child:
            try:
                run(settings)
            finally:
                os._exit(0)
        time.sleep(moments.uniform(0.0, 0.4))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print("killed", flush=True)
        sys.stdin.readline()


def side_by_side(settings: Settings) -> None:
    """Fork the run several times over; each prints its line. What is slow to import is there before."""
    import openai  # noqa: F401

    children = []
    for _ in range(settings.processes):
        child = os.fork()
        if not child:
            try:
                os.write(1, json.dumps(run(settings)).encode() + b"\n")
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def main() -> None:
    settings = Settings(**json.loads(sys.argv[1]))
    if settings.guard:
        refuse_network()
    if settings.kills:
        kill_at_random_moments(settings)
    elif settings.processes > 1:
        side_by_side(settings)
    else:
        print(json.dumps(run(settings)))


if __name__ == "__main__":
    main()
