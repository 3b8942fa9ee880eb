"""A loop that starts again within a session plans anew what was withdrawn of the decision, not what was done."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from simulator.forward.watch import StoppedError
from simulator.trading.model import Target

from .conftest import trading
from .sessions import TUESDAY, WEDNESDAY, Plan, Test
from .test_endings import asked_to_stop
from .test_staging import once_it_holds

pytestmark = pytest.mark.medium


@pytest.mark.parametrize("price", [100.0, 80.0])
def test_what_was_done_of_a_decision_stands_where_the_rest_is_planned_anew(tmp_path: Path, price: float) -> None:
    plan: Plan = {
        TUESDAY: (Target("A", 0.1, stop=60.0),),
        WEDNESDAY: (Target("A", 0.2, "limit", 70.0, stop=60.0), Target("B", 0.1, stop=30.0)),
    }
    with trading([100.0, 100.0, price, price, price]) as market:
        test = Test(market, tmp_path, plan)
        session = test.open()
        once_it_holds("B", session, partial(asked_to_stop, session))
        with suppress(StoppedError):
            asyncio.run(session.go())
        assert [one["symbol"] for one in test.events("order") if one.get("again")] == ["A"]
        test.play()
        orders = [one for one in market.orders(test.sessions[-1].traders[0].broker) if one.side == "buy"]  # type: ignore[arg-type]
        assert [one.qty for one in orders if one.symbol == "B"] == [200.0], "it had filled as it was decided"
        assert len([one for one in orders if one.symbol == "A"]) == 3, "this one was withdrawn"
        assert test.exits("B") == [("stop", 30.0, 200.0)]
