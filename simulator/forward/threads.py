"""Threads for calls that may hang. None keeps the program from ending: a peer that sends a byte now and then would."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from typing import TypeVar

T = TypeVar("T")


def begin(call: Callable[[], T], slots: threading.Semaphore | None = None) -> Future[T]:
    """Begin `call` in a thread of its own, once there is one of the `slots`; a call that hangs keeps it."""
    future: Future[T] = Future()

    def work() -> None:
        with slots or nullcontext():
            if not future.set_running_or_notify_cancel():
                return  # nobody waits for it any more: it is not begun
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

    threading.Thread(target=work, daemon=True, name="call that may hang").start()
    return future


async def in_thread(call: Callable[[], T], slots: threading.Semaphore | None = None) -> T:
    """Return what `call` does in a thread; who is cancelled while waiting leaves it behind."""
    return await asyncio.wrap_future(begin(call, slots))


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what `call` does. Raises TimeoutError where that takes longer: it is left behind."""
    return begin(call).result(seconds)
