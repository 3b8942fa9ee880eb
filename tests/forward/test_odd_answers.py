"""Answers of status 200 that are not what was asked for: each is a BrokerError in one line, never nothing."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from simulator.errors import BrokerError
from simulator.forward import messages
from simulator.forward.alpaca import PAGE

from .conftest import Market, run
from .sessions import TUESDAY

FILL = {
    "id": "1", "order_id": "o", "side": "buy", "symbol": "A", "qty": "1", "price": "100",
    "transaction_time": "2024-06-04T13:30:00Z",
}  # fmt: skip


def answering(market: Market, answer: Any) -> Any:
    account = market.account()

    async def ask(*_args: Any, **_options: Any) -> Any:
        return answer

    async def root(_order: str) -> str:
        return ""

    account._line.ask, account._root = ask, root  # type: ignore[method-assign]
    return account


@pytest.mark.fault("services", "an answer of status 200 is nothing that was asked for", "broker down, in one line")
@pytest.mark.parametrize(
    "answer",
    [
        "", None, 5, {}, {"message": "x"}, [None], [{}], [{**FILL, "qty": "nan"}], [{**FILL, "price": "inf"}],
        [{**FILL, "price": "-1"}], [{**FILL, "id": str(n)} for n in range(PAGE)],
    ],
)  # fmt: skip
def test_fills_that_are_none_are_no_reading(market: Market, answer: Any) -> None:
    with pytest.raises(BrokerError):
        run(answering(market, answer).executions())


def test_a_calendar_of_another_shape_is_not_a_closed_day(market: Market) -> None:
    with pytest.raises(BrokerError):
        run(answering(market, {}).calendar(TUESDAY, date(2024, 6, 4)))


def test_positions_and_accounts_of_no_sense_are_refused() -> None:
    one = {"symbol": "A", "qty": "-5"}
    assert messages.read_positions([one])["A"][0] == -5.0
    with pytest.raises(BrokerError):
        messages.read_positions([one, one])
    with pytest.raises(BrokerError):
        messages.read_account({"account_number": "1", "cash": "inf", "equity": "1"})
