"""The pages over a rehearsed test: its timeline, accounts, verdict and registration, as its store has them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from simulator.forward import payloads
from simulator.forward.approvals import answer, write_asked
from simulator.forward.market_data import Quote
from simulator.forward.state import State
from simulator.forward.switches import beat, read_heartbeats
from simulator.forward.worth import Running, read_worth
from simulator.market.bars import instant, moment
from simulator.market.calendar import NEW_YORK
from simulator.rehearsal.rehearse import Rehearsal, rehearse
from simulator.runs.spec import RunSpec
from simulator.store.connection import store_place
from simulator.store.database import Store
from simulator.store.events import Event, Stored
from simulator.trading.model import BrokerFill
from simulator.trading.orders import Origin
from simulator.web.feed import describe
from simulator.web.holdings import read_book
from simulator.web.timeline import _brief, read_timeline
from simulator.workspace import Workspace, make_workspace
from tests.report.conftest import Browser
from tests.report.test_report_accessible import OPEN_ALL, VIOLATIONS, axe
from tests.web.conftest import ASKED as TRADE
from tests.web.conftest import HOSTILE, Site
from tests.web.test_web_pages import LINE, SAID, alone, click, enter, go, tab_to, until
from tests.web.test_web_security import ask
from tests.web.test_web_security import enter as log_in

__all__ = ["alone"]
pytestmark = pytest.mark.medium


def hold(root: Path, strategy: str, count: int) -> Workspace:
    make_workspace(root)
    workspace = Workspace(root, root)
    spec = RunSpec(
        strategy, ("SPY", "QQQ"), date(2024, 6, 3), models="offline", parameters={"risk.execution": "alpaca"}
    )
    rehearse(Rehearsal(spec, count, workspace.reading(None)), lambda *_: None)
    return workspace


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hold(tmp_path_factory.mktemp("council"), "macro_council", 2).out


@pytest.fixture
def test_site(rehearsed: Path, tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "copy"
    shutil.copytree(rehearsed, root)
    workspace = Workspace(root, root)
    with Store(store_place(workspace.registry)) as store:
        site = Site(workspace, store)
        site.mend()
        yield site
        site.cut()


def run_of(site: Site) -> str:
    return next(site.workspace.reports.glob("forward-*")).name.rpartition("-")[2]


def test_the_page_of_a_test_says_who_said_what_and_what_came_of_it(test_site: Site) -> None:
    run = run_of(test_site)
    bob = {"cookie": log_in(test_site, test_site.token("bob", "read"))["cookie"]}
    status, headers, page = ask(test_site, "GET", f"/forward/{run}", **bob)
    assert status == 200
    assert "unsafe" not in headers["content-security-policy"]
    assert " style=" not in page
    for part in ("Research", "Pitches", "Reviews", "Chairman", "Theses", "pitch A", "pm.trend", "offline/chairman",
                 "No verdict before session 60", "Sessions it takes", "Primary account", "heartbeat"):  # fmt: skip
        assert part in page, part
    assert "Close all positions" not in page  # a reader's page has no acts
    ann = {"cookie": log_in(test_site, test_site.token("ann", "approve"))["cookie"]}
    for path in (f"/forward/{run}", "/"):
        acts = ask(test_site, "GET", path, **ann)[2]
        assert "Close all positions" in acts, "it has ended, and holds positions"
        assert "End the loop" not in acts
    status, headers, report = ask(test_site, "GET", f"/forward/{run}/report.html", **bob)
    assert status == 200
    assert headers["content-security-policy"].startswith("sandbox allow-scripts")
    assert "Validation" in report
    assert ask(test_site, "GET", "/forward/nothing", **bob)[0] == 404
    assert ask(test_site, "GET", "/forward/nothing/report.html", **bob)[0] == 404


def test_each_stage_of_a_meeting_is_on_the_timeline_before_the_next_is_asked(test_site: Site, alone: Browser) -> None:
    run = run_of(test_site)
    stored = test_site.store.of_forward(run)
    stages = [n for n, one in enumerate(stored) if one.event.kind == "forward.stage"]
    assert [stored[n].event.payload["stage"] for n in stages] == ["research", "pitch", "review", "chairman"]
    seen = [read_timeline(stored[: n + 1])[0] for n in stages]
    assert [one.parts[-1].name for one in seen] == ["Research", "Pitches", "Reviews", "Chairman"]
    assert seen[-1].parts == read_timeline(stored)[-1].parts, "together they are the minutes"
    assert {one.state for one in seen} == {"being asked"}
    at = "2024-06-05T09:00:00-04:00"
    enter(alone, test_site, f"/forward/{run}")
    test_site.store.append(run, [Event("forward.asked", at, None, {"name": "meeting 09:00", "clock": at})])
    for n, name in zip(stages, ("Research", "Pitches", "Reviews", "Chairman"), strict=True):
        test_site.store.append(run, [Event("forward.stage", at, None, stored[n].event.payload)])
        until(alone, f"document.querySelector('.occasion').textContent.includes({name!r})", 120.0)
    assert "being asked" in alone.run("document.querySelector('.occasion').innerText")


def test_positions_orders_and_fills_stand_with_their_prices_and_add_up_to_the_account(test_site: Site) -> None:
    run = run_of(test_site)
    stored = test_site.store.of_forward(run)
    held, orders = read_book(stored)
    account, row = [(one.event.account, one.event.payload) for one in stored if one.event.kind == "forward.session"][-2]
    mine = [one for one in held if one.account == account]
    assert {one.symbol: one.shares for one in mine} == row["positions"]
    worth = read_worth(test_site.workspace, test_site.store)[run][account]
    prices = {symbol: one.price for symbol, one in worth.prices.items()}
    assert prices == row["marks"], "it has ended: nothing is newer than the last close"
    assert (worth.equity, worth.cash) == (pytest.approx(row["equity"]), pytest.approx(row["cash"]))
    assert sum(one.value(prices[one.symbol]) for one in mine) == pytest.approx(row["equity"] - row["cash"])
    (opening,) = [one.event.payload["opening"] for one in stored if "opening" in one.event.payload]
    accrued, began = row["accrued"], opening[account]["cash"]
    assert sum(one.pnl(prices[one.symbol]) or 0.0 for one in mine) == pytest.approx(row["equity"] - began - accrued), (
        "nothing was sold"
    )
    fills = [payloads.read_fill(one.event.payload) for one in stored if one.event.kind == "forward.fill"]
    assert sum(one.filled * (one.price or 0.0) for one in orders) == pytest.approx(
        sum(one.quantity * one.price for one in fills)
    )
    bob = log_in(test_site, test_site.token("bob", "read"))
    page = ask(test_site, "GET", f"/forward/{run}", cookie=bob["cookie"])[2]
    one = mine[0]
    assert one.average is not None
    for part in (f"<td>{one.shares:,.10g}</td>", f"{one.average:,.2f}", ">buy ", "forward.fill"):
        assert part in page, part
    assert {one.kind for one in orders} <= {"market", "limit", "stop", "exit"}, "nobody else ordered here"
    assert all(one.stop is not None for one in held if one.account == "COUNCIL"), "they are protected at the broker"
    assert "somebody else" not in page
    intent = next(one for one in stored if one.event.kind == "forward.intent" and one.event.payload["orders"])
    assert f"buy {intent.event.payload['orders'][0]['quantity']:,.10g} " in describe(intent)
    assert "P&amp;L" in ask(test_site, "GET", "/", cookie=bob["cookie"])[2]


def cut_before_close(site: Site, root: Path) -> Workspace:
    """Return a copy of a rehearsed workspace whose test has not seen the close of its first session."""
    shutil.copytree(site.workspace.out, root, ignore=shutil.ignore_patterns("*.db*"))
    events = [one.event for one in site.store.of_forward(run_of(site))]
    ends = next(n for n, one in enumerate(events) if one.kind == "forward.session")
    workspace = Workspace(root, root)
    with Store(store_place(workspace.registry)) as store:
        store.append(run_of(site), events[:ends])
    return workspace


def test_alerts_and_registration_stand_on_the_page_before_the_first_close_too(test_site: Site, tmp_path: Path) -> None:
    run, workspace = run_of(test_site), cut_before_close(test_site, tmp_path / "begun")
    with Store(store_place(workspace.registry)) as store:
        at = store.of_forward(run)[-1].event.at
        store.append(run, [Event("forward.alert", at, "COUNCIL", {"kind": "no bar", "text": HOSTILE})])
        asked = replace(TRADE, run=run)
        store.append(run, [Event("approval.asked", asked.decided_at, None, write_asked(asked))])
        answer(store, asked.id, 1, "bob", "reject", "too late in the cycle")
        site = Site(workspace, store)
        site.mend()
        bob = log_in(site, site.token("bob", "read"))
        page = ask(site, "GET", f"/forward/{run}", cookie=bob["cookie"])[2]
        for part in ("Rehearsed on past bars", "stolen", "Smallest edge of interest", "Code as registered"):
            assert part in page, part
        assert "<p>None.</p>" not in page
        written = next(workspace.reports.glob("forward-*/registration.json"))
        written.write_text(written.read_text().replace('"SPY"', '"IWM"'))
        page = ask(site, "GET", f"/forward/{run}", cookie=bob["cookie"])[2]
        assert "stolen" in page, "also where the registration is another one"
        assert "was changed after it was made" in page
        site.cut()


def test_equity_and_positions_move_with_the_prices_of_the_session(
    test_site: Site, alone: Browser, tmp_path: Path
) -> None:
    run, workspace = run_of(test_site), cut_before_close(test_site, tmp_path / "begun")
    with Store(store_place(workspace.registry)) as store:
        fills = [payloads.read_fill(one.event.payload) for one in store.of_forward(run, ("forward.fill",))
                 if one.event.account == "COUNCIL"]  # fmt: skip
        assert fills, "bought at the open"
        began = next(one.event.payload["opening"] for one in store.of_forward(run) if "opening" in one.event.payload)
        cash = began["COUNCIL"]["cash"] - sum(one.quantity * one.price for one in fills)
        now, (heart,) = read_worth(workspace, store)[run]["COUNCIL"], read_heartbeats(workspace)
        assert (now.cash, now.equity, now.pnl) == pytest.approx((cash, began["COUNCIL"]["cash"], 0.0), abs=1e-6), (
            "at its fills"
        )
        site = Site(workspace, store)
        site.mend()
        enter(alone, site, "/")
        for path, place in ((f"/forward/{run}", "#worth-now"), ("/", f"#accounts-{run}")):
            go(alone, site.url + path)
            later = moment(fills[-1].at).astimezone(NEW_YORK)
            for more in (1.0, 2.5):
                later += timedelta(minutes=7)
                quotes = {one.symbol: {"at": later.isoformat(), "bid": one.price + more, "ask": 0.0} for one in fills}
                assert beat(workspace, replace(heart, prices=quotes))
                won = f"+${more * sum(one.quantity for one in fills):,.2f}"
                until(alone, f"document.querySelector('{place}').innerText.includes({won!r})")
                assert f"{later:%Y-%m-%d %H:%M}" in alone.run(f"document.querySelector('{place}').innerText")
        site.cut()


def test_a_split_of_the_morning_leaves_the_worth_as_it_was() -> None:
    state, at = State(Origin("run", "A")), datetime(2024, 6, 4, 16, tzinfo=NEW_YORK)
    books = Running(state, 1000.0, 1000.0, at - timedelta(hours=8))
    bought = BrokerFill("1", "", "X", instant(at - timedelta(hours=6)), 5.0, 100.0)
    books.take("forward.fill", at - timedelta(hours=6), payloads.write_fill(bought))
    row = {"session": "2024-06-04", "cash": 501.0, "marks": {"X": 110.0}}
    books.take("forward.session", at, row)
    assert books.worth({}).equity == 1051.0
    books.take("forward.split", at, {"symbol": "X", "session": "2024-06-05", "ratio": 2.0})
    assert (books.worth({}).equity, books.worth({}).prices["X"].price) == (1051.0, 55.0)
    sold = BrokerFill("2", "", "X", instant(at + timedelta(hours=18)), -4.0, 60.0)
    books.take("forward.fill", at + timedelta(hours=18), payloads.write_fill(sold))
    books.take("forward.session", at, {**row, "cash": 502.0})
    assert (books.worth({}).equity, books.worth({}).cash) == (1102.0, 742.0), "the row came after its fill"
    old = {"X": Quote(at + timedelta(hours=17), 58.0, 58.0)}
    assert books.worth(old).equity == 1102.0, "a quote older than the fill"


def test_a_position_costs_what_was_paid_for_what_is_left_of_it() -> None:
    def filled(number: int, quantity: float, price: float, day: str = "2024-06-05") -> Stored:
        at = f"{day}T12:00:00-04:00"
        when, by = instant(datetime.fromisoformat(at)), "mine" if number < 3 else ""
        fill = BrokerFill(f"f{number}", by, "A", when, quantity, price)
        return Stored(number, "run", "", "t", Event("forward.fill", at, "COUNCIL", payloads.write_fill(fill)))

    opening = {"COUNCIL": {"number": "1", "cash": 1000.0, "positions": {"B": 5.0}}}
    begun = Stored(0, "run", "", "t", Event("forward.started", None, None, {"opening": opening}))
    bought, more, sold, turned = (
        filled(1, 10.0, 100.0),
        filled(2, 10.0, 110.0),
        filled(3, -5.0, 90.0),
        filled(4, -20.0, 80.0),
    )
    sold_late = filled(3, -15.0, 55.0, "2024-06-10")
    (a, b), _ = read_book([begun, bought, more, sold])
    assert (a.shares, a.average, b.shares, b.average) == (15.0, 105.0, 5.0, None), "nobody here paid for B"
    (a, _), orders = read_book([begun, bought, more, sold, turned])
    assert (a.shares, a.average) == (-5.0, 80.0)
    told = {"symbol": "A", "session": "2024-06-10", "ratio": 2.0}
    late = Stored(5, "run", "", "t", Event("forward.split", "2024-06-10T16:00:00-04:00", None, told))
    held, _ = read_book([begun, bought, sold_late, late])
    assert [(one.symbol, one.shares, one.average) for one in held] == [("A", 5.0, 50.0), ("B", 5.0, None)]
    assert ("sell", -20.0, 80.0) in [(one.side, one.quantity, one.price) for one in orders]


def test_what_an_agent_answered_reads_as_words() -> None:
    answer = {"candidates": [{"symbol": "NVDA", "score": 0.123456789}, {"symbol": "AMD"}], "approve": True,
              "volatility": None, "stop_price": 1234.5}  # fmt: skip
    assert _brief(answer) == "candidates symbol NVDA, score 0.123457; symbol AMD, approve yes, stop price 1,234.5"


def test_what_happens_comes_to_the_page_and_what_was_unfolded_stays_so(test_site: Site, alone: Browser) -> None:
    run = run_of(test_site)
    enter(alone, test_site, f"/forward/{run}")
    assert alone.run("document.querySelector('.canvas').offsetHeight > 100")
    click(alone, ".occasion:not([open]) summary")
    folded = "document.querySelectorAll('.occasion[open]').length"
    assert alone.run(folded) == 2
    at = "2024-06-05T09:00:00-04:00"
    test_site.store.append(run, [Event("forward.asked", at, None, {"name": "checkpoint 09:00", "clock": at})])
    until(alone, "document.querySelector('.occasion').innerText.includes('being asked')")
    assert alone.run(folded) == 3
    words = {"seat": "pm.trend", "keys": [], "answer": None, "error": HOSTILE}
    minutes = {"kind": "council", "no_decision": HOSTILE, "seats": {}, "research": [words], "pitches": [],
               "reviews": [], "chairman": None, "labels": {}, "scores": {}}  # fmt: skip
    done = {"name": "checkpoint 09:00", "state": "failed", "why": "too few answered", "minutes": minutes}
    test_site.store.append(run, [Event("forward.point", at, None, done)])
    until(alone, "document.querySelector('.occasion').innerText.includes('too few answered')")
    assert alone.run("document.title") == "macro_council · Desk"


def test_a_cut_line_leaves_the_test_as_it_was_known_and_mends(test_site: Site, alone: Browser) -> None:
    run = run_of(test_site)
    enter(alone, test_site, f"/forward/{run}")
    sessions = test_site.sessions
    test_site.cut()
    until(alone, f"{LINE}.startsWith('line cut: as of')")
    assert "COUNCIL" in alone.run("document.querySelector('main.cut').innerText")
    at = "2024-06-05T09:00:00-04:00"
    test_site.store.append(run, [Event("forward.asked", at, None, {"name": "meanwhile", "clock": at})])
    test_site.mend(sessions)
    until(alone, "document.body.innerText.includes('meanwhile') && !document.querySelector('main.cut')")


def test_the_keyboard_alone_reads_a_test_and_stays_where_it_is(test_site: Site, alone: Browser) -> None:
    run = run_of(test_site)
    enter(alone, test_site, f"/forward/{run}", 390)
    alone.press("Tab")
    assert alone.run("document.activeElement.textContent") == "Skip to the content"
    alone.press("Enter")
    assert alone.run("location.hash") == "#content"
    tab_to(alone, ".parts a[href='#orders']")
    tab_to(alone, ".occasion:not([open]) summary")
    alone.press("Enter")
    here = "document.activeElement.parentElement"
    assert alone.run(f"{here}.open")
    place = alone.run(f"{here}.id")
    at = "2024-06-05T09:00:00-04:00"
    test_site.store.append(run, [Event("forward.asked", at, None, {"name": "a newer one", "clock": at})])
    until(alone, "document.querySelector('.occasion').innerText.includes('a newer one')")
    assert alone.run(f"{here}.id") == place
    tab_to(alone, "[aria-label='Newest states of orders']")
    test_site.store.append(run, [Event("forward.asked", at, None, {"name": "the newest", "clock": at})])
    until(alone, "document.querySelector('.occasion').innerText.includes('the newest')")
    assert alone.run("document.activeElement.ariaLabel") == "Newest states of orders"
    go(alone, f"{test_site.url}/forward/{run}", 390)
    tab_to(alone, ".parts a[href$='report.html']")
    alone.press("Enter")
    until(alone, "location.pathname.endsWith('/report.html')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_a_test_and_of_questions_have_no_violation_and_fit_a_phone(
    test_site: Site, alone: Browser, scheme: str
) -> None:
    alone.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    alone.ask("Page.setBypassCSP", enabled=True)
    try:
        page = f"/forward/{run_of(test_site)}"
        enter(alone, test_site, page, 390)
        for path, width in ((page, 390), (page, 1440), ("/council", 390), ("/council", 1440)):
            go(alone, test_site.url + path, width)
            alone.run(OPEN_ALL)
            alone.run(axe())
            assert alone.run(VIOLATIONS) == [], (path, width)
            assert alone.run("document.documentElement.scrollWidth") <= width
    finally:
        alone.ask("Page.setBypassCSP", enabled=False)
        alone.ask("Emulation.setEmulatedMedia", features=[])


ASKED = {"action": "ask", "strategy": "macro_council", "symbols": "SPY,QQQ", "as_of": "2024-06-03", "models": "offline",
         "question": "Is gold a hedge this year?", "most": 1}  # fmt: skip


def test_the_keyboard_alone_prices_and_asks_a_question_which_is_kept_with_its_debate_and_trades_nothing(
    test_site: Site, alone: Browser
) -> None:
    kinds = {"forward.order", "forward.intent"}
    before = len([one for one in test_site.store.of_forward(None) if one.event.kind in kinds])
    enter(alone, test_site, "/council")
    for name, text in (("question", ASKED["question"]), ("as_of", ASKED["as_of"])):
        tab_to(alone, f"[name={name}]")  # what stands there is selected, and typed over
        alone.ask("Input.insertText", text=str(text))
    tab_to(alone, "[name=models]")
    while alone.run("document.activeElement.value") != "offline":
        alone.press("ArrowDown")
    tab_to(alone, "button[value=plan]")
    alone.press("Enter")
    until(alone, f"{SAID}.endsWith('questions to models, about $0.00, at most $0.00')")
    assert test_site.store.of_forward("questions") == []
    tab_to(alone, "button[value=ask]")
    alone.press("Enter")
    until(alone, f"{SAID}.startsWith('answered for $0.00')")
    until(alone, "document.querySelector('.occasion').innerText.includes('Is gold a hedge this year?')")
    for part in ("Chairman", "Research", "Pitches", "Reviews"):
        assert part in alone.run("document.querySelector('.occasion').innerText")
    tab_to(alone, ".occasion summary")
    alone.press("Enter")
    assert not alone.run("document.querySelector('.occasion').open")
    (kept,) = test_site.store.of_forward("questions")
    assert kept.event.payload["minutes"]["user_query"] == ASKED["question"]
    assert len([one for one in test_site.store.of_forward(None) if one.event.kind in kinds]) == before
    acted = [one.event.payload for one in test_site.store.of_forward("web")]
    assert acted[-1]["action"] == "asked the council"
    assert acted[-1]["most"] == 1


@pytest.mark.parametrize("action", ["plan", "ask"])
@pytest.mark.parametrize("wrong", [
    {"most": "much"}, {"most": -1}, {"most": True}, {"strategy": "../secret"}, {"question": ""}, {"question": "a\nb"},
    {"question": "x" * 501}, {"symbols": "SPY,NOTHING"}, {"as_of": "soon"}, {"models": "none such"},
    {"as_of": "2024-13-40"}, {"as_of": "2030-01-01"}, {"question": "a\x1bb"}, {"strategy": "sma_cross"},
])  # fmt: skip
def test_a_question_that_is_none_is_refused_in_one_line_before_it_is_priced(
    test_site: Site, wrong: dict[str, object], action: str
) -> None:
    ann = log_in(test_site, test_site.token("ann", "approve"))
    status, _, text = ask(test_site, "POST", "/council", {**ASKED, **wrong, "action": action}, **ann)
    assert (status, text.count("\n")) == (409, 1)
    assert test_site.store.of_forward("questions") == []


def test_who_may_only_read_asks_nothing(test_site: Site) -> None:
    bob = log_in(test_site, test_site.token("bob", "read"))
    assert ask(test_site, "POST", "/council", ASKED, **bob)[0] == 403
    ann = log_in(test_site, test_site.token("ann", "approve"))
    assert ask(test_site, "POST", "/council", ASKED, **{**ann, "x_csrf_token": "wrong"})[0] == 403
    assert "data-question" not in ask(test_site, "GET", "/council", cookie=bob["cookie"])[2]
    assert test_site.store.of_forward("questions") == []
