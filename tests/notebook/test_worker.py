"""Work beside the caller's thread: what it reports arrives there, and what is raised there stops it."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import pytest

from simulator.notebook.worker import call_in_thread
from simulator.stopping import refuse_if_stopped


def test_the_work_runs_elsewhere_and_its_reports_are_shown_here_in_order() -> None:
    seen: list[tuple[int, int]] = []

    def work(report) -> int:
        for n in range(3):
            report(n)
        return threading.get_ident()

    here = threading.get_ident()
    assert call_in_thread(work, lambda n: seen.append((n, threading.get_ident()))) != here
    assert seen == [(0, here), (1, here), (2, here)]


def test_an_error_of_the_work_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        call_in_thread(lambda _: 1 / 0, print)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ValueError])
def test_what_is_raised_here_stops_the_work_at_its_next_report(raised: type[BaseException]) -> None:
    ended = threading.Event()

    def work(report) -> None:
        try:
            while True:
                report(1)
                time.sleep(0.01)
        finally:
            ended.set()

    def show(_: int) -> None:
        raise raised

    begun = time.monotonic()
    with pytest.raises(raised) as error:
        call_in_thread(work, show)
    assert ended.is_set()
    assert isinstance(error.value.__cause__, KeyboardInterrupt)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("last", [True, False])
def test_work_that_swallows_its_interruption_writes_nothing(last: bool) -> None:
    ended, written = threading.Event(), []

    def work(report) -> None:
        try:
            report(1)
            try:
                while True:
                    time.sleep(0.01)
            except:  # noqa: E722
                pass
            if not last:
                with suppress(KeyboardInterrupt):
                    report(2)
            refuse_if_stopped()
            written.append(1)
        finally:
            ended.set()

    def show(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call_in_thread(work, show)
    assert ended.wait(5)
    assert not written


def test_work_that_reports_nothing_is_broken_off() -> None:
    def work(report) -> None:
        report(1)
        while True:
            pass

    def show(_: int) -> None:
        raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        call_in_thread(work, show)
    assert time.monotonic() - begun < 4  # 1 s where nothing else runs
    assert "simulator" not in [thread.name for thread in threading.enumerate() if thread.is_alive()]
