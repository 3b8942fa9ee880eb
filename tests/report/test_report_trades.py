"""The table of trades and the addresses of debates, in a real browser; the script of tables on one it does not know."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from simulator.report import build
from simulator.report.renderers.html import join_scripts

CELLS = "[...document.querySelectorAll('{} tbody tr')].map(r => r.cells[{}].textContent)"
HEADING = "document.querySelector('#debate h2').textContent"
IS_OPEN = "document.getElementById('debate').open"
STATUS = "document.querySelector('#trades .count').textContent"


def column(browser: Any, name: str) -> list[str]:
    found: list[str] = browser.run(f"[...document.querySelectorAll('.trades td.{name}')].map(c => c.textContent)")
    return found


def dollars(text: str) -> float:
    return float(text.replace("−", "-").replace("$", "").replace(",", ""))


def choose(browser: Any, label: str, value: str) -> None:
    browser.run(
        f"(s => {{ s.value = '{value}'; s.dispatchEvent(new Event('change')) }})"
        f"(document.querySelector('#trades select[aria-label={label}]'))"
    )


def type_into(browser: Any, field: str, words: str) -> None:
    browser.run(
        f"(f => {{ f.value = '{words}'; f.dispatchEvent(new Event('input')) }})(document.querySelector('{field}'))"
    )


def press_sort(browser: Any, head: str) -> None:
    """Sort with the keyboard."""
    browser.run(f"document.querySelector('{head} .sort').focus()")
    browser.press("Enter")


def trips(folder: Path, account: str = "") -> list[dict[str, str]]:
    place = folder / "accounts" / account if account else folder
    return csv_rows(place / "trades.csv")


@pytest.mark.medium
def test_trades_are_sorted_filtered_and_paged_and_are_those_of_trades_csv(write_run: Any, browser: Any) -> None:
    folder = write_run(symbols=("SPY", "QQQ", "GLD"), sessions=1_000)
    own = trips(folder)
    browser.open(build(folder))
    assert browser.run(STATUS).startswith(f"1 to 25 of {len(own)} of ")
    browser.run("document.querySelector('#trades .pager button:last-child').click()")
    assert browser.run(STATUS).startswith("26 to ")
    head = ".trades thead .pnl"
    press_sort(browser, head)
    assert browser.run(f"document.querySelector('{head}').getAttribute('aria-sort')") == "descending"
    profits = sorted((round(float(trip["pnl"]), 2) for trip in own), reverse=True)
    assert [dollars(text) for text in column(browser, "pnl")] == profits[:25]
    press_sort(browser, head)
    assert [dollars(text) for text in column(browser, "pnl")] == profits[::-1][:25]
    choose(browser, "Symbol", "GLD")
    type_into(browser, "#trades input", "long stop")
    stopped = [one for one in own if one["symbol"] == "GLD" and one["ended"] == "stop" and one["side"] == "long"]
    assert len(column(browser, "pnl")) == len(stopped)
    assert set(column(browser, "symbol")) <= {"GLD"}
    total = sum(float(one["pnl"]) for one in stopped)
    assert browser.run(STATUS).endswith(f"{'−' if total < -0.5 else ''}${abs(total):,.0f} together")
    type_into(browser, "#trades input", "nothing of the kind")
    assert browser.run(STATUS).startswith("0 of ")
    assert browser.complaints == []


@pytest.mark.medium
def test_trades_of_every_account_are_there_and_a_row_opens_the_debate_behind_it(write_run: Any, browser: Any) -> None:
    browser.open(build(write_run()))
    choose(browser, "Account", "CLAUDE")
    assert column(browser, "account") == ["CLAUDE"]
    browser.run("document.querySelector('.trades tbody tr .pnl').click()")
    assert browser.run(IS_OPEN)
    assert browser.run(HEADING) == "Meeting of 2 Jan 2024, 08:00"
    assert browser.run("location.hash") == "#debate-2024-01-02-0800"
    browser.press("Escape")
    browser.run("document.querySelector('.trades tbody .entered a').focus()")
    browser.press("Enter")
    assert browser.run(IS_OPEN)
    assert browser.complaints == []


@pytest.mark.medium
def test_a_debate_has_an_address_that_opens_it_and_going_back_closes_it(write_run: Any, browser: Any) -> None:
    page = build(write_run())
    browser.open(page)
    length = browser.run("history.length")
    browser.run("document.getElementById('opener').click()")
    browser.run("document.querySelector('#debate .previous').click()")
    address, heading = browser.run("location.href"), browser.run(HEADING)
    assert re.fullmatch(r".*/report\.html#debate-\d{4}-\d\d-\d\d-\d{4}", address)
    assert browser.run("history.length") <= length + 1
    browser.run("new Promise(done => { addEventListener('popstate', done, { once: true }); history.back() })")
    assert not browser.run(IS_OPEN)
    assert browser.run("location.hash") == ""
    browser.run("new Promise(done => { addEventListener('popstate', done, { once: true }); history.go(1) })")
    assert browser.run(IS_OPEN)
    browser.press("Escape")
    browser.run("document.getElementById('opener').click()")  # before the history has caught up
    browser.run("new Promise(done => setTimeout(done, 50))")
    assert browser.run(IS_OPEN)
    browser.open(page, fragment=address.partition("#")[2])
    assert browser.run(IS_OPEN)
    assert browser.run(HEADING) == heading
    browser.run("document.querySelector('#debate .copy').click()")
    browser.press("Escape")
    assert not browser.run(IS_OPEN)
    assert browser.run("location.hash") == ""
    assert browser.complaints == []


@pytest.mark.medium
def test_the_script_of_tables_sorts_one_it_does_not_know(tmp_path: Path, browser: Any) -> None:
    rows = [("b", "−$1,200.5"), ("a10", "n/a"), ("a9", "$3"), ("c", "12.5 %")]
    body = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in rows)
    head = '<tr><th data-sort="text">Name</th><th data-sort="number">Value</th></tr>'
    table = f'<table class="sortable" data-page="3"><thead>{head}</thead><tbody>{body}</tbody></table>'
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><meta charset=utf-8>{table}<script>{join_scripts('sorting.js')[0]}</script>")
    browser.open(path)
    names = CELLS.format("table", 0)
    assert browser.run(names) == ["b", "a10", "a9"]
    browser.run("document.querySelectorAll('.sort')[1].click()")
    assert browser.run(names) == ["c", "a9", "b"]
    browser.run("document.querySelectorAll('.sort')[0].click()")
    assert browser.run(names) == ["a9", "a10", "b"]
    browser.run("document.querySelectorAll('.pager button')[1].click()")
    assert browser.run(names) == ["c"]
    type_into(browser, "input[type=search]", "a1")
    assert browser.run(names) == ["a10"]
    assert browser.complaints == []


def test_a_folder_without_round_trips_and_prices_says_which_command_adds_them(write_run: Any) -> None:
    folder = write_run(sessions=40)
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    del facts["parts"]
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    html = build(folder).read_text(encoding="utf-8")
    assert "An earlier version wrote this folder, without round trips; <code>sim run" in html
    assert "An earlier version wrote this folder, without prices; <code>sim run" in html
    assert 'id="trips"' not in html
    assert "data-symbol" not in html


def test_a_run_that_never_traded_has_no_section_of_trades_and_prices(write_run: Any) -> None:
    html = build(write_run(trades=False, members=())).read_text(encoding="utf-8")
    assert not re.search('(id="|href="#)(trades|prices)"', html)


def test_paper_shows_the_newest_trades_without_a_script(write_run: Any) -> None:
    folder = write_run(members=())
    html = build(folder).read_text(encoding="utf-8")
    table = re.search(r'<table class="trades.*?</table>', html, re.S)
    assert table is not None
    assert table[0].count("<tr>") == min(25, len(trips(folder))) + 1


def test_the_symbols_traded_most_have_a_chart_with_each_trade(write_run: Any) -> None:
    symbols = tuple(f"S{n:02}" for n in range(14))
    folder = write_run(symbols=symbols, members=())
    with (folder / "fills.csv").open(encoding="utf-8") as file:
        traded = Counter(row["symbol"] for row in csv.DictReader(file))
    html = build(folder).read_text(encoding="utf-8")
    charts = dict(re.findall(r'<figure class="holding" data-symbol="(\w+)">(.*?)</figure>', html, re.S))
    assert set(charts) <= {name for name, count in traded.items() if count >= sorted(traded.values())[-12]}
    assert len(charts) == 12
    assert "8 further symbols" in html
    assert "The 12 symbols traded most, of 14." in html
    for name, chart in charts.items():
        shapes = re.findall(r'class="(?:buys|sells|exits)" d="([^"]*)"', chart)
        drawn = sum(path.count("z") or path.count("M") // 2 for path in shapes)
        assert drawn == traded[name]


@pytest.mark.medium
def test_a_click_on_a_price_opens_the_debate_behind_the_trade_there(write_run: Any, browser: Any) -> None:
    browser.open(build(write_run()))
    browser.run("document.querySelector('.prices figure').scrollIntoView({block: 'center', behavior: 'instant'})")
    symbol = browser.run("document.querySelector('.prices figure').dataset.symbol")
    data = browser.run("JSON.parse(evidence.textContent)")
    trade = [one for one in data["trades"] if one[1] == symbol][4]
    box = browser.run(
        "(b => [b.left, b.top, b.width, b.height])(document.querySelector('.prices .canvas').getBoundingClientRect())"
    )
    browser.click(box[0] + box[2] * (trade[0] + 0.5) / len(data["days"]), box[1] + box[3] / 2)
    assert browser.run(IS_OPEN)
    assert symbol in browser.run("document.querySelector('#debate .plainlist').textContent")


@pytest.mark.medium
def test_the_prompts_of_a_debate_are_read_where_the_folder_has_them(write_run: Any, browser: Any) -> None:
    folder = write_run(sessions=30)
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    first = json.loads((folder / "decisions.jsonl").read_text(encoding="utf-8").splitlines()[0])["record"]
    key = first["pitches"][0]["keys"][0]
    prompts = {key: [{"role": "system", "lines": "0"}, {"role": "user", "lines": "1-2,1"}]}
    kept = {"lines": ["Be brief.\n", "<b>one</b>\n", "two\n\n"], "prompts": prompts}
    (folder / "prompts.json").write_text(json.dumps(kept), encoding="utf-8")
    facts["parts"]["prompts.json"] = ""
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    browser.open(build(folder), fragment="debate-2024-01-02-0800")
    asked = "[...document.querySelectorAll('#debate .prompt summary')].map(one => one.textContent)"
    assert [one.partition(" (")[0] for one in browser.run(asked)] == ["Pitch · pm.trend · rule-based"]
    browser.run("document.querySelector('#debate .prompt').open = true")
    browser.run("new Promise(requestAnimationFrame)")
    words = "[...document.querySelectorAll('#debate .prompt pre')].map(one => one.textContent)"
    assert browser.run(words) == ["Be brief.\n", "<b>one</b>\ntwo\n\n<b>one</b>\n"]
    told = browser.run("document.querySelector('#debate .content').textContent")
    assert "Review · pm.risk" in told
    assert f"sim cache show {first['reviews'][0]['keys'][0][:12]}" in told
    assert browser.complaints == []


def test_every_number_of_the_table_is_that_of_trades_csv(write_run: Any) -> None:
    folder = write_run(symbols=("SPY", "QQQ", "GLD"))
    found = re.search(r'id="trips">(.*?)</script>', build(folder).read_text(encoding="utf-8"), re.S)
    assert found is not None
    data = json.loads(found[1])
    sessions = [row["session"] for row in csv_rows(folder / "equity.csv")]
    rows: dict[str, list[list[Any]]] = {name: [] for name in data["accounts"]}
    for row in data["rows"]:
        rows[data["accounts"][row[0]]].append(row)
    assert set(rows) == {"COUNCIL", *(place.name for place in (folder / "accounts").iterdir())}
    for account, shown in rows.items():
        for row, trip in zip(shown, trips(folder, "" if account == "COUNCIL" else account), strict=True):
            assert data["symbols"][row[1]] == trip["symbol"]
            assert row[2] == (1 if trip["side"] == "long" else -1)
            for at, name in ((row[3], "entry_at"), (row[4], "exit_at")):
                day, minute = (None, 0) if at is None else divmod(at, 1440)
                when = "" if day is None else f"{sessions[day]}T{minute // 60:02}:{minute % 60:02}"
                assert when == (in_new_york(trip[name]) if trip[name] else "")
            names = ("sessions", "quantity", "entry_price", "exit_price", "costs", "pnl", "pnl_fraction", "mae", "mfe")
            for value, name in zip(row[5:14], names, strict=True):
                close = {"rel": 1e-5, "abs": 0.0051 if name in ("costs", "pnl") else 5.1e-6}
                assert value == (pytest.approx(float(trip[name]), **close) if trip[name] else None)
            assert data["endings"][row[14]] == trip["ended"].replace("open", "decision").replace("_", " ")


def in_new_york(at: str) -> str:
    return datetime.fromisoformat(at).astimezone(ZoneInfo("America/New_York")).isoformat()[:16]


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
