"""Hiding who pitched: labels shuffled per meeting and reader, and names struck out of the text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from string import ascii_uppercase

FAMILIES = (
    r"(?:chat-?gpt|gpt|openai|gemini|claude|anthropic|grok|groq|deepseek|qwen|mistral|mixtral|llama|kimi)"
    r"[\w-]*(?:\.\w[\w-]*)*"
)
"""Models a pitch might name of its own accord, with what hangs on: ``GPT-5.2``."""


def labels(meeting: str, reader: str, seats: Iterable[str]) -> dict[str, str]:
    """{seat: "A", "B" …} for `seats` as `reader` sees them at `meeting`, in label order.

    The order follows from a hash of the three names, so it is the same in every process, differs between readers and
    meetings, and does not depend on the order in which `seats` are given. Seats that failed keep their label.
    """
    shuffled = sorted(seats, key=lambda seat: hashlib.sha256(f"{meeting}|{reader}|{seat}".encode()).digest())
    return {seat: _label(n) for n, seat in enumerate(shuffled)}


def _label(n: int) -> str:
    return ascii_uppercase[n] if n < 26 else _label(n // 26 - 1) + ascii_uppercase[n % 26]


def names_to_strike(seats: Iterable[str], models: Iterable[str], accounts: Iterable[str] = ()) -> re.Pattern[str]:
    """Matches seat names, model names and the families of known models as words of their own, whatever the case, and
    account names as they are spelt: ``COUNCIL`` is one, the council is not.

    A model or an account named by an ordinary word (``trend``, of the offline analysts) cannot be told from the word
    and is left.
    """
    telling = {*seats, *(name for name in models if not re.fullmatch(r"[a-z]*", name))}
    listed = [re.escape(name) for name in sorted(telling, key=lambda name: (-len(name), name))]
    spelt = [
        f"(?-i:{re.escape(name)})"
        for name in sorted({*accounts} - telling, key=lambda name: (-len(name), name))
        if not re.fullmatch(r"[a-z]*", name)
    ]
    return re.compile(rf"(?<![\w.])(?:{'|'.join([*listed, *spelt, FAMILIES])})(?!\w)", re.IGNORECASE)


def strike(text: str, names: re.Pattern[str]) -> str:
    """`text` with every name replaced by ``[name]``."""
    return names.sub("[name]", text)
