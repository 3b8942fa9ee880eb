"""Edges at which accounts at a broker lose money, each by name against the rehearsal exchange over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from simulator.forward.alpaca import AlpacaAccount
from simulator.trading.model import OrderReport

from .conftest import run, ticket

if TYPE_CHECKING:
    from conftest import Market
else:
    Market = Any


@asynccontextmanager
async def listening(account: AlpacaAccount) -> AsyncIterator[list[OrderReport]]:
    """Updates of an account as they come, from when its stream listens."""
    told: list[OrderReport] = []

    async def listen() -> None:
        async with aclosing(account.updates()) as updates:  # type: ignore[type-var]
            async for report in updates:
                told.append(report)

    task = asyncio.create_task(listen())
    await until(lambda: account.stream is not None and account.stream.listening.is_set())
    yield told
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(happened: Any, within_s: float = 5.0) -> None:
    for _ in range(int(within_s / 0.01)):
        if happened():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


def advance(market: Market, bars: int = 1) -> Any:
    return asyncio.to_thread(market.advance, bars)


@pytest.mark.parametrize("fault", ["reply-lost", "504-after", "hang-after"])
def test_1_an_answer_that_is_lost_after_the_order_was_taken_is_looked_up_and_there_is_one_order(
    market: Market, fault: str
) -> None:
    account, order = market.account(), ticket()

    async def send() -> OrderReport:
        # The look-up is answered, only the order's own answer is lost.
        taken = account._client.submit_order

        def lose(request: Any) -> Any:
            with market.fault(fault):
                return taken(request)

        account._client.submit_order = lose
        return await account.submit(order)

    assert run(send()).status == "open"
    assert len(market.orders(account)) == 1
    assert run(account.submit(order)).client_order_id == order.client_order_id
    assert len(market.orders(account)) == 1


def test_6_7_8_9_updates(market: Market) -> None:
    account = market.account()

    async def go() -> None:
        async with listening(account) as told:
            with market.fault("fill-twice"):
                await account.submit(ticket(symbol="A"))
                await until(lambda: told)
                await advance(market)
                await until(lambda: any(one.status == "filled" for one in told))
            await asyncio.sleep(0.2)
            assert [one.status for one in told] == ["open", "filled"]

    run(go())
