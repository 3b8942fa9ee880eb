"""Work on accounts side by side: what one raises holds the others up as little as can be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from simulator.errors import BrokerError
from simulator.forward.alerts import LEFT_ALONE
from simulator.forward.requests import LeftAloneError, UnexplainedError
from simulator.forward.trader import Tell, Trader

ROUNDS = 3
"""Attempts on an account whose broker does not answer, before the others are seen to."""

Work = Callable[[Trader], Awaitable[None]]


async def try_each(traders: Sequence[Trader], work: Work, tell: Tell) -> list[bool]:
    """Do `work` on all `traders`, side by side. What one raises is raised once the others are done: nothing goes on
    behind it."""
    done = await asyncio.gather(*(try_one(one, work, tell) for one in traders), return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return [one is True for one in done]


async def try_one(trader: Trader, work: Work, tell: Tell) -> bool:
    """Do `work` on one account: one whose broker is down does not hold the others up. True where it was done."""
    for attempt in range(ROUNDS):
        if trader.barred:
            return False
        try:
            await work(trader)
            return True
        except LeftAloneError as error:
            trader.barred = error.found
            tell(error.alert, f"{error.found}: {LEFT_ALONE}", trader.name)
        except UnexplainedError as error:  # no other answer comes at once
            tell("books differ", error.found, trader.name)
            return False
        except BrokerError as error:
            if attempt == ROUNDS - 1:
                tell("broker unreachable", error.found, trader.name)
    return False
