"""The table of all runs: what it says, what it opens to say it, and what it does about what is broken."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulator.analysis.verdict import judge
from simulator.evidence.reader import read_run
from simulator.number_format import loss, ratio, signed_percent
from simulator.report import shelf
from simulator.report.shelf import update_shelf

WriteRun = Callable[..., Path]


@pytest.fixture
def reports(write_run: WriteRun, tmp_path: Path) -> Path:
    """Three run folders, of a council and of two rules."""
    write_run("reports/council-2024-01-02-2024-12-18-aaaaaaaaaa")
    rule = {"strategy": "sma_cross", "analysts": None, "members": (), "seed": 3}
    write_run("reports/sma_cross-2024-01-02-2024-12-18-bbbbbbbbbb", **rule)
    write_run("reports/short-2024-01-02-2024-02-12-cccccccccc", sessions=30, **{**rule, "strategy": "short"})
    return tmp_path / "reports"


def rows_of(reports: Path) -> dict[str, str]:
    """{folder: text of its row} as the page has it now."""
    page = update_shelf(reports).read_text()
    lines = [line for line in page.splitlines() if line.startswith("<tr data-folder")]
    return {line.split('"')[1]: re.sub(" +", " ", html.unescape(re.sub("<[^>]+>", " ", line))) for line in lines}


def test_a_row_has_the_figures_and_the_verdict_of_the_report(reports: Path) -> None:
    rows = rows_of(reports)
    assert set(rows) == {folder.name for folder in reports.glob("*/")}
    for name, row in rows.items():
        run = read_run(reports / name)
        assert signed_percent(run["metrics"]["total_return"]) in row
        assert loss(run["metrics"]["max_drawdown"]) in row
        words = {"too short": "too few sessions for a verdict", "luck": "cannot be told from luck"}
        assert words.get(judge(run).standing, "") in row
        if run["sessions"] >= 60:
            assert f" {ratio(run['metrics']['sharpe'])} " in row
        else:
            assert "withheld" in row
    assert 'd="M0 ' in (reports / "index.html").read_text()


def test_only_what_is_new_or_changed_is_opened(
    reports: Path, write_run: WriteRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_of(reports)
    opened: list[str] = []
    compose = shelf._compose_row

    def note(folder: Path, place: shelf.Place) -> shelf.ShelfRow:
        opened.append(folder.name)
        return compose(folder, place)

    monkeypatch.setattr(shelf, "_compose_row", note)
    before = (reports / "index.html").stat()
    rows_of(reports)
    assert opened == []
    assert (reports / "index.html").stat() == before
    write_run("reports/new-2024-01-02-2024-12-18-dddddddddd", strategy="new", seed=5)
    (reports / "council-2024-01-02-2024-12-18-aaaaaaaaaa" / "ablation.html").write_text("a page")
    rows = rows_of(reports)
    assert sorted(opened) == ["council-2024-01-02-2024-12-18-aaaaaaaaaa", "new-2024-01-02-2024-12-18-dddddddddd"]
    assert "ablation" in rows["council-2024-01-02-2024-12-18-aaaaaaaaaa"]
    shutil.rmtree(reports / "new-2024-01-02-2024-12-18-dddddddddd")
    assert len(rows_of(reports)) == 3


@pytest.mark.medium
@pytest.mark.fault(
    "disk", "a broken run folder among others", "its row in reports/index.html says so, the others stand"
)
@pytest.mark.parametrize("file", ["run.json", "equity.csv", "trials.json"])
@pytest.mark.parametrize("harm", ["cut short", "gone", "a folder", "not text"])
def test_a_broken_folder_is_a_row_that_says_so(reports: Path, file: str, harm: str) -> None:
    rows_of(reports)
    path = reports / "sma_cross-2024-01-02-2024-12-18-bbbbbbbbbb" / file
    content = path.read_bytes() if path.exists() else b"{}"
    path.unlink(missing_ok=True)
    if harm == "cut short":
        path.write_bytes(content[: len(content) // 2] or b"{")
    elif harm == "a folder":
        path.mkdir()
    elif harm == "not text":
        path.write_bytes(b"\xff\xfe\x00")
    rows = rows_of(reports)
    assert len(rows) == 3
    broken = [name for name, row in rows.items() if "cannot be read" in row and file in row]
    fine = file == "trials.json" and harm == "gone"
    assert broken == ([] if fine else [path.parent.name])
    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    path.write_bytes(content)
    assert fine or file == "trials.json" or not [row for row in rows_of(reports).values() if "cannot be read" in row]


def test_a_renamed_folder_without_its_run_json_is_a_broken_row_and_an_empty_one_is_none(reports: Path) -> None:
    renamed = (reports / "sma_cross-2024-01-02-2024-12-18-bbbbbbbbbb").rename(reports / "mine")
    (renamed / "run.json").unlink()
    (reports / "empty").mkdir()
    rows = rows_of(reports)
    assert "cannot be read" in rows["mine"]
    assert "empty" not in rows


@pytest.mark.medium
@pytest.mark.fault(
    "disk", "reports/index.html was edited, cut or made by another version", "made anew from the folders"
)
@pytest.mark.parametrize(
    "change", [lambda t: t.replace("+", "−"), lambda t: t[: len(t) // 2], lambda _: "", lambda _: "\udcff"]
)
def test_a_page_that_somebody_changed_is_made_anew(reports: Path, change: Callable[[str], str]) -> None:
    rows_of(reports)
    page = reports / "index.html"
    whole = page.read_text()
    page.write_bytes(change(whole).encode(errors="surrogateescape"))
    rows_of(reports)
    assert page.read_text() == whole


def test_names_and_texts_of_others_are_only_text(reports: Path, write_run: WriteRun) -> None:
    write_run("reports/<img src=x>-2024-01-02-2024-12-18-eeeeeeeeee", strategy="<script>alert(1)</script>\n\u202e")
    shutil.copytree(
        reports / "council-2024-01-02-2024-12-18-aaaaaaaaaa",
        reports / "\udcff-2024-01-02-2024-12-18-ffffffffff",
    )
    (reports / "\udcff-2024-01-02-2024-12-18-ffffffffff" / "report.html").write_text("a page")
    rows_of(reports)
    page = (reports / "index.html").read_text()
    assert 'href="%FF-2024-01-02-2024-12-18-ffffffffff/' in page
    assert "<img" not in page
    assert "<script>alert" not in page
    assert "\\u202e" in page
    assert page == update_shelf(reports).read_text()


def test_a_workspace_without_runs_has_an_empty_shelf(tmp_path: Path) -> None:
    page = update_shelf(tmp_path / "reports")
    assert "No runs yet." in page.read_text()


ADD = """
import shutil, sys
from pathlib import Path
from typing import Any
from simulator.report.shelf import update_shelf
reports, prefix = Path(sys.argv[1]), sys.argv[2]
for number in range(12):
    name = f"{prefix}-2024-01-02-2024-12-18-{number:010x}"
    shutil.copytree(reports / sys.argv[3], reports / name)
    update_shelf(reports)
    assert name in (reports / "index.html").read_text()
