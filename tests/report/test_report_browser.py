"""The report in a real browser, driven as a reader drives it: by mouse, by keys, on a phone, on paper."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from simulator.report import build

pytestmark = pytest.mark.medium

HEADING = "document.querySelector('#debate h2').textContent"
IS_OPEN = "document.getElementById('debate').open"
SAID = "document.querySelector('.overlay').getAttribute('aria-valuetext')"


def marker(browser: Any, which: int) -> tuple[float, float, dict[str, Any]]:
    """Where a trade stands on the screen, and what the page's own data says of it."""
    browser.run("document.querySelector('.strips').scrollIntoView({block: 'center', behavior: 'instant'})")
    data = {k: v for one in ("evidence", "debates") for k, v in browser.run(f"JSON.parse({one}.textContent)").items()}
    trade = data["trades"][which]
    box = browser.run(
        "(b => [b.left, b.top, b.width, b.height])(document.querySelector('.strips').getBoundingClientRect())"
    )
    row = 0.25 if trade[2] > 0 else 0.75
    return box[0] + box[2] * (trade[0] + 0.5) / len(data["days"]), box[1] + box[3] * row, data


def test_the_page_opens_without_a_word_on_the_console_and_asks_for_nothing(write_run: Any, browser: Any) -> None:
    page = build(write_run())
    browser.open(page)
    assert browser.complaints == []
    assert browser.requests == [page.as_uri()]
    assert browser.run("document.documentElement.classList.contains('live')")
    assert browser.run("document.querySelectorAll('svg path').length") > 30
    drawn = "[...document.querySelectorAll('.stack .canvas')].filter(c => c.getBoundingClientRect().height > 10).length"
    assert browser.run(drawn) == 5


def test_the_page_forbids_itself_every_request_and_every_foreign_script(write_run: Any, browser: Any) -> None:
    page = build(write_run(sessions=80))
    foreign = '<img src="http://127.0.0.1:9/x.png"><script>document.title = "taken over"</script></main>'
    page.write_text(page.read_text(encoding="utf-8").replace("</main>", foreign), encoding="utf-8")
    browser.open(page)
    refused = [str(event) for event in browser.complaints]
    assert sum("Content Security Policy" in one for one in refused) >= 2
    assert browser.run("document.title") != "taken over"


def test_a_click_on_a_trade_opens_the_debate_behind_it(write_run: Any, browser: Any) -> None:
    browser.open(build(write_run()))
    x, y, data = marker(browser, 12)
    trade = data["trades"][12]
    browser.click(x, y)
    assert browser.run(IS_OPEN)
    behind = data["decisions"][trade[5]]
    assert browser.run(HEADING).startswith("Meeting of ")
    assert behind["at"][11:] in browser.run(HEADING)
    told = browser.run("document.querySelector('#debate .content').innerText")
    assert all(pitch["seat"] in told for pitch in behind["pitches"])
    assert "Trades that followed" in told
    assert trade[1] in told
    assert "Net votes +1.3." in told
    assert browser.complaints == []


def test_the_chart_is_walked_with_keys_alone(write_run: Any, browser: Any) -> None:
    browser.open(build(write_run()))
    browser.run("document.querySelector('.overlay').focus()")
    browser.press("Home")
    assert browser.run(SAID).startswith("2 Jan 2024: equity $")
    browser.press("ArrowRight")
    assert browser.run(SAID).startswith("3 Jan 2024")
    browser.press("ArrowRight", shift=True)
    assert re.search(r"; (bought|sold) ", browser.run(SAID))
    browser.press("Enter")
    assert browser.run(IS_OPEN)
    first = browser.run(HEADING)
    browser.press("ArrowRight")
    assert browser.run(HEADING) != first
    browser.press("ArrowLeft")
    assert browser.run(HEADING) == first
    browser.press("Escape")
    assert not browser.run(IS_OPEN)
    assert browser.run("document.activeElement.className") == "overlay"
    browser.press("End")
    assert browser.run("document.querySelector('.overlay').getAttribute('aria-valuenow')") == "251"
    assert browser.complaints == []


def test_a_checkpoint_shows_its_theses(write_run: Any, browser: Any) -> None:
    browser.open(build(write_run()))
    browser.run("document.querySelector('.overlay').focus()")
    browser.press("Home")
    for _ in range(3):
        browser.press("ArrowRight")
    browser.press("Enter")
    assert browser.run(HEADING) == "Checkpoint of 5 Jan 2024, 09:00"
    assert "CLOSE LONG QQQ, conviction +1 to 0" in browser.run("document.querySelector('#debate .content').innerText")


