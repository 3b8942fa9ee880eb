"""Work in a thread of its own: a notebook, or whatever else has an event loop, has one running in the thread that asks.

caller's thread ◄─ progress ─ worker's thread: runs its own event loop
       └─ Ctrl-C, "interrupt kernel" ─► every report of progress from then on raises KeyboardInterrupt there, as does
          `refuse_if_stopped`: work whose code swallowed one decides nothing more and writes nothing
"""

from __future__ import annotations

import contextvars
import ctypes
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

from simulator.stopping import CHECK

T = TypeVar("T")
P = TypeVar("P")

NOTICE_S, PATIENCE_S = 0.75, 5.0
"""Seconds after an interruption until work that reports nothing is broken off, and until what puts away what it has is
left to itself."""


class _Call(Generic[T, P]):
    """One piece of work, what it reports, and how it ended."""

    def __init__(self, work: Callable[[Callable[[P], None]], T]) -> None:
        self.work, self.reports, self.stop = work, SimpleQueue[P | None](), threading.Event()
        self.stopped = False
        self.result: list[T] = []
        self.error: BaseException | None = None

    def report(self, now: P) -> None:
        self.check()
        self.reports.put(now)

    def check(self) -> None:
        if self.stop.is_set():
            self.stopped = True
            raise KeyboardInterrupt

    def run(self) -> None:
        CHECK.set(self.check)
        try:
            self.result.append(self.work(self.report))
        except BaseException as error:
            self.error = error
        finally:
            self.reports.put(None)


def call_in_thread(work: Callable[[Callable[[P], None]], T], show: Callable[[P], None]) -> T:
    """Return what ``work(report)`` returns in another thread; `show` is called here with all that it reports.

    Raises what it raised. After KeyboardInterrupt here, or an error of `show`, the next report stops the work, which is
    waited for; work that reports nothing is broken off. Its own error is the cause of the one raised.
    """
    call: _Call[T, P] = _Call(work)
    thread = threading.Thread(target=contextvars.copy_context().run, args=(call.run,), name="simulator", daemon=True)
    thread.start()
    try:
        with _interruptible():
            while (now := call.reports.get()) is not None:
                show(now)
            thread.join()
    except BaseException as error:
        call.stop.set()
        thread.join(NOTICE_S)
        if thread.is_alive() and not call.stopped and thread.ident is not None:
            call.stopped = True
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(KeyboardInterrupt)
            )
            thread.join(NOTICE_S)
        elif call.stopped:
            thread.join(PATIENCE_S)
        raise error from call.error
    if call.error is not None:
        raise call.error
    return call.result[0]


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt at once: an event loop's own handler waits for the loop to go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
