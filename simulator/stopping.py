"""Interrupted work: a KeyboardInterrupt tells it, which code of a strategy may swallow, and so it asks again itself."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

CHECK: ContextVar[Callable[[], None] | None] = ContextVar("CHECK", default=None)
"""Set by whoever started the work, where it runs beside its thread: raises KeyboardInterrupt once it was stopped."""


def refuse_if_stopped() -> None:
    """Raise KeyboardInterrupt where this work was stopped: what it decided since is not used, nothing is written."""
    check = CHECK.get()
    if check is not None:
        check()