@pytest.mark.parametrize("shape", [{"members": ()}, {"trades": False}, {"sessions": 1}, {"ruin": True}])
def test_runs_without_debates_or_trades_complain_of_nothing(
    write_run: Any, browser: Any, shape: dict[str, Any]
) -> None:
    browser.open(build(write_run(**shape)))
    browser.run("document.querySelector('.overlay').focus()")
    for key in ("Home", "ArrowRight", "Enter"):
        browser.press(key)
    assert browser.complaints == []
    assert browser.run(SAID)


def test_names_cannot_become_markup_in_the_debate(write_run: Any, browser: Any) -> None:
    folder = write_run(sessions=60)
    path = folder / "decisions.jsonl"
    nasty = "</script><img src=x onerror=alert(1)>"
    path.write_text(path.read_text(encoding="utf-8").replace("Breadth has widened.", nasty), encoding="utf-8")
    browser.open(build(folder))
    browser.run("document.querySelector('.overlay').focus()")
    browser.press("Home")
    browser.press("Enter")
    assert nasty in browser.run("document.querySelector('#debate .content').textContent")
    assert browser.run("document.querySelectorAll('#debate img').length") == 0
    assert browser.complaints == []


@pytest.mark.parametrize("width", [375, 1440])
def test_nothing_sticks_out_sideways(write_run: Any, browser: Any, width: int) -> None:
    names = {"symbols": ("SPY", "QQQ", "A_RATHER_LONG_SYMBOL"), "strategy": "a_strategy_with_a_long_name" * 2}
    browser.open(build(write_run(**names)), width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    browser.run("document.getElementById('opener').click()")
    assert browser.run("document.documentElement.scrollWidth") <= width
    within = (
        "(b => b.left >= 0 && b.right <= innerWidth + 1)(document.getElementById('debate').getBoundingClientRect())"
    )
    assert browser.run(within)
    fits = "(c => c.scrollWidth <= c.clientWidth)(document.querySelector('#debate .content'))"
    assert browser.run(fits)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_prints_whole_on_few_pages_whatever_the_screen_likes(write_run: Any, browser: Any, scheme: str) -> None:
    browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.open(build(write_run()))
    printed = base64.b64decode(browser.ask("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert 5 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 12
    browser.ask("Emulation.setEmulatedMedia", media="print")
    shown = "getComputedStyle(document.querySelector('{}')).display"
    assert browser.run(shown.format(".static-only")) == "block"
    assert {browser.run(shown.format(css)) for css in (".overlay", "#readout", "nav")} == {"none"}
    browser.ask("Emulation.setDeviceMetricsOverride", width=688, height=900, deviceScaleFactor=1, mobile=False)
    wide = "Math.max(...[...document.querySelectorAll('table')].map(t => t.getBoundingClientRect().right))"
    assert browser.run(wide) <= 688
    background = browser.run("getComputedStyle(document.documentElement).getPropertyValue('--paper')").strip()
    assert background == "#fcfbf8"
    browser.ask("Emulation.setEmulatedMedia", media="", features=[])


def test_everything_but_the_cursor_is_there_without_a_script(write_run: Any, browser: Any) -> None:
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(build(write_run()))
        shown = "getComputedStyle(document.querySelector('{}')).display"
        assert browser.run(shown.format(".overlay")) == "none"
        assert browser.run(shown.format(".static-only")) == "block"
        assert browser.run("document.querySelectorAll('.stack svg path').length") > 10
    finally:
        browser.ask("Emulation.setScriptExecutionDisabled", value=False)


def test_a_run_of_a_few_weeks_with_several_draws_fits_a_phone(write_run: Any, browser: Any) -> None:
    folder = write_run(sessions=30)
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    spread = dict.fromkeys(("mean", "min", "max", "sd"), 0.01234)
    shown = ("total_return", "max_drawdown", "exposure", "final_equity")
    run["replicates"] = {"count": 3, "metrics": dict.fromkeys(shown, spread)}
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    browser.open(build(folder), width=375)
    assert browser.run("document.querySelectorAll('.replicates tbody tr').length") >= 2
    assert browser.run("document.documentElement.scrollWidth") <= 375
