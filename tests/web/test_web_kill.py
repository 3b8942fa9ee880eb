"""A trade that was approved and not sent: the books have nothing of it, page and audit trail say so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from simulator.forward.approvals import answer, read_approvals
from simulator.forward.closing import ask_to_close
from simulator.forward.staging import Staging
from simulator.forward.switches import STOP, give_up, read_heartbeats, reset, throw
from simulator.forward.watch import StoppedError
from simulator.store.database import Store
from tests.forward.conftest import Market, market
from tests.forward.test_staging import BUY, opened, sent
from tests.web.conftest import Site
from tests.web.test_web_security import ask, enter

__all__ = ["market"]
SAID = "the kill switch is thrown: enough"


def test_a_released_switch_says_what_is_still_to_be_closed_and_its_id_typed_withdraws_it(site: Site) -> None:
    ann = enter(site, site.token("ann", "approve"))
    ask_to_close(site.store, "run", "ann", "enough")
    throw(site.workspace, STOP, "enough")
    site.beat(None)
    withdraw = {"action": "withdraw close-all", "run": "run", "typed": "run"}
    status, _, text = ask(site, "POST", "/act", withdraw, **ann)
    assert (status, "run has not ended yet" in text) == (409, True)
    give_up(site.workspace, read_heartbeats(site.workspace)[0])
    release = {"action": "release kill switch", "typed": "release kill switch"}
    status, _, text = ask(site, "POST", "/act", release, **ann)
    assert (status, "run closes every position first: that was asked, and is not done" in text) == (200, True)
    assert "Withdraw the close-all" in ask(site, "GET", "/", cookie=ann["cookie"])[2]
    assert ask(site, "POST", "/act", {**withdraw, "typed": "yes"}, **ann)[0] == 409
    assert ask(site, "POST", "/act", withdraw, **ann)[0] == 200
    assert ask(site, "POST", "/act", withdraw, **ann)[0] == 409, "nothing is owed"
    assert "Withdraw the close-all" not in ask(site, "GET", "/", cookie=ann["cookie"])[2]
    assert "close-all withdrawn" in ask(site, "GET", "/audit", cookie=ann["cookie"])[2]


@pytest.mark.medium
def test_the_kill_switch_thrown_between_approval_and_order_sends_nothing_and_is_told(
    market: Market, tmp_path: Path
) -> None:
    test = opened(market, tmp_path, BUY, ())
    session, calls = test.open(), []
    assert session.watch is not None
    workspace = session.watch.workspace

    async def approve_then_kill(staging: Staging) -> bool:
        calls.append({one.symbol for one in staging.waiting})
        if len(calls) == 1:
            (asked,) = [one for one in staging.waiting if one.symbol == "A"]
            answer(staging.store, asked.id, asked.version, "ann", "modify", changes={"scale": 0.5})
        else:  # what was approved waits for the open
            throw(workspace, STOP, "enough")
        return True

    session.answering = approve_then_kill
    with pytest.raises(StoppedError):
        asyncio.run(session.go())
    assert calls == [{"A", "B"}, {"B"}]
    assert sent(test, market) == []
    states = {one.symbol: (one.state, one.by, one.reason) for one in read_approvals(session.store)}
    assert states == {"A": ("approved", "ann", ""), "B": ("expired", "", SAID)}
    with Store(workspace.registry) as store:
        site = Site(workspace, store)
        site.mend()
        bob = enter(site, site.token("bob", "read"))
        page = ask(site, "GET", "/approvals", cookie=bob["cookie"])[2]
        assert f"approved by ann · scale 0.5 · COUNCIL not sent: {SAID}" in page
        trail = ask(site, "GET", "/audit", cookie=bob["cookie"])[2]
        site.cut()
    assert f"COUNCIL: not sent: {SAID}" in trail
    assert "the loop" in trail, "B ended unanswered"
    reset(workspace, STOP)
    test.play()
    assert sent(test, market) == [], "a start afterwards sends nothing of it"
