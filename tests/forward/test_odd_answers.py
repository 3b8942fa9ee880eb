"""Answers of status 200 that are not what was asked for: each is a BrokerError in one line, never nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

import pytest
import requests

from simulator.errors import BrokerError, DataError, UsageError
from simulator.forward import messages
from simulator.forward.actions import fetch_actions, read_actions
from simulator.forward.alpaca import PAGE
from simulator.forward.mode import check_address, make_rehearsal_keys
from simulator.forward.requests import AccessError, OtherAccountError, RateLimit
from simulator.market.sources import alpaca as bars

from .conftest import Market, run
from .sessions import TUESDAY

FILL = {
    "id": "1", "order_id": str(UUID(int=1)), "side": "buy", "symbol": "A", "qty": "1", "price": "100",
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
        [{**FILL, "price": "-1"}], [{**FILL, "id": str(n)} for n in range(PAGE)], [{**FILL, "side": None}],
        [{**FILL, "side": "Buy"}], [{**FILL, "id": None}], [{**FILL, "symbol": None}], [{**FILL, "order_id": None}],
        [{**FILL, "order_id": "o"}], [{**FILL, "qty": 10**400}], [{**FILL, "transaction_time": "1600-01-01T00:00:00Z"}],
        [{**FILL, "transaction_time": "0001-01-01T00:00:00+14:00"}],
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
    with pytest.raises(BrokerError):
        messages.read_account({"account_number": None, "cash": "1", "equity": "1"})


def test_an_order_is_read_whole_or_not_at_all() -> None:
    order = {"id": "1", "client_order_id": "c", "side": "sell", "time_in_force": "day", "status": "new", "qty": "5"}
    assert messages.read_order(order).sign == -1.0
    assert messages.read_order({**order, "side": "", "order_class": "mleg"}).status == "new"
    for wrong in (
        {"side": None}, {"side": "short"}, {"id": None}, {"client_order_id": 5}, {"status": None}, {"qty": 10**400},
        {"qty": "nan"}, {"replaced_by": "x"}, {"created_at": "9999-12-31T23:59:59-14:00"},
    ):  # fmt: skip
        with pytest.raises(BrokerError):
            messages.read_order({**order, **wrong})


@pytest.mark.parametrize(
    "wrong", [{"equity": 10**400}, {"cash": None}, {"buying_power": "nan"}, {"account_number": ""}]
)
def test_an_account_without_its_numbers_is_none(wrong: dict[str, Any]) -> None:
    sound = {"account_number": "1", "cash": "1", "equity": "1", "buying_power": "1"}
    assert messages.read_account(sound).cash == 1.0
    with pytest.raises(BrokerError):
        messages.read_account({**sound, **wrong})


def test_the_number_of_another_account_is_asked_for_twice(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = (b'{"account_number": "%d", "cash": "1", "equity": "1"}' % n for n in (1, 2))
    account = market.account(number="1")
    asked = answer(monkeypatch, [(200, other), (200, own)])
    assert run(account.state()).number == "1"
    assert len(asked) == 2
    answer(monkeypatch, [(200, other)])
    with pytest.raises(OtherAccountError):
        run(account.state())


ACTION = {"id": "1", "symbol": "A", "ex_date": "2024-06-05"}


@pytest.mark.parametrize(
    "found",
    [
        {kind: [{**ACTION, **given}]}
        for kind, rates in (
            ("forward_splits", ({"new_rate": new, "old_rate": 1} for new in (0, -2, "nan", 1e308, 10**400))),
            ("reverse_splits", ({"new_rate": 1, "old_rate": old} for old in (0, -2, 1e308))),
            ("cash_dividends", ({"rate": rate} for rate in (-1, "inf", None))),
        )
        for given in rates
    ],
)
def test_an_action_of_no_sense_is_refused_before_it_is_on_record(found: dict[str, Any]) -> None:
    with pytest.raises(BrokerError, match="not understood"):
        read_actions(found)


@pytest.mark.parametrize("body", [b"null", b"[]", b'{"corporate_actions": null}', b'{"corporate_actions": 5}'])
def test_actions_that_are_none_are_in_one_line(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    answer(monkeypatch, [(200, body)])
    keys = make_rehearsal_keys("DATA")
    with pytest.raises(BrokerError):
        fetch_actions(keys, ["A"], TUESDAY, TUESDAY, "http://127.0.0.1:1")


CLOCK = (
    b'{"timestamp": "2024-06-04T09:00:00-04:00", "is_open": false,'
    b' "next_open": "2024-06-04T09:30:00-04:00", "next_close": "2024-06-04T16:00:00-04:00"}'
)
DENIED = b'{"message": "forbidden."}'


def answer(monkeypatch: pytest.MonkeyPatch, bodies: Sequence[tuple[int, bytes]]) -> list[str]:
    """Have requests answered with `bodies`, one after the other, the last one for ever; returns what was asked."""
    asked: list[str] = []

    def send(_session: requests.Session, request: requests.PreparedRequest, **_more: object) -> requests.Response:
        status, body = bodies[min(len(asked), len(bodies) - 1)]
        asked.append(str(request.url))
        found = requests.Response()
        found.status_code, found._content, found.url, found.request = status, body, str(request.url), request
        return found

    monkeypatch.setattr(requests.Session, "send", send)
    return asked


@pytest.mark.fault("services", "an answer comes from what stands before the broker", "asked again; the account goes on")
@pytest.mark.parametrize(
    "stray",
    [
        (403, b"<html>no</html>"), (401, DENIED), (403, DENIED), (302, b""), (304, b""), (200, b""),
        (200, b"[" * 100_000), (403, b"[" * 100_000),
    ],
)  # fmt: skip
def test_one_stray_answer_is_asked_again(market: Market, monkeypatch: pytest.MonkeyPatch, stray: Any) -> None:
    account = market.account()
    asked = answer(monkeypatch, [stray, (200, CLOCK)])
    assert run(account.clock()).is_open is False
    assert len(asked) == 2


def test_a_key_that_is_refused_twice_is_asked_no_more(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    account = market.account()
    asked = answer(monkeypatch, [(403, DENIED)])
    for _ in range(2):
        with pytest.raises(AccessError):
            run(account.clock())
    assert len(asked) == 2


@pytest.mark.fault("services", "bars answered with null, nothing or nested without end", "no bars, in one line")
@pytest.mark.parametrize("body", [b"null", b"", b"[]", b'{"bars": null}', b'{"bars": 5}', b"[" * 100_000])
def test_bars_that_are_none_are_in_one_line(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    answer(monkeypatch, [(200, body)])
    with pytest.raises(DataError):
        bars.fetch(["A"], date(2024, 6, 3), date(2024, 6, 4), print, wanted=bars.BarsRequest(False), pair=("k", "s"))


@pytest.mark.parametrize("resets", ["nan", "inf"])
def test_a_reset_that_is_no_instant_holds_nothing_up(resets: str) -> None:
    limit = RateLimit()
    limit.note({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": resets})
    assert limit.resets_at <= time.monotonic() + 61.0
    assert limit.left > 0


def test_a_day_without_a_session_is_asked_twice(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    account = market.account()
    day = b'[{"date": "2024-06-04", "open": "09:30", "close": "16:00"}]'
    asked = answer(monkeypatch, [(200, b"[]"), (200, day)])
    assert len(run(account.calendar(date(2024, 6, 4), date(2024, 6, 4)))) == 1
    answer(monkeypatch, [(200, b"[]")])
    assert run(account.calendar(date(2024, 6, 4), date(2024, 6, 4))) == []
    assert len(asked) == 2
    assert market.slept == [account.patience.backoff_s] * 2, "a pause before the second"


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1:8800", "http://127.0.0.1:99999", "http://127.0.0.1:0", "http://[::1", "127.0.0.1:80", ""]
)
def test_an_address_of_no_exchange_is_refused_with_a_mend(url: str) -> None:
    with pytest.raises(UsageError, match="is no address of an exchange") as refused:
        check_address(url)
    assert "http://127.0.0.1:PORT" in str(refused.value.mend)
