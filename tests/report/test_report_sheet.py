"""The first screen, the row of sections and the zoom of the linked charts, in a real browser."""

from __future__ import annotations

import re
from typing import Any

import pytest

from simulator.report import build

pytestmark = pytest.mark.medium

PERIOD = "document.querySelector('.period').textContent"
TICKS = "[...document.querySelectorAll('.stack .x-axis.{} span')].map(t => t.textContent)"
BOX = "(b => [b.left, b.top, b.width, b.height])(document.querySelector('.overlay').getBoundingClientRect())"
EQUITY = "document.querySelector('.stack .canvas svg').innerHTML"
LEVELS = "[...document.querySelectorAll('.stack .y-axis')].map(a => a.textContent)"


def place(browser: Any, across: float) -> tuple[float, float]:
    """A point of the linked charts, in the drawdown."""
    browser.run("document.querySelector('.stack').scrollIntoView({block: 'center', behavior: 'instant'})")
    left, top, width, height = browser.run(BOX)
    return left + across * width, top + 0.7 * height


def drag(browser: Any, start: float, end: float) -> None:
    (x, y), (to, _) = place(browser, start), place(browser, end)
    for kind, at, buttons in (("mousePressed", x, 1), ("mouseMoved", (x + to) / 2, 1), ("mouseMoved", to, 1)):
        browser.ask("Input.dispatchMouseEvent", type=kind, x=at, y=y, button="left", buttons=buttons, clickCount=1)
    browser.ask("Input.dispatchMouseEvent", type="mouseReleased", x=to, y=y, button="left", clickCount=1)


def test_verdict_curve_and_six_figures_stand_on_the_first_screen(write_run: Any, browser: Any) -> None:
    browser.open(build(write_run(sessions=600)), 1440, 900)
    where = "(b => [b.left, b.right, b.top, b.bottom])(document.querySelector('{}').getBoundingClientRect())"
    headline, curve, tiles, row = (
        browser.run(where.format(css)) for css in (".headline", ".opening .canvas", ".tiles", ".sections")
    )
    assert headline[1] < curve[0]
    assert curve[3] < tiles[2] < tiles[3] < row[2] < row[3] <= 900
    assert browser.run("[...document.querySelectorAll('.tiles dt')].map(t => t.textContent)") == [
        "Return", "Beyond its exposure", "Sharpe ratio", "Largest drawdown", "Exposure", "Cost",
    ]  # fmt: skip


def test_dragging_zooms_all_charts_and_a_double_click_goes_back(write_run: Any, browser: Any) -> None:
    browser.open(build(write_run(sessions=504)))
    whole = [browser.run(EQUITY), browser.run(LEVELS), browser.run(TICKS.format("wide"))]
    drag(browser, 0.25, 0.5)
    assert browser.run(PERIOD).startswith("26 Jun 2024 to ")
    assert "buy-and-hold" in browser.run(PERIOD)
    assert browser.run(TICKS.format("wide"))[0] in ("26 Jun 2024", "Jul 2024")
    assert browser.run(TICKS.format("narrow")) != whole[2]
    assert all(now != then for now, then in zip(browser.run(LEVELS)[:1], whole[1][:1], strict=True))
    drag(browser, 0.5, 0.1)
    inner = browser.run(PERIOD)
    x, y = place(browser, 0.5)
    for count in (1, 2):
        for kind in ("mousePressed", "mouseReleased"):
            browser.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=count)
    assert browser.run(PERIOD).startswith("26 Jun 2024 to ")
    assert browser.run(PERIOD) != inner
    browser.run("document.querySelector('.overlay').focus()")
    browser.press("Escape")
    assert browser.run(PERIOD) == ""
    assert [browser.run(EQUITY), browser.run(LEVELS), browser.run(TICKS.format("wide"))] == whole
    assert browser.complaints == []


def test_the_period_is_chosen_by_buttons_and_its_return_is_that_of_the_closes(write_run: Any, browser: Any) -> None:
    browser.open(build(write_run(sessions=504)))
    names = "[...document.querySelectorAll('.spans button')].map(b => b.textContent)"
    assert browser.run(names) == ["1M", "3M", "1Y", "All"]
    browser.run("document.querySelectorAll('.spans button')[2].click()")
    data = browser.run("JSON.parse(evidence.textContent)")
    first = next(
        n for n, day in enumerate(data["days"]) if day > f"{int(data['days'][-1][:4]) - 1}{data['days'][-1][4:]}"
    )
    gained = data["curves"]["equity"][-1] / data["curves"]["equity"][first - 1] - 1
    shown = re.search(r": ([+−][\d.]+)", browser.run(PERIOD))
    assert shown
    assert float(shown[1].replace("−", "-")) == pytest.approx(100 * gained, abs=0.051)
    assert browser.run("document.querySelector('.spans [aria-pressed=true]').textContent") == "1Y"
    browser.run("document.querySelectorAll('.spans button')[3].click()")
    assert browser.run(PERIOD) == ""


