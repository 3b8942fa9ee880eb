"""The broker's clock: it counts, whatever this machine's says, and waiting for it lets switches be read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from simulator.errors import BrokerError
from simulator.forward.clock import BrokerClock
from simulator.forward.watch import StoppedError

START = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)


@dataclass
class Machine:
    """A machine that counts `rate` seconds in one of the broker's, and may sleep."""

    rate: float = 1.0
    true: float = 0.0
    counted: float = 0.0
    asked: int = 0
    down: bool = False
    changes_at: float = 1e9
    polls: list[datetime] = field(default_factory=list)

    async def ask(self) -> datetime:
        self.asked += 1
        if self.down:
            raise BrokerError("no answer")
        return START + timedelta(seconds=self.true)

    async def sleep(self, seconds: float) -> bool:
        self.counted += seconds
        self.true += seconds / self.rate
        return self.counted >= self.changes_at

    def clock(self, poll_s: float = 2.0) -> BrokerClock:
        return BrokerClock(self.ask, self.polls.append, poll_s, self.sleep, lambda: self.counted)

    async def wait(self, clock: BrokerClock, at: datetime) -> None:
        while await clock.now() < at:
            await clock.sleep_until(at)


def test_it_polls_until_the_instant_and_asks_once_a_minute() -> None:
    machine = Machine()
    clock = machine.clock()
    asyncio.run(machine.wait(clock, START + timedelta(seconds=301)))
    assert machine.true == 301.0
    assert len(machine.polls) >= 151
    polled = len(machine.polls)
    assert machine.asked == 7, "once more at the end"
    asyncio.run(clock.sleep_until(START))
    assert len(machine.polls) == polled, "what has passed is not waited for"


@pytest.mark.parametrize("rate", [0.97, 1.03])
def test_a_clock_that_goes_wrong_is_put_right(rate: float) -> None:
    machine = Machine(rate)
    asyncio.run(machine.wait(machine.clock(), START + timedelta(hours=3)))
    assert 0.0 <= machine.true - 3 * 3600 < 2.5


@pytest.mark.fault("machine", "sleeps (suspend) while forward trading waits", "wakes up on the broker's time")
def test_a_machine_that_slept_is_on_time_within_a_minute() -> None:
    machine = Machine()
    clock = machine.clock()

    async def wait() -> None:
        await clock.now()
        machine.true += 7200.0  # suspended: its own seconds stood still
        await machine.wait(clock, START + timedelta(hours=2, seconds=90))

    asyncio.run(wait())
    assert machine.true - 7200.0 == pytest.approx(90.0, abs=2.0)


def test_it_wakes_up_for_what_changed_and_every_few_seconds_while_orders_are_open() -> None:
    machine, later = Machine(changes_at=7.0), START + timedelta(hours=1)
    asyncio.run(machine.clock().sleep_until(later))
    assert machine.true == 8.0
    for busy, waited in ((True, 2.0), (False, 30.0)):
        machine = Machine()
        asyncio.run(machine.clock().sleep_until(later, busy))
        assert machine.true == waited


def test_what_looking_raises_ends_the_wait() -> None:
    def look(_now: datetime) -> None:
        raise StoppedError("stopped")

    machine = Machine()
    clock = BrokerClock(machine.ask, look, 2.0, machine.sleep, lambda: machine.counted)
    with pytest.raises(StoppedError):
        asyncio.run(clock.sleep_until(START + timedelta(hours=1)))


def test_where_the_broker_is_silent_time_goes_on_and_the_fault_is_there_to_see() -> None:
    machine = Machine()
    clock = machine.clock()

    async def wait() -> None:
        await clock.now()
        machine.down = True
        await machine.wait(clock, START + timedelta(seconds=600))

    asyncio.run(wait())
    assert machine.true == 600.0
    assert str(clock.fault) == "no answer"
    with pytest.raises(BrokerError, match="no answer"):
        asyncio.run(Machine(down=True).clock().now())
