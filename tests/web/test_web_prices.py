"""The price now beside the price then: on the page, in what the command tells, in the audit trail."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from simulator.forward.approvals import read_approvals
from simulator.forward.review import review
from tests.report.conftest import Browser
from tests.web.conftest import Site
from tests.web.test_web_pages import LINE, SAID, alone, click, enter, type_in, until
from tests.web.test_web_security import approve, ask
from tests.web.test_web_security import enter as log_in

__all__ = ["alone"]
Sim = Callable[..., Any]
CARD = "document.querySelector('[data-id$=spy] .price').innerText"
RULES = "document.querySelector('[data-id$=spy] .rules').innerText"


@pytest.mark.medium
def test_the_price_goes_on_under_what_is_typed_and_the_click_records_what_was_seen(site: Site, alone: Browser) -> None:
    site.ask("SPY")
    site.beat(101.0)
    enter(alone, site)
    assert "Price then $100.00, now $101.00 (+1.00" in alone.run(CARD)
    assert alone.run(RULES) == "Within its rules."
    type_in(alone, "[data-id$=spy] [name=reason]", "fine")
    site.beat(89.0)
    until(alone, f"{CARD}.includes('now $89.00')")
    assert "the price 89 is beyond the stop 90" in alone.run(RULES), "its limit would fill there"
    site.beat(102.5)
    until(alone, f"{CARD}.includes('now $102.50')")
    assert alone.run("document.querySelector('[data-id$=spy] [name=reason]').value") == "fine"
    click(alone, "[data-id$=spy] button[value=approve]")
    until(alone, f"{SAID} === 'SPY is approved'")
    given = site.store.of_forward("run", ("approval.given",))[0].event.payload
    assert (given["price"], given["action"]) == (102.5, "approve")
    assert datetime.now(UTC) - datetime.fromisoformat(given["price_at"]) < timedelta(minutes=1)
    ann = log_in(site, site.token("bob", "read"))
    assert f"price 102.5 of {given['price_at']}" in ask(site, "GET", "/audit", cookie=ann["cookie"])[2]
    assert alone.run(LINE) == "live"


@pytest.mark.parametrize(("price", "age_s", "told"), [
    (101.0, 4000.0, "old"), (None, 0.0, "not known"), (111.0, 1.0, "now <b>$111.00</b>"),
])  # fmt: skip
def test_an_old_price_and_one_that_nobody_knows_are_said_to_be(
    site: Site, price: float | None, age_s: float, told: str
) -> None:
    site.ask("SPY")
    site.beat(price, age_s)
    bob = log_in(site, site.token("bob", "read"))
    assert told in ask(site, "GET", "/approvals", cookie=bob["cookie"])[2]


@pytest.mark.parametrize("price", [-1, "101", True, 1e400, None])
def test_a_price_that_is_none_is_refused_or_not_recorded(site: Site, price: object) -> None:
    site.ask("SPY")
    given = approve()
    given["answers"][0] |= {"price": price, "price_at": "x" * 200}
    status, _, _ = ask(site, "POST", "/approvals", json.dumps(given), **log_in(site, site.token("ann", "approve")))
    assert status == (200 if price is None else 409)


def test_the_newest_price_counts_whatever_an_older_page_showed(site: Site) -> None:
    site.ask("SPY", without_limit=True)
    site.beat(89.0)
    given = approve()
    given["answers"][0] |= {"price": 101.0, "price_at": "then"}
    answered = ask(site, "POST", "/approvals", given, **log_in(site, site.token("ann", "approve")))[2]
    assert "the price 89 is beyond the stop 90" in answered
    assert read_approvals(site.store)[0].state == "waiting"


def test_the_command_tells_the_price_now_and_records_it(site: Site, sim: Sim) -> None:
    site.ask("SPY", without_limit=True)
    site.beat(101.0)
    told = sim("forward", "approvals").stdout
    assert "$101.00 now, +1.00\u00a0%, told 1\u00a0s ago" in told
    site.beat(89.0)
    assert "COUNCIL    not within its rules: the price 89 is beyond the stop 90" in sim("forward", "approvals").stdout
    (row,) = json.loads(sim("forward", "approvals", "--json").stdout)["approvals"]
    assert row["review"]["now"]["price"] == 89.0
    assert row["review"]["change"] == pytest.approx(-0.11)
    assert not row["review"]["now"]["is_old"]
    site.beat(101.0)
    site.token("Ann", "approve")
    claimed = sim("forward", "approvals", "approve", "all", "--by", "ann")
    assert (claimed.returncode, claimed.stderr.count("\n")) == (2, 1)
    assert '"ann" has a token; answer on the page' in claimed.stderr
    assert sim("forward", "approvals", "approve", "all", "--by", "bob").returncode == 0
    given = site.store.of_forward("run", ("approval.given",))[0].event.payload
    assert re.fullmatch(r"bob \(terminal:\S+\)", given["by"])
    assert given["price"] == 101.0


def test_the_age_of_a_price_goes_on_when_the_loop_is_gone(site: Site) -> None:
    site.ask("SPY")
    site.beat(101.0, age_s=10.0)
    (later,) = review(site.workspace, read_approvals(site.store), datetime.now(UTC) + timedelta(hours=1)).values()
    assert later.now is not None
    assert later.now.is_old
    assert later.now.age_s == pytest.approx(3610.0, abs=5.0)


@pytest.mark.medium
def test_what_the_rules_say_of_a_change_stands_there_as_it_is_typed(site: Site, alone: Browser) -> None:
    site.ask("SPY", "QQQ", room=True)
    site.beat(101.0)
    enter(alone, site, width=390)
    table = "document.querySelector('[data-id$=spy] table').innerText"
    assert "1.0\u00a0% of 20.0\u00a0%" in alone.run(table), "10 shares at their limit of 99 in $100,000"
    assert "32.0\u00a0% of 50.0\u00a0%" in alone.run(table), "with $30,000 of GLD and the QQQ that waits too"
    type_in(alone, "[data-id$=spy] [name=quantity]", "150")
    until(alone, f"{RULES} === 'As changed it is within its rules.'")
    assert "14.8\u00a0% of 20.0\u00a0%" in alone.run(table)
    type_in(alone, "[data-id$=spy] [name=quantity]", "0")
    until(alone, f"{RULES}.startsWith('As changed it is refused: COUNCIL: max_weight: $148,500')")
    type_in(alone, "[data-id$=spy] [name=limit]", "0")
    until(alone, f"{RULES}.startsWith('As changed it is refused: limit = 0 cannot be')")
    click(alone, "[data-id$=spy] button[value=modify]")
    until(alone, f"{SAID}.includes('limit = 0 cannot be')")
    alone.run("document.querySelector('[data-id$=spy] form').reset()")
    type_in(alone, "[data-id$=spy] [name=quantity]", "150")
    until(alone, f"{RULES} === 'As changed it is within its rules.'")
    assert alone.run("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("query", ["", "id=x&version=1", "id={id}&version=2", "id={id}&version=1&scale=x",
                                   "id={id}&version=1&quantity=nan", "id={id}&version=1&stop=-1"])  # fmt: skip
def test_a_change_that_is_none_is_refused_in_one_line(site: Site, query: str) -> None:
    site.ask("SPY", room=True)
    assert "again" in ask(site, "GET", "/approvals/preview")[2], "nobody has logged in"
    bob = log_in(site, site.token("bob", "read"))
    path = f"/approvals/preview?{query.format(id=approve()['answers'][0]['id'])}"
    status, _, text = ask(site, "GET", path, cookie=bob["cookie"])
    assert (status, text.count("\n")) == (409, 1)


def test_a_price_that_came_after_the_time_the_loop_last_read_is_of_now_and_becomes_old(site: Site) -> None:
    site.ask("SPY")
    site.beat(101.0, age_s=-200.0)  # a rehearsal's clock may run faster than this machine's
    trades, at = read_approvals(site.store), datetime.now(UTC)
    for later, least, old in ((0.0, 0.0, False), (500.0, 499.0, True)):
        (found,) = review(site.workspace, trades, at + timedelta(seconds=later)).values()
        assert found.now is not None
        assert (found.now.age_s >= least, found.now.is_old) == (True, old)