def test_the_zoom_follows_the_keys(write_run: Any, browser: Any) -> None:
    browser.open(build(write_run()))
    browser.run("document.querySelector('.overlay').focus()")
    browser.press("Home")
    for key in ("+", "+"):
        browser.ask("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        browser.ask("Input.dispatchKeyEvent", type="keyUp", key=key)
    assert browser.run(PERIOD).startswith("2 Jan 2024 to 2")
    assert "Mar 2024" in browser.run(PERIOD)
    browser.press("End")
    assert browser.run("parseFloat(document.querySelector('.cursor').style.left)") == 100
    assert re.match(r"\d+ Sep 2024 to 18 Dec 2024", browser.run(PERIOD))
    for _ in range(2):
        browser.press("Escape")
    assert browser.run(PERIOD) == ""
    assert browser.complaints == []


def test_a_finger_drawn_across_zooms_and_a_tap_only_moves_the_cursor(write_run: Any, browser: Any) -> None:
    browser.open(build(write_run()), 390)
    browser.ask("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        for path, zoomed in (([0.5], False), ([0.3, 0.4, 0.5, 0.6], True)):
            points = [place(browser, across) for across in path]
            for n, (x, y) in enumerate(points):
                kind = "touchMove" if n else "touchStart"
                browser.ask("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
            browser.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            assert bool(browser.run(PERIOD)) is zoomed
    finally:
        browser.ask("Emulation.setTouchEmulationEnabled", enabled=False)
    assert not browser.run("document.getElementById('debate').open")


@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_the_row_of_sections_is_one_row_that_stays_and_says_where_one_is(
    write_run: Any, browser: Any, width: int
) -> None:
    browser.open(build(write_run()), width)
    inside = "[...document.querySelectorAll('.sections a')].every(a => document.querySelector(a.hash))"
    assert browser.run(inside)
    tops = "new Set([...document.querySelectorAll('.sections > *')].map(a => a.getBoundingClientRect().top)).size"
    assert browser.run(tops) == 1
    row = "document.querySelector('.sections')"
    assert browser.run(f"{row}.scrollWidth <= {row}.clientWidth && {row}.offsetHeight < 50")
    assert browser.run(f"{row}.querySelectorAll(':scope > a').length") >= (3 if width < 500 else 11)
    browser.run("document.getElementById('costs').scrollIntoView({behavior: 'instant'})")
    current = "document.querySelector('.sections [aria-current]')?.textContent"
    browser.ask("Runtime.evaluate", expression="new Promise(requestAnimationFrame)", awaitPromise=True)
    browser.ask("Runtime.evaluate", expression="new Promise(requestAnimationFrame)", awaitPromise=True)
    assert browser.run(current) == "Costs"
    bar = browser.run("(b => [b.top, b.bottom])(document.querySelector('.sections').getBoundingClientRect())")
    assert bar[0] == 0
    assert bar[1] <= browser.run("document.querySelector('#costs h2').getBoundingClientRect().top")
    browser.run("document.querySelector('.sections summary').focus()")
    browser.press("Enter")
    boxes = "[...document.querySelectorAll('.sections a')].map(a => a.getBoundingClientRect())"
    assert all(0 <= left < right <= width for left, right in browser.run(f"{boxes}.map(b => [b.left, b.right])"))
    menu = "document.querySelector('.sections .menu')"
    assert browser.run(f"{menu}.open")
    browser.press("Escape")
    assert not browser.run(f"{menu}.open")
    browser.run(f"{menu}.open = true; {menu}.querySelector('a[href=\"#protocol\"]').click()")
    assert not browser.run(f"{menu}.open")
    assert browser.run("location.hash") == "#protocol"


def test_what_the_run_has_not_got_has_no_entry(write_run: Any, browser: Any) -> None:
    browser.open(build(write_run(members=(), analysts=None, trades=False)))
    names = browser.run("[...document.querySelectorAll('.sections a')].map(a => a.textContent)")
    assert not {"Calibration", "Factors", "Contamination", "Members"} & set(names)