"""


@pytest.mark.medium
@pytest.mark.fault(
    "disk", "two runs end at the same moment", "reports/index.html has both, and is never seen half-written"
)
def test_of_runs_that_end_together_none_is_lost(reports: Path) -> None:
    model = "short-2024-01-02-2024-02-12-cccccccccc"
    adding = [subprocess.Popen([sys.executable, "-c", ADD, str(reports), name, model]) for name in ("a", "b", "c")]
    while any(process.poll() is None for process in adding):
        if (reports / "index.html").exists():
            assert (reports / "index.html").read_text().endswith("</html>")
    assert [process.returncode for process in adding] == [0, 0, 0]
    assert len(rows_of(reports)) == 3 + 3 * 12
    assert not [path for path in reports.iterdir() if path.name.startswith(".")]


@pytest.fixture
def browser_script(tmp_path: Path) -> dict[str, str]:
    """Environment in which pages are opened by a script that notes them, and chatters on stdout."""
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" >> "{tmp_path}/opened"; echo chatter\n')
    script.chmod(0o755)
    return {"BROWSER": f"{script} %s", "CI": "", "DISPLAY": "", "WAYLAND_DISPLAY": ""}


RULE = ("run", "--strategy", "buy_and_hold", "--symbols", "SPY", "--from", "2024-01-02", "--to", "2024-03-28")


@pytest.mark.medium
@pytest.mark.fault("machine", "--open in CI or without a display", "the command does its work and opens nothing")
def test_every_command_brings_the_shelf_up_to_date_and_opens_its_page(
    workspace: Path, sim, browser_script, tmp_path: Path
) -> None:
    def run(*words: str, **env: str) -> list[str]:
        (tmp_path / "opened").unlink(missing_ok=True)
        done = sim(*words, cwd=workspace, env={**browser_script, **env})
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        said.append(done.stdout)
        return (tmp_path / "opened").read_text().split() if (tmp_path / "opened").exists() else []

    said: list[str] = []
    place = (workspace / "reports").as_uri()
    (page,) = run(*RULE, "--open", "--json")
    assert page.startswith(f"{place}/buy_and_hold-")
    assert said[-1].count("\n") == 1
    assert said[-1].startswith("{")
    assert len(rows_of(workspace / "reports")) == 1
    assert run("report", "last", "--open") == [page]
    run(*RULE[:-1], "2024-04-30")
    (one, two) = [name.rpartition("-")[2] for name in rows_of(workspace / "reports")]
    assert run("compare", one, two, "--draws", "50", "--open", "--json") == [
        f"{place}/compare-{one}-{two}/comparison.html"
    ]
    assert f'data-runs="{" ".join(sorted((one, two)))}"' in (workspace / "reports" / "index.html").read_text()
    assert run("runs", "--open") == [f"{place}/index.html"]
    assert said[-1] == f"{workspace}/reports/index.html\n"
    assert run("runs", "--html") == []
    assert sim("runs", "--html", "--trials", cwd=workspace).returncode == 2
    assert run("runs", "--open", CI="true") == []
    assert run("runs", "--open", BROWSER="") == []


@pytest.mark.medium
@pytest.mark.fault("disk", "reports/index.html cannot be written", "a note; the run is whole and its report there")
def test_a_run_is_whole_where_the_shelf_cannot_be_written(workspace: Path, sim) -> None:
    (workspace / "reports" / "index.html").mkdir(parents=True)
    done = sim(*RULE, cwd=workspace)
    assert done.returncode == 0
    assert done.stderr.startswith("sim: note: ")
    assert "index.html: cannot be written" in done.stderr
    assert "`sim runs --html`" in done.stderr
    assert sim("runs", "--html", cwd=workspace).returncode == 1
    os.rmdir(workspace / "reports" / "index.html")
    assert sim("runs", "--html", cwd=workspace).returncode == 0
    assert len(rows_of(workspace / "reports")) == 1


@pytest.mark.medium
@pytest.mark.parametrize("width", [390, 1440])
def test_no_cell_stands_over_another_and_a_screen_has_room_for_all(reports: Path, browser: Any, width: int) -> None:
    for page in ("ablation.html", "checks.html"):
        (reports / "council-2024-01-02-2024-12-18-aaaaaaaaaa" / page).write_text("a page")
    browser.open(update_shelf(reports), width)
    over = "[...document.querySelectorAll('tbody th')].filter(th => th.scrollWidth > th.clientWidth).length"
    assert browser.run(over) == 0
    if width == 1440:
        assert browser.run("(s => s.scrollWidth <= s.clientWidth)(document.querySelector('.shelf .scroll'))")


SHOWN = "[...document.querySelectorAll('tbody tr')].map(row => row.dataset.folder.slice(0, 5))"
TYPE = "(f => { f.value = %r; f.dispatchEvent(new Event('input')) })(document.querySelector('input[type=search]'))"
CHOOSE = "(l => { l.value = %r; l.dispatchEvent(new Event('change')) })(document.querySelector('select'))"


@pytest.mark.medium
def test_the_table_is_sorted_filtered_and_ticked(reports: Path, browser: Any) -> None:
    (reports / "compare-aaaaaaaaaa-bbbbbbbbbb").mkdir()
    (reports / "compare-aaaaaaaaaa-bbbbbbbbbb" / "comparison.html").write_text("a page")
    for folder in reports.glob("*-20*"):  # runs whose folders have their names
        content = (folder / "run.json").read_text()
        (folder / "run.json").write_text(re.sub('"run_id": "[^"]+"', f'"run_id": "{folder.name[-10:]}"', content))
    browser.open(update_shelf(reports))
    assert browser.complaints == []
    assert browser.requests == [(reports / "index.html").as_uri()]
    heads = "[...document.querySelectorAll('thead th')]"
    assert browser.run(f"{heads}.findIndex(th => th.ariaSort)") == 2
    returns = {name[:5]: read_run(reports / name)["metrics"]["total_return"] for name in rows_of(reports)}
    browser.run(f"{heads}[5].querySelector('button').focus()")
    browser.press("Enter")
    assert browser.run(SHOWN) == sorted(returns, key=returns.__getitem__, reverse=True)
    browser.press("Enter")
    assert browser.run(f"{heads}[5].ariaSort") == "ascending"
    assert browser.run(SHOWN) == sorted(returns, key=returns.__getitem__)
    browser.run(TYPE % "sma")
    assert browser.run(SHOWN) == ["sma_c"]
    browser.run(TYPE % "")
    browser.run(CHOOSE % "macro_council")
    assert browser.run(SHOWN) == ["counc"]
    browser.run(CHOOSE % "")
    tick = "document.querySelector('input[value=%s]').click()"
    browser.run(tick % "bbbbbbbbbb")
    assert browser.run("document.querySelector('#compare .command').hidden")
    browser.run(tick % "aaaaaaaaaa")
    assert browser.run("document.querySelector('#compare code').textContent") == "sim compare bbbbbbbbbb aaaaaaaaaa"
    link = browser.run("document.querySelector('#compare a').getAttribute('href')")
    assert (reports / link).read_text() == "a page"
    browser.run("document.querySelector('.copy').click()")
    assert (
        browser.run("new Promise(done => setTimeout(() => done(document.querySelector('.copy').textContent), 100))")
        == "Copied"
    )
    browser.run(tick % "cccccccccc")
    assert browser.run("document.querySelector('#compare a').hidden")
    browser.run("document.querySelector('.clear').click()")
    assert browser.run("document.getElementById('compare').hidden")
    assert browser.run("document.querySelectorAll('input:checked').length") == 0
    assert browser.complaints == []
    for width in (390, 1440):
        browser.open(reports / "index.html", width=width)
        assert browser.run("document.documentElement.scrollWidth") <= width


@pytest.mark.medium
def test_thousands_of_runs_are_shown_page_by_page_and_sorted_and_filtered_as_a_whole(
    reports: Path, browser: Any
) -> None:
    update_shelf(reports)
    row = next(
        line for name, (_, line) in shelf._read_rows((reports / "index.html").read_bytes()).items() if "sma" in name
    )
    lines = [
        row.replace('data-value="sma_cross"', f'data-value="sma {number}"').replace("9f86", f"id{number}")
        for number in range(5001)
    ]
    (reports / "index.html").write_bytes(shelf._render(lines, []))
    browser.open(reports / "index.html")
    count = "document.querySelector('.count').textContent"
    assert browser.run(count) == "1 to 500 of 5,001 runs"
    assert browser.run("document.querySelectorAll('tbody tr').length") == 500
    browser.run("[...document.querySelectorAll('.pager button')][1].click()")
    assert browser.run(count) == "501 to 1,000 of 5,001 runs"
    names = "[...document.querySelectorAll('tbody th')].map(th => th.dataset.value)"
    browser.run("document.querySelector('thead th:nth-child(2) button').click()")
    browser.run("document.querySelector('thead th:nth-child(2) button').click()")
    assert browser.run(names)[:2] == ["sma 5000", "sma 4999"]
    browser.run(TYPE % "id4242")
    assert browser.run(names) == ["sma 4242"]
    assert len(rows_of(reports)) == 3
