"""The pages in a real browser: trades are answered one by one and together, by two people, with the line cut."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from simulator.forward.approvals import Approval, answer, read_approvals
from simulator.store.events import Event
from tests.report.conftest import Browser
from tests.report.test_report_accessible import VIOLATIONS, axe
from tests.web.conftest import Site

pytestmark = pytest.mark.medium
SAID = "document.getElementById('said').textContent"
LINE = "(document.getElementById('line')?.textContent ?? '')"


def until(browser: Any, script: str, seconds: float = 300.0) -> None:
    """Wait until an expression is true on the page."""
    deadline = time.monotonic() + seconds
    while not holds(browser, script):
        assert time.monotonic() < deadline, (script, browser.run("document.body.innerText"))
        time.sleep(0.05)


def holds(browser: Any, script: str) -> bool:
    """Evaluate an expression; it does not hold while the page is on its way to another."""
    try:
        return bool(browser.run(script))
    except AssertionError as error:
        if "navigated or closed" in str(error):
            return False
        raise


def go(browser: Any, url: str, width: int = 1440) -> None:
    browser.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.ask("Page.navigate", url=url)
    until(browser, "document.readyState === 'complete' && location.href !== 'about:blank'")


def type_in(browser: Any, selector: str, text: str) -> None:
    browser.run(f"document.querySelector({selector!r}).focus()")
    browser.ask("Input.insertText", text=text)


def click(browser: Any, selector: str) -> None:
    browser.run(f"document.querySelector({selector!r}).click()")


def enter(browser: Any, site: Site, to: str = "/approvals", width: int = 1440) -> None:
    """Follow a link from elsewhere and log in where it leads."""
    go(browser, site.url + to, width)
    until(browser, "document.getElementById('token') !== null")
    type_in(browser, "#token", site.token(f"ann{time.monotonic_ns()}", "approve"))
    browser.press("Enter")
    until(browser, f"location.pathname === {to!r} && {LINE}.startsWith('live')")


@pytest.fixture
def alone(browser: Browser) -> Iterator[Browser]:
    browser.ask("Network.clearBrowserCookies")
    browser.events.clear()
    yield browser
    browser.ask("Page.navigate", url="about:blank")


def tab_to(browser: Any, selector: str) -> None:
    """Press Tab until the first element of a selector has the focus, which can be seen."""
    first = f"document.querySelector({selector!r})"
    for _ in range(200):
        browser.press("Tab")
        if browser.run(f"document.activeElement === {first}"):
            assert browser.run(f"{first}.matches(':focus-visible')"), selector
            return
    raise AssertionError(f"no Tab reaches {selector}")


def trades(site: Site) -> dict[str, Approval]:
    return {one.symbol: one for one in read_approvals(site.store)}


def test_trades_are_approved_rejected_changed_and_answered_together(site: Site, alone: Browser) -> None:
    site.ask("SPY", "QQQ", "BIL", "GLD", "TLT")
    enter(alone, site)
    assert alone.run("document.title") == "Approvals · Desk"  # the script in the thesis is text
    card = "[data-id$={}] "
    click(alone, card.format("spy") + "button[value=approve]")
    until(alone, f"{SAID} === 'SPY is approved'")
    click(alone, card.format("qqq") + "button[value=reject]")
    until(alone, f"{SAID}.includes('a rejection has a reason')")
    type_in(alone, card.format("qqq") + "[name=reason]", "too dear")
    click(alone, card.format("qqq") + "button[value=reject]")
    until(alone, f"{SAID} === 'QQQ is rejected'")
    type_in(alone, card.format("bil") + "[name=scale]", "0.5")
    type_in(alone, card.format("bil") + "[name=limit]", "98")
    click(alone, card.format("bil") + "button[value=modify]")
    until(alone, f"{SAID} === 'BIL is approved'")
    for one in ("gld", "tlt"):
        click(alone, card.format(one) + "[name=together]")
    click(alone, "[data-together] button[value=approve]")
    until(alone, f"{SAID} === 'GLD is approved\\nTLT is approved'")
    done = trades(site)
    states = {symbol: one.state for symbol, one in done.items()}
    assert states == {"SPY": "approved", "QQQ": "rejected", "BIL": "approved", "GLD": "approved", "TLT": "approved"}
    assert done["QQQ"].reason == "too dear"
    assert (done["BIL"].sizes["COUNCIL"].quantity, done["BIL"].sizes["COUNCIL"].limit) == (5.0, 98.0)
    until(alone, "document.body.innerText.includes('Nothing waits for approval')")


def test_each_account_keeps_what_is_typed_for_it_and_one_size_for_all_is_that_of_every_account(
    site: Site, alone: Browser
) -> None:
    site.ask("SPY", "QQQ", room=True, accounts=("COUNCIL", "GEMINI"))
    site.beat(101.0)
    enter(alone, site, width=390)
    card, at = "[data-id$={}] ", "document.querySelector(`[data-id$={}] {}`)"

    def choose(symbol: str, account: str) -> None:
        select = at.format(symbol, "[name=account]")
        alone.run(f"{select}.value = '{account}'; {select}.dispatchEvent(new Event('input', {{bubbles: true}}))")

    choose("spy", "GEMINI")
    assert not alone.run(f"{at.format('spy', '[name=scale]')}.checkVisibility()")
    type_in(alone, card.format("spy") + "[name='GEMINI.quantity']", "3")
    choose("spy", "COUNCIL")
    assert alone.run(at.format("spy", "[name='COUNCIL.quantity']") + ".value") == ""
    assert "GEMINI: changed" in alone.run(at.format("spy", "[name=account]") + ".innerText")
    type_in(alone, card.format("spy") + "[name='COUNCIL.quantity']", "7")
    alone.run("refresh(true)")
    assert alone.run(at.format("spy", "[name='COUNCIL.quantity']") + ".checkVisibility()"), "it is chosen still"
    click(alone, card.format("spy") + "button[value=modify]")
    until(alone, f"{SAID} === 'SPY is approved'")
    assert {name: one.quantity for name, one in trades(site)["SPY"].sizes.items()} == {"COUNCIL": 7.0, "GEMINI": 3.0}

    choose("qqq", "GEMINI")
    type_in(alone, card.format("qqq") + "[name='GEMINI.scale']", "0.8")
    click(alone, card.format("qqq") + "[name=together]")
    type_in(alone, "[data-together] [name=scale]", "0.5")
    assert alone.run(at.format("qqq", "[name='GEMINI.scale']") + ".value") == ""
    type_in(alone, card.format("qqq") + "[name='GEMINI.quantity']", "3")
    click(alone, "[data-together] button[value=modify]")
    until(alone, f"{SAID} === 'QQQ is approved'")
    assert {name: one.quantity for name, one in trades(site)["QQQ"].sizes.items()} == {"COUNCIL": 5.0, "GEMINI": 3.0}


def test_what_is_no_number_is_told_with_its_field_and_approves_nothing(site: Site, alone: Browser) -> None:
    site.ask("SPY", "QQQ", room=True, accounts=("COUNCIL", "GEMINI"))
    site.beat(101.0)
    enter(alone, site)
    spy = "[data-id$=spy] "
    select = f"document.querySelector('{spy}[name=account]')"
    choose = "{0}.value = '{1}'; {0}.dispatchEvent(new Event('input', {{bubbles: true}}))"
    alone.run(choose.format(select, "GEMINI"))
    type_in(alone, f"{spy}[name='GEMINI.quantity']", "1e")
    alone.run(choose.format(select, ""))
    assert "GEMINI: changed" in alone.run(f"{select}.innerText")
    type_in(alone, f"{spy}[name=limit]", "98")
    until(alone, "document.getElementById('rules-' + document.querySelector('[data-id$=spy]').dataset.id).innerText"
          ".includes('what is typed is no number')")  # fmt: skip
    click(alone, f"{spy}button[value=modify]")
    until(alone, f"{SAID} === 'SPY in GEMINI, Shares: what is typed is no number'")
    assert alone.run("document.activeElement.name") == "GEMINI.quantity", "it is shown, and the next key goes there"
    click(alone, f"{spy}[name=together]")
    for button in ("approve", "modify"):
        alone.run("document.getElementById('said').textContent = ''")
        click(alone, f"[data-together] button[value={button}]")
        until(alone, f"{SAID} === 'SPY in GEMINI, Shares: what is typed is no number'")
    assert trades(site)["SPY"].state == "waiting"
    alone.run(f"document.querySelector(`{spy}[name='GEMINI.quantity']`).value = ''")
    type_in(alone, "[data-together] [name=scale]", "-")
    click(alone, "[data-together] button[value=modify]")
    until(alone, f"{SAID} === 'Size of each in every account, times: what is typed is no number'")
    alone.run("document.querySelector('[data-together] [name=scale]').value = ''")
    click(alone, f"{spy}button[value=modify]")
    until(alone, f"{SAID} === 'SPY is approved'")
    assert {(one.quantity, one.limit) for one in trades(site)["SPY"].sizes.values()} == {(10.0, 98.0)}


def test_one_size_for_all_that_are_selected_stands_in_each_and_is_approved_with_what_else_is_changed(
    site: Site, alone: Browser
) -> None:
    site.ask("SPY", "QQQ", "BIL", room=True)
    site.beat(101.0)
    enter(alone, site, width=390)
    card, rules = "[data-id$={}] ", "document.querySelector('[data-id$={}] .rules').innerText"
    click(alone, "[data-together] button[value=modify]")
    until(alone, f"{SAID} === 'no change is typed in what is selected'")
    type_in(alone, card.format("qqq") + "[name=limit]", "98")
    click(alone, card.format("qqq") + "[name=together]")
    type_in(alone, "[data-together] [name=scale]", "0.5")
    click(alone, card.format("spy") + "[name=together]")
    for one in ("spy", "qqq"):
        assert alone.run(f"document.querySelector('{card.format(one)}[name=scale]').value") == "0.5"
        until(alone, f"{rules.format(one)} === 'As changed it is within its rules.'")
    assert alone.run(f"document.querySelector('{card.format('bil')}[name=scale]').value") == ""
    click(alone, "[data-together] button[value=approve]")
    until(alone, f"{SAID}.startsWith('a change is typed')")
    click(alone, "[data-together] button[value=modify]")
    until(alone, f"{SAID} === 'SPY is approved\\nQQQ is approved'")
    done = {symbol: one.sizes["COUNCIL"] for symbol, one in trades(site).items()}
    sizes = {symbol: (one.quantity, one.limit) for symbol, one in done.items()}
    assert sizes == {"SPY": (5.0, 99.0), "QQQ": (5.0, 98.0), "BIL": (10.0, 99.0)}
    assert trades(site)["BIL"].state == "waiting"


def test_the_second_of_two_people_hears_that_it_changed_meanwhile(site: Site, alone: Browser) -> None:
    site.ask("SPY", "QQQ")
    enter(alone, site)
    type_in(alone, "[data-id$=spy] [name=reason]", "fine")  # the page is left as it is while somebody types
    answer(site.store, trades(site)["SPY"].id, 1, "bob", "approve")
    until(alone, f"{LINE}.includes('changed meanwhile')")
    click(alone, "[data-id$=spy] button[value=approve]")
    until(alone, f"{SAID}.includes('changed meanwhile: SPY was approved meanwhile by bob')")
    until(alone, "document.querySelector('[data-id$=spy]') === null")
    site.store.append("run", [Event("approval.expired", None, None, {"id": trades(site)["QQQ"].id, "version": 2})])
    until(alone, "document.querySelector('[data-id$=qqq]') === null")
    assert "QQQ in COUNCIL expired" in alone.run("document.body.innerText")


def test_a_cut_line_is_marked_and_mended(site: Site, alone: Browser) -> None:
    site.ask("SPY")
    enter(alone, site)
    sessions = site.sessions
    site.cut()
    until(alone, f"{LINE}.startsWith('line cut: as of')")
    assert "SPY" in alone.run("document.querySelector('main.cut').innerText")
    click(alone, "[data-id$=spy] button[value=approve]")
    until(alone, f"{SAID}.includes('not known whether it arrived')")
    site.ask("QQQ")
    site.mend(sessions)
    alone.run("document.activeElement.blur()")
    until(alone, "document.querySelector('[data-id$=qqq]') !== null && !document.querySelector('main.cut')")
    assert trades(site)["SPY"].state == "waiting"


def test_the_keyboard_alone_answers(site: Site, alone: Browser) -> None:
    site.ask("SPY")
    enter(alone, site, width=390)
    tab_to(alone, "[data-id$=spy] [name=quantity]")
    alone.ask("Input.insertText", text="5")
    alone.press("Enter")
    until(alone, f"{SAID} === 'choose a button'")
    tab_to(alone, "[data-id$=spy] button[value=approve]")
    alone.press("Enter")
    until(alone, f"{SAID}.startsWith('a change is typed')")
    assert trades(site)["SPY"].state == "waiting", "it would have been approved unchanged"
    tab_to(alone, "[data-id$=spy] button[value=modify]")
    alone.press("Enter")
    until(alone, f"{SAID} === 'SPY is approved'")
    assert alone.run("document.activeElement.id") == "content"
    assert trades(site)["SPY"].sizes["COUNCIL"].quantity == 5.0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_violation_or_is_wider_than_a_phone(site: Site, alone: Browser, scheme: str) -> None:
    site.ask("SPY", "QQQ", room=True)
    site.beat(101.0)
    alone.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    alone.ask("Page.setBypassCSP", enabled=True)
    try:
        enter(alone, site, width=390)
        for page, width in (("/approvals", 390), ("/", 1440), ("/runs", 390), ("/audit", 390), ("/login", 390)):
            go(alone, site.url + page, width)
            until(alone, f"location.pathname === {page!r}")
            alone.run(axe())
            assert alone.run(VIOLATIONS) == [], (page, scheme)
            assert alone.run("document.documentElement.scrollWidth") <= width, page
    finally:
        alone.ask("Page.setBypassCSP", enabled=False)
        alone.ask("Emulation.setEmulatedMedia", features=[])


def test_a_link_of_a_report_leads_on_and_what_is_not_its_own_script_does_nothing(site: Site, alone: Browser) -> None:
    for name, body in (("one", '<a id="on" href="../two/report.html">on</a>'), ("two", "<p>two</p>")):
        (folder := site.workspace.reports / name).mkdir(parents=True)
        (folder / "report.html").write_text(f"<!doctype html><title>{name}</title>{body}")
    frame = '<iframe id="in" src="/approvals"></iframe><a id="out" target="_blank" href="../two/report.html">out</a>'
    page = site.workspace.reports / "one" / "report.html"
    page.write_text(page.read_text() + frame + '<img src="x" onerror="document.title = \'stolen\'">')
    enter(alone, site, "/")
    go(alone, f"{site.url}/reports/one/report.html")
    until(alone, "document.title === 'one' && origin === 'null'")
    assert alone.run("(() => { try { return document.cookie } catch (error) { return error.name } })()") in (
        "", "SecurityError",
    )  # fmt: skip
    click(alone, "#out")  # no window beside it
    click(alone, "#on")
    until(alone, "document.title === 'two' && location.pathname === '/reports/two/report.html'")
