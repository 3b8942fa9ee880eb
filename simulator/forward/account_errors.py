"""Work on accounts side by side: what one raises holds the others up as little as can be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from simulator.errors import BrokerError, LLMError, SimError, StoppedByUserError
from simulator.forward.alerts import LEFT_ALONE
from simulator.forward.requests import LeftAloneError, UnexplainedError
from simulator.forward.trader import Record, Tell, Trader
from simulator.store.events import Kind

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


async def await_answers(work: Awaitable[None]) -> str:
    """Await `work`; returns why a question of it has no answer, empty where all have."""
    try:
        await work
    except StoppedByUserError:
        raise
    except LLMError as error:
        return error.found
    return ""


def say_undecided(failed: Sequence[str], silent: Mapping[str, str]) -> str:
    """Return why accounts have no decision: `failed` for want of a broker, `silent` of an answer, {account: why}."""
    late = f"not yet in {', '.join(failed)}: the broker was not reached, or has other shares" if failed else ""
    return "; ".join(filter(None, (late, *(f"none in {name}: {why}" for name, why in silent.items()))))


async def leave_all(traders: Sequence[Trader], now: datetime, killed: str, record: Record, tell: Tell) -> None:
    """Leave no position without the exits that were decided, however the loop came to its end; `killed` says why for
    good. Raises nothing that an account does."""

    def put(kind: Kind, at: datetime, account: str, payload: Mapping[str, Any]) -> None:
        with suppress(SimError):  # the store may be why it ends
            record(kind, at, account, payload)

    work = (try_one(one, lambda it: it.stand_down(now, killed, put, tell), tell) for one in traders)
    ended = await asyncio.gather(*work, return_exceptions=True)
    for trader, done in zip(traders, ended, strict=True):
        if done is not True and trader.state.protection:
            said = trader.barred or (done if isinstance(done, BaseException) else "the broker does not answer")
            tell("position unprotected", f"the loop ended, exits may be missing: {said}", trader.name)
