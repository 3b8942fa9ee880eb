"""The page of a sweep: what it says, what fits on it, and what a reader does with it in a browser."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from simulator.analysis.plateau import describe, find_plateau
from simulator.errors import DataError
from simulator.evidence.sweep_reader import read_sweep
from simulator.evidence.sweep_records import SEAL
from simulator.number_format import plain, write_setting
from simulator.report.renderers.console import capture
from simulator.report.sections.sweep_members import make_axes, medians_by
from simulator.report.sweep_formats import as_json, as_markdown, print_sweep, summarise
from simulator.report.sweep_page import build, compose

from .sweep_folders import write_sweep
from .test_report_accessible import examine

THREE = {"fast": range(5, 31, 5), "slow": range(20, 101, 20), "costs.slippage_bps": [0, 2.5, 5], "fill": ["a", "b c"]}
MEMBER = "document.getElementById('member').innerText"


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="sweep">(.*?)</script>', page.read_text())
    assert found is not None
    return dict(json.loads(found[1]))


def test_the_verdict_comes_first_and_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", hold_out=True)
    first = build(folder).read_bytes()
    text = first.decode()
    assert text.index("cannot be told from luck") < text.index('id="best"') < text.index('id="map"')
    assert "opened once" in text
    assert first == build(folder).read_bytes()
    assert first.rstrip().endswith(b"x86_64.</p></footer></main></body></html>")


def test_a_member_has_the_neighbours_one_step_away_in_one_parameter() -> None:
    rows = [(fast, slow) for fast in range(5, 51, 5) for slow in range(20, 201, 10) if fast < slow]
    values = np.random.default_rng(0).normal(size=len(rows))
    found = find_plateau({"fast": [f for f, _ in rows], "slow": [s for _, s in rows]}, values, grid=True)
    at = {row: n for n, row in enumerate(rows)}
    for n, (fast, slow) in enumerate(rows):
        beside = [(fast - 5, slow), (fast + 5, slow), (fast, slow - 10), (fast, slow + 10)]
        near = [values[at[one]] for one in beside if one in at]
        assert found.neighbours[n] == len(near)
        assert found.around[n] == pytest.approx(np.median(near))
        assert np.isnan(found.level[n]) == (len(near) < 2)
    assert found.steadiest == int(np.nanargmax(found.level))


def test_words_and_switches_have_no_neighbours_and_drawn_members_have_the_nearest() -> None:
    words = find_plateau({"kind": ["a", "b"], "on": [True, False]}, np.array([1.0, 2.0]), grid=True)
    assert words.neighbours.tolist() == [0, 0]
    assert words.steadiest is None
    rng = np.random.default_rng(1)
    drawn = find_plateau(
        {"x": rng.random(50), "y": rng.random(50), "kind": ["a", "b"] * 25}, rng.random(50), grid=False
    )
    assert set(drawn.neighbours) == {4}
    assert [describe(1.0, 0.8), describe(1.0, 0.6), describe(1.0, 0.1), describe(-1.0, 1.0)] == [
        "plateau", "slope", "spike", ""
    ]  # fmt: skip


def test_medians_of_cells_are_those_of_numpy() -> None:
    rng = np.random.default_rng(2)
    cell, values = rng.integers(0, 30, 500), rng.normal(size=500)
    values[::7] = np.nan
    found = medians_by(cell, values, 31)
    for n in range(30):
        assert found[n] == np.nanmedian(values[cell == n])
    assert np.isnan(found[30])


def test_many_values_are_taken_together_and_settings_stay_exact() -> None:
    axes = make_axes({"stop": [0.001 * n for n in range(500)], "kind": ["a", "b"] * 250, "same": [1] * 500})
    assert [axis.name for axis in axes] == ["stop", "kind"]
    assert set(np.bincount(axes[0].places)[:-1]) == {13}
    fine = make_axes({"x": [2.0 + 1e-4 * n for n in range(41)], "kind": ["a"] * 41})[0]
    assert (len(set(fine.labels)), fine.labels[0], fine.labels[-1]) == (
        21,
        "2 to 2.0001",
        "2.004",
    )
    assert [write_setting(one) for one in (5, 2.5, True, "daily", "5", [1, 2])] == [
        "5", "2.5", "true", "daily", '"5"', "[1, 2]"
    ]  # fmt: skip


@pytest.mark.medium
def test_a_hundred_thousand_members_make_a_page_of_two_megabytes_that_says_which_are_on_it(tmp_path: Path) -> None:
    space = {"fast": range(1, 101), "slow": range(10, 210, 2), "stop": [0.01 * n for n in range(1, 11)]}
    page = build(write_sweep(tmp_path / "sweep", space))
    assert page.stat().st_size <= 2_000_000
    assert "of 100,000 members are on this page" in page.read_text()
    data, folder = data_of(page), read_sweep(tmp_path / "sweep")
    ratio = folder.measures["ratio"]
    shown = set(data["numbers"])
    assert set(np.argsort(-ratio)[:500].tolist()) <= shown
    places = [np.array(one) for one in (axis.places for axis in make_axes(folder.settings))]
    cell = places[0] * len(data["axes"][1]["labels"]) + places[1]
    best_of_cells = pd.Series(ratio).groupby(cell).idxmax()
    assert set(best_of_cells) <= shown
    assert data["medians"]["0,1"][0][0] == pytest.approx(np.median(ratio[cell == 0]), rel=1e-3)


def test_a_folder_without_its_records_or_with_other_members_is_refused(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep")
    pd.read_parquet(folder / "inference.parquet").head(3).to_parquet(folder / "inference.parquet")
    with pytest.raises(DataError, match=r"inference\.parquet hold 3 members, study\.json says 190"):
        read_sweep(folder)
    (folder / "study.json").unlink()
    with pytest.raises(DataError, match="sim sweep"):
        read_sweep(folder)


def test_names_and_values_that_are_markup_stay_text(tmp_path: Path) -> None:
    space = {"<b>fast</b>": [1, 2], "kind": ["</script><script>alert(1)</script>", "x"]}
    text = build(write_sweep(tmp_path / "sweep", space)).read_text()
    assert "<b>fast" not in text
    assert "<script>alert" not in text


def test_sweeps_of_one_parameter_and_of_words_have_pages(tmp_path: Path) -> None:
    one = compose(read_sweep(write_sweep(tmp_path / "one", {"fast": range(5, 51, 5)})))
    assert one.shape.lines is None
    assert len(one.shape.slices) == 1
    build(write_sweep(tmp_path / "words", {"kind": ["a", "b"], "on": [True, False]}))
    build(write_sweep(tmp_path / "single", {"fast": [5]}))


@pytest.mark.medium
def test_hovering_clicking_and_walking_the_map_show_the_member_with_its_command(tmp_path: Path, browser: Any) -> None:
    page = build(write_sweep(tmp_path / "sweep"))
    browser.open(page)
    assert browser.complaints == []
    assert browser.requests == [page.as_uri()]
    data = data_of(page)
    assert f"Member {data['best']}, the best" in browser.run(MEMBER)

    cell = "document.querySelector('[data-cell=\"23\"]')"
    browser.run(f"{cell}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    x, y = browser.run(f"(b => [b.left + b.width / 2, b.top + b.height / 2])({cell}.getBoundingClientRect())")
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert browser.run("document.getElementById('heat-readout').textContent").startswith(
        "fast 20, slow 40: ratio beyond "
    )
    browser.click(x, y)
    # Three values of fast before, two of slow before.
    number = 3 * 19 + 2
    assert browser.run(MEMBER).startswith(f"Member {number}")
    command = browser.run("document.querySelector('#member code').textContent")
    assert shlex.split(command)[-4:] == ["--set", "fast=20", "--set", "slow=40"]
    browser.press("ArrowRight")
    browser.press("ArrowUp")
    browser.press("Enter")
    assert browser.run(MEMBER).startswith(f"Member {number + 19 + 1}")
    assert browser.run("document.querySelectorAll('#heat [tabindex=\"0\"]').length") == 1
    assert browser.run("document.querySelector('.heatmap .chosen').dataset.cell") == "34"
    assert browser.complaints == []


@pytest.mark.medium
def test_slices_measures_and_small_maps_change_the_map_and_the_address_names_a_member(
    tmp_path: Path, browser: Any
) -> None:
    folder = write_sweep(tmp_path / "sweep", THREE)
    page, sweep = build(folder), read_sweep(folder)
    browser.open(page, fragment="member-7")
    assert browser.run(MEMBER).startswith("Member 7")
    at = "[...document.querySelectorAll('#map-tools label')].map(it => it.firstChild.textContent)"
    assert browser.run(at) == ["Across", "Up", "Shows", "Of a cell's members", "costs.slippage_bps", "fill"]
    cell = "parseFloat(document.querySelector('[data-cell=\"0\"]').textContent.replace('−', '-'))"
    here = [n for n in range(180) if (sweep.settings["fast"][n], sweep.settings["slow"][n]) == (5, 20)]
    ratio = sweep.measures["ratio"]
    assert browser.run(cell) == pytest.approx(np.median(ratio[here]), abs=0.006)
    browser.run("document.querySelectorAll('.small-maps button')[1].click()")
    assert browser.run("document.querySelectorAll('.small-maps button')[1].getAttribute('aria-pressed')") == "true"
    these = [n for n in here if sweep.settings["costs.slippage_bps"][n] == 2.5]
    assert browser.run(cell) == pytest.approx(np.median(ratio[these]), abs=0.006)
    quoted = "document.querySelector('#member code').textContent"
    browser.run(f"location.hash = 'member-{these[1]}'")
    browser.run("new Promise(requestAnimationFrame)")
    assert "--set 'fill=b c'" in browser.run(quoted)
    assert browser.complaints == []


@pytest.mark.medium
def test_the_table_sorts_filters_and_pages_and_a_phone_is_not_too_narrow(tmp_path: Path, browser: Any) -> None:
    page = build(write_sweep(tmp_path / "sweep", THREE))
    browser.open(page, 390)
    assert browser.run("document.documentElement.scrollWidth") <= 390
    rows = "document.querySelectorAll('table.members tbody tr').length"
    assert browser.run(rows) == 25
    field = "document.querySelector('#members input')"
    browser.run(f"(it => {{ it.value = 'fill=a fast=10'; it.dispatchEvent(new Event('input')) }})({field})")
    assert browser.run("document.querySelector('#members .count').textContent") == "15 of 180 members"
    browser.run("document.querySelector('table.members tbody a').click()")
    browser.run("new Promise(requestAnimationFrame)")
    chosen = browser.run("document.querySelector('table.members tr.chosen td').textContent")
    assert browser.run(MEMBER).startswith(f"Member {chosen}")
    assert browser.complaints == []


PROMPTS = [
    f"You weigh a stock by its earnings, its price and the mood of the market, {n} times over, and say why."
    for n in "abc"
]


@pytest.mark.medium
def test_one_parameter_of_long_texts_has_a_panel_and_an_unknown_member_is_said(tmp_path: Path, browser: Any) -> None:
    folder = write_sweep(tmp_path / "one", {"prompt": PROMPTS})
    browser.open(build(folder), 390, fragment="member-2")
    assert PROMPTS[2] in browser.run(MEMBER)
    assert browser.run("document.documentElement.scrollWidth") <= 390
    assert browser.run("document.querySelector('#member dt').offsetWidth") > 30
    browser.run("location.hash = 'member-9999'")
    browser.run("new Promise(requestAnimationFrame)")
    assert "no member 9999: they are 0 to 2" in browser.run(MEMBER)
    assert "weigh a stock by" not in as_markdown(read_sweep(folder)).partition("## The best member")[0]
    page = build(write_sweep(tmp_path / "two", {"prompt": PROMPTS, "other": [*PROMPTS, "x"], "fast": range(3)}))
    browser.open(page, 390)
    assert browser.run("document.documentElement.scrollWidth") <= 390
    assert {len(it["labels"]) - len(set(it["labels"])) for it in data_of(page)["axes"]} == {0}
    assert browser.complaints == []


@pytest.mark.medium
def test_a_failed_member_says_why_the_filter_takes_conditions_and_paper_has_the_map(
    tmp_path: Path, browser: Any
) -> None:
    folder = write_sweep(tmp_path / "sweep")
    chunk, study = folder / "chunks" / "000000000.parquet", folder / "study.json"
    seal = json.dumps({"failures": {"0": "division by zero"}})
    pq.write_table(pq.read_table(chunk).replace_schema_metadata({SEAL: seal}), chunk)
    facts = json.loads(study.read_text())
    facts["counts"]["failed"] = 1
    study.write_text(json.dumps(facts))
    assert "1 of 190 members failed: division by zero" in as_markdown(read_sweep(folder))
    browser.open(build(folder), fragment="member-0")
    assert "Failed: division by zero" in browser.run(MEMBER)
    field = "document.querySelector('#members input')"
    for typed, count in (
        ("fast = 5", 19),
        ("fast=5 slow < 50", 3),
        ("slow >= 200 fast<=10", 2),
        ("fast = 5 slow = 20", 1),
    ):
        browser.run(f"(it => {{ it.value = '{typed}'; it.dispatchEvent(new Event('input')) }})({field})")
        assert browser.run("document.querySelector('#members .count').textContent").startswith(f"{count} of 190")
    assert browser.run("document.querySelector('table.members tbody').textContent").startswith("0520failed")
    browser.ask("Emulation.setEmulatedMedia", media="print")
    assert browser.run("document.querySelector('#heat table').offsetHeight") > 100
    assert browser.run("document.querySelector('#map-tools').offsetHeight") == 0
    browser.ask("Emulation.setEmulatedMedia", media="")
    assert browser.complaints == []


@pytest.mark.medium
def test_the_page_has_no_violation(tmp_path: Path, browser: Any) -> None:
    page = build(write_sweep(tmp_path / "sweep", THREE, hold_out=True, walk=True))
    assert examine(browser, page, [(390, "light"), (1440, "dark")]) == []
    browser.open(page, 1440)
    hidden = "(it => it.scrollWidth - it.clientWidth)(document.querySelector('#walk_forward .pair .scroll'))"
    assert browser.run(hidden) == 0


def test_a_walk_forward_shows_each_fold_what_was_kept_and_the_run_that_played_it(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", walk=True)
    text = build(folder).read_text()
    assert text.index('id="walk_forward"') < text.index('id="combinatorial"') < text.index('id="members"')
    assert '<a href="../sma_cross-2023-1234567890/report.html">' in text
    assert "fast@2023-03-01=10" in text
    page = compose(read_sweep(folder))
    assert page.walk is not None
    assert page.paths is not None
    assert len(page.walk.folds.rows) == 11
    assert page.walk.folds.rows[2].cells[3].text == "n/a"
    said = plain(" ".join((*page.walk.sentences, page.paths.sentence)))
    for words in (
        "chosen on 20 sessions and judged on the next 20, 2 left out between, 11 times: a ratio of 1.50",
        "the chosen did better than 45 % of all members there",
        "the choices returned +12.0 %; p ",
        "No whole test is left for 7 sessions at the end.",
        "15 splits: 5 paths through all of history with a mean ratio of 0.06, of which 40 % lost.",
    ):
        assert words in said
    lines = as_markdown(read_sweep(folder))
    assert "## Walk-forward" in lines
    assert "2023-04-01 to 2023-04-28" in lines
    assert len(as_json(read_sweep(folder))["tables"]) == 6  # type: ignore[arg-type]


def test_a_sweep_without_splits_has_no_section_on_them(tmp_path: Path) -> None:
    text = build(write_sweep(tmp_path / "sweep")).read_text()
    assert "walk_forward" not in text
    assert "combinatorial" not in text


@pytest.mark.medium
@pytest.mark.parametrize(
    ("seldom", "said"),
    [
        (3, "3 members have larger ratios, up to 9.00 of member 7 (fast 5, slow 90), but are not judged: "
         "2 decided on fewer than 20 sessions, 1 has a larger p as one of all."),
        (1, "Member 7 (fast 5, slow 90) has a larger ratio, 9.00, but is not judged: it decided on fewer than 20 "
         "sessions."),
        (0, ""),
    ],
)  # fmt: skip
def test_larger_ratios_than_that_of_the_judged_member_are_explained(tmp_path: Path, seldom: int, said: str) -> None:
    folder = write_sweep(tmp_path / "sweep")
    chunk, inferred = folder / "chunks" / "000000000.parquet", folder / "inference.parquet"
    table, found = pd.read_parquet(chunk), pd.read_parquet(inferred)
    best = json.loads((folder / "study.json").read_text())["best"]["member"]
    found.loc[best, "ratio"] = 8.0
    for n, member in enumerate((7, 8, 9)[:seldom]):
        assert member != best
        found.loc[member, "ratio"] = 9.0 - n / 10
        table.loc[member, "decisions"] = 60.0 if n == 1 else 7.0
    table.to_parquet(chunk, index=False)
    found.to_parquet(inferred, index=False)
    assert summarise(read_sweep(folder))["larger_ratios"] == said
    shown = [build(folder).read_text(), as_markdown(read_sweep(folder))]
    shown.append(" ".join(capture(lambda console: print_sweep(read_sweep(folder), console)).split()))
    for text in shown:
        assert ("larger ratio" in text) == bool(seldom)
        assert said in text.replace("\u00a0", " ").replace("\\", "")
