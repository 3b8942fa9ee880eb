"""Size of a council's questions by symbols, and the part that services read again: `python benchmarks/prompts.py`.

One meeting of the shipped council on symbols made of the sample's, beside the same council as it was before questions
had an opening (tests/data/before_openings). Tokens are bytes / 4. A service's cache is that of the fake service: equal
beginnings of 1,024 tokens or more, kept once their prompt was answered; all seats have one model there. Aims: linear in
the symbols up to the shortlist and level from there on; at least half of the tokens read again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from simulator.config import Seat, load_config
from simulator.council import analysts
from simulator.council.spec import load_definition
from simulator.council.strategy import Council
from simulator.llm.beginnings import first_beginning
from simulator.llm.cache import AnswerCache
from simulator.llm.fake_service.prefix_cache import PrefixCache
from simulator.llm.gateway import Gateway
from simulator.llm.messages import ChatRequest
from simulator.llm.providers.offline import Offline
from simulator.llm.providers.openai_compatible import body_of
from simulator.llm.registry import seats
from simulator.market.bars import FIELDS, Bars, Snapshot, moment
from simulator.market.load import load_bars

ROOT = Path(__file__).parents[1]
NEW = ROOT / "strategies" / "macro_council" / "strategy.yaml"
OLD = ROOT / "tests" / "data" / "before_openings" / "strategy.yaml"
SAMPLE = ("SPY", "QQQ", "GLD", "AAPL", "NVDA")
SYMBOLS = (5, 24, 50, 100, 500)
STAGES = ("research", "pitch", "review", "chairman")
AT_ONCE_OLD = 100
"""Symbols up to which the older questions are really put: with 500 a meeting is 80 MB."""


class Listening(Gateway):
    """A gateway that keeps what it is asked."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.heard: list[ChatRequest] = []

    async def ask_for(self, request: ChatRequest, model: Any, known: Any = None) -> Any:
        self.heard.append(request)
        return await super().ask_for(request, model, known)


def market(count: int) -> Snapshot:
    """A market of `count` symbols: those of the sample, days apart."""
    loaded = load_bars(
        SAMPLE, ROOT / "data", first=date(2024, 3, 4), last=date(2024, 3, 4), history=400, context=("BIL", "VIX")
    )
    bars, copies = loaded.bars, -(-count // len(SAMPLE))
    arrays = {
        name: np.hstack([np.roll(getattr(bars, name), n, axis=0) for n in range(copies)])[:, :count]
        for name in (*FIELDS, "dividend")
    }
    names = tuple(f"{SAMPLE[n % 5]}{n // 5 or ''}" for n in range(count))
    wide: Bars = replace(bars, symbols=names, sources=(bars.sources[0],) * count, **arrays)
    return wide.snapshot(moment(int(bars.closes_at[-1])), (), loaded.context)


def ask(path: Path, snapshot: Snapshot) -> list[ChatRequest]:
    """Questions of one meeting, answered by the analysts."""
    with tempfile.TemporaryDirectory() as folder, AnswerCache(Path(folder)) as cache:
        gateway = Listening(cache, {"offline": Offline(analysts.RULES, analysts.VERSION)})
        chosen: dict[str, Seat] = seats(load_config(ROOT / "config").models, "offline")
        asyncio.run(Council(load_definition(path), chosen, gateway).opine(snapshot, ()))
    return gateway.heard


def share_read_again(asked: Sequence[ChatRequest], native_schema: bool) -> float:
    """Part of the tokens read again where one model sits in every seat and the first question goes ahead."""
    cache, prompt, read = PrefixCache(), 0, 0
    begun: set[bytes] = set()
    for stage in STAGES:
        together = []
        for one in asked:
            if one.purpose["stage"] != stage:
                continue
            put = replace(one, provider="any", endpoint="http://x", model="one", native_schema=native_schema)
            body, start = body_of(put), first_beginning(put)
            ahead = start is not None and start.digest not in begun
            begun |= {start.digest} if start is not None else set()
            tokens, again, _ = cache.read(body)
            prompt, read = prompt + tokens, read + again
            cache.keep(body) if ahead else together.append(body)
        for body in together:
            cache.keep(body)
    return read / prompt


def measure(count: int) -> dict[str, Any]:
    snapshot = market(count)
    asked = ask(NEW, snapshot)
    sizes = [sum(len(message.content.encode()) for message in request.messages) for request in asked]
    found: dict[str, Any] = {
        "symbols": count,
        "bytes": sum(sizes) / len(sizes),
        "tokens": sum(sizes) / len(sizes) / 4,
        "read_again_native": share_read_again(asked, True),
        "read_again": share_read_again(asked, False),
    }
    if count <= AT_ONCE_OLD:
        before = [sum(len(m.content.encode()) for m in request.messages) for request in ask(OLD, snapshot)]
        found["bytes_before"] = sum(before) / len(before)
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--json", action="store_true")
    found = [measure(count) for count in SYMBOLS]
    if options.parse_args().json:
        print(json.dumps(found))
        return
    head = f"{'symbols':>8}{'before':>12}{'bytes':>10}{'ratio':>8}{'tokens':>9}"
    print(f"{head}   read again: schema sent, in the prompt   aim")
    for one in found:
        before = one.get("bytes_before")
        old, ratio = ("", "") if before is None else (f"{before:,.0f}", f"{one['bytes'] / before:.2f}")
        shares = f"{one['read_again_native']:>22.0%}{one['read_again']:>15.0%}"
        print(
            f"{one['symbols']:>8}{old:>12}{one['bytes']:>10,.0f}{ratio:>8}{one['tokens']:>9,.0f}{shares:>5}      ≥ 50%"
        )


if __name__ == "__main__":
    main()
