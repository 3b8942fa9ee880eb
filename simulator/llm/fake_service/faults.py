"""Faults on purpose, drawn by seed: the same question fails in the same way whenever it comes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, get_args

Fault = Literal[
    "429",
    "429-retry-after",
    "500",
    "502",
    "cut",
    "cut-body",
    "hang",
    "empty",
    "not-json",
    "wrong-schema",
    "truncated",
    "refusal",
]
"""``cut``: the connection ends without an answer; ``cut-body``: amid one; ``hang``: nothing ever comes; ``empty``: a
body of no bytes. The last four are answers, delivered and paid for."""

FAULTS: tuple[Fault, ...] = get_args(Fault)
PAID: frozenset[Fault] = frozenset(("not-json", "wrong-schema", "truncated", "refusal"))
PASSING: tuple[Fault, ...] = tuple(fault for fault in FAULTS if fault not in PAID)


@dataclass(frozen=True)
class Faults:
    """`share` of all attempts fail, each in one of `kinds`. Every attempt at a question is drawn anew."""

    share: float = 0.0
    seed: int = 0
    kinds: tuple[Fault, ...] = FAULTS

    def draw(self, question: str, attempt: int) -> Fault | None:
        """The fault of that attempt (0, 1, …) at the question with that digest, None where it goes well."""
        drawn = hashlib.sha256(f"{self.seed}|{question}|{attempt}".encode()).digest()
        if int.from_bytes(drawn[:6], "big") / 2**48 >= self.share:
            return None
        return self.kinds[int.from_bytes(drawn[6:12], "big") % len(self.kinds)]
