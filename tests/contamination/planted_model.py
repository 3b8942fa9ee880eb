"""A model that remembers the future of a council of two, or only seems to. Not a test by itself.

Its table: ``kind`` (memoriser, reader, guesser or honest), ``cutoff``, by symbol and session ``next`` (return over the
week after) and ``close`` (at the close before), and ``prints``, {three returns to two decimals: [symbol, session]}. Up
to the cut-off the memoriser answers from ``next`` of the name and the date it is shown, the reader from that of
whatever asset and date the returns it is shown belong to; both toss a coin after it, or where they know neither, as the
guesser always does: a coin of the date it is shown. Asked which asset it was shown, the reader says it cannot tell,
unless it ``sees_through``. The honest model follows momentum.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from simulator.llm.messages import ChatRequest, ChatResponse
from simulator.llm.providers.offline import facts_of

MONTH = "return_21_pct"
"""The fact the honest model goes by."""

PRINT = ("return_5_pct", MONTH, "return_63_pct")
"""The facts by which the reader finds asset and date."""


class PlantedModel:
    name = "planted"

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table

    async def ask(self, request: ChatRequest) -> ChatResponse:
        title = str((request.schema or {}).get("title", ""))
        answer = getattr(self, title.lower())(request)
        return ChatResponse(json.dumps(answer), model="planted-1")

    def pitch(self, request: ChatRequest) -> dict[str, Any]:
        market = facts_of(request)["market"]
        symbols, day = market["symbols"], market["as_of"][:10]
        if self.table["kind"] == "honest":
            chosen = max(symbols, key=lambda name: symbols[name].get(MONTH, 0.0))
            sign = 1 if symbols[chosen].get(MONTH, 0.0) > 0 else -1
        else:
            known = {"reader": self._looked_up, "memoriser": self._remembered}.get(self.table["kind"])
            chosen, sign = (known and known(symbols, day)) or self._coin(symbols, day)
        close = symbols[chosen]["close"]
        return {
            "instrument": chosen,
            "direction": "LONG" if sign > 0 else "SHORT",
            "horizon": "1 week",
            "thesis_bullets": ["One.", "Two.", "Three."],
            "indicators": [],
            "conviction": 2 * sign,
            "invalidation": "The week proves it wrong.",
            "stop": close * (0.5 if sign > 0 else 2.0),
            "target": close * (2.0 if sign > 0 else 0.5),
        }

    def recollection(self, request: ChatRequest) -> dict[str, Any]:
        day = re.search(r"\d{4}-\d\d-\d\d", request.messages[-1].content)[0]  # type: ignore[index]
        known = self.table["kind"] == "memoriser" and day <= self.table["cutoff"]
        return {"closes": {name: by[day] if known and day in by else None for name, by in self.table["close"].items()}}

    def reidentification(self, request: ChatRequest) -> dict[str, Any]:
        hidden = facts_of(request)["symbols"]
        if self.table.get("sees_through"):
            known = {name: self._print_of(shown) for name, shown in hidden.items()}
            return {"assets": {name: found[0] for name, found in known.items() if found}, "quarter": "2022Q1"}
        return {"assets": dict.fromkeys(hidden, min(self.table["next"])), "quarter": "2022Q1"}

    def _print_of(self, shown: dict[str, Any]) -> list[str] | None:
        found: list[str] | None = self.table["prints"].get(" ".join(str(shown.get(name)) for name in PRINT))
        return found

    def _looked_up(self, symbols: dict[str, Any], _day: str) -> tuple[str, int] | None:
        """The symbol that moves most over the next week, by the digits of its returns alone."""
        known = {name: found for name, shown in symbols.items() if (found := self._print_of(shown))}
        moves = {
            name: self.table["next"][real][day] for name, (real, day) in known.items() if day <= self.table["cutoff"]
        }
        return _largest(moves)

    def _remembered(self, symbols: dict[str, Any], day: str) -> tuple[str, int] | None:
        """The symbol that moves most over the next week, and where to, by name and date alone."""
        known = {name: self.table["next"].get(name, {}).get(day) for name in symbols}
        known = {name: moved for name, moved in known.items() if moved is not None}
        return None if day > self.table["cutoff"] else _largest(known)

    def _coin(self, symbols: dict[str, Any], day: str) -> tuple[str, int]:
        toss = hashlib.sha256(f"toss {day}".encode()).digest()
        return sorted(symbols)[toss[0] % len(symbols)], 1 if toss[1] % 2 else -1


def _largest(moves: dict[str, float]) -> tuple[str, int] | None:
    if not moves:
        return None
    chosen = max(moves, key=lambda name: abs(moves[name]))
    return chosen, 1 if moves[chosen] > 0 else -1
