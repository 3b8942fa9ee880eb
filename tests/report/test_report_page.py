"""report.html as a file: the same bytes everywhere, alone in the world, well formed, honest about what is missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import DataError, SimError
from simulator.report import build, render

TWELVE = ("SPY", "QQQ", "IWM", "DIA", "EEM", "TLT", "HYG", "GLD", "SLV", "USO", "UUP", "BIL")
LABEL = "rule-based analysts, no LLM"
SECTIONS = (
    *("verdict", "chart", "trades", "prices", "profit", "comparison", "rolling", "drawdowns", "monthly"),
    *("distribution", "weights", "significance", "members", "calibration", "costs"),
    *("figures", "assumptions", "biases", "reproduce", "protocol"),
)
AWKWARD: dict[str, dict[str, Any]] = {
    "one session": {"sessions": 1},
    "two sessions": {"sessions": 2},
    "no trades": {"trades": False, "members": (), "analysts": None, "strategy": "sma_cross"},
    "twelve symbols, long and short": {"symbols": TWELVE, "short": True},
    "nothing defined": {"undefined": True},
    "equity below zero": {"ruin": True},
    "no members": {"members": ()},
    "no costs computed": {"multiples": ()},
}


class Page(HTMLParser):
    """Text, ids and tags of a page; `faults` are tags that do not pair up."""

    VOID = ("wbr", "meta", "link", "br", "img", "input", "hr")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title", "pre", "script"):
            self.words.append(data)


def page(folder: Path) -> Page:
    return Page(build(folder).read_text(encoding="utf-8"))


def change(folder: Path, **entries: Any) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **entries}), encoding="utf-8")


@pytest.mark.medium
def test_every_process_hash_seed_folder_and_time_zone_gives_the_same_bytes(write_run: Any, tmp_path: Path) -> None:
    folder = write_run(sessions=130)
    here = render(folder)
    program = "import sys; from pathlib import Path; from simulator.report import render; "
    program += "sys.stdout.buffer.write(render(Path(sys.argv[1])))"
    for seed in ("1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo"}
        command = [sys.executable, "-c", program, str(folder)]
        there = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=True)
        assert there.stdout == here


def test_the_place_of_the_run_folder_does_not_show(write_run: Any) -> None:
    assert render(write_run("a", sessions=70)) == render(write_run("b/c", sessions=70))


def test_only_the_last_line_depends_on_how_long_the_run_took(write_run: Any) -> None:
    folder = write_run(sessions=70)
    first = render(folder).decode().rstrip("\n").split("\n")
    (folder / "runtime.json").write_text('{"seconds": 99.5, "asked": 1240, "cached": 0, "host": "elsewhere"}')
    second = render(folder).decode().rstrip("\n").split("\n")
    assert first[:-1] == second[:-1]
    assert "Run time 99.5" in second[-1]
    assert first[-1] != second[-1]


def test_nothing_in_the_file_points_outside_it(write_run: Any) -> None:
    html = build(write_run()).read_text(encoding="utf-8")
    addresses = re.findall(r"""(?:src|href|action|data|poster|srcset)\s*=\s*["']?(?!#|data:,)[^"'>\s]+""", html)
    assert addresses == ['href="../index.html']  # of the shelf it stands on
    assert re.findall(r"@import|url\(|//[a-z0-9.-]+\.[a-z]{2,}|<iframe|<object|<embed|<base", html, re.I) == []


@pytest.mark.medium
def test_ten_years_of_twelve_symbols_stay_below_two_megabytes(write_run: Any) -> None:
    assert build(write_run(sessions=2_520, symbols=TWELVE, start=date(2015, 1, 2))).stat().st_size < 2_000_000


@pytest.mark.medium
@pytest.mark.parametrize("shape", AWKWARD.values(), ids=AWKWARD)
def test_awkward_runs_give_a_well_formed_page_without_a_false_number(write_run: Any, shape: dict[str, Any]) -> None:
    found = page(write_run(**shape))
    assert found.faults == []
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert not re.search(r"(?<![a-z])(nan|inf|none|null|undefined\))(?![a-z])", found.text, re.I)


def test_the_sections_stand_in_their_order(write_run: Any) -> None:
    found = page(write_run())
    assert tuple(i for i in found.ids if i in SECTIONS) == SECTIONS


def test_rule_based_analysts_are_named_wherever_the_numbers_rest_on_them(write_run: Any) -> None:
    assert page(write_run("offline")).text.count(LABEL) >= 3
    assert LABEL not in page(write_run("rules", analysts=None, members=())).text


def test_names_and_notes_cannot_become_markup(write_run: Any) -> None:
    nasty = """<script>alert("x")</script><img src=x onerror=y>'{{7*7}}"""
    folder = write_run(strategy=nasty, symbols=("A<B", "C&D"), notes=(nasty,), members=("<b>bold</b>",), sessions=80)
    change(folder, command=["sim", "run", "--strategy", nasty], sources={"A<B": nasty}, analysts=nasty)
    found = page(folder)
    assert found.faults == []
    assert "img" not in found.tags
    assert found.tags.count("script") == 4
    assert found.text.count("""alert("x")""") >= 6
    assert "49" not in re.sub(r"\W49|49\W|\d", "", found.text)


def test_what_is_undefined_says_why(write_run: Any) -> None:
    folder = write_run(undefined=True)
    html = build(folder).read_text(encoding="utf-8")
    assert 'class="undefined" title="returns never vary">n/a<sup>' in html
    assert "</sup> returns never vary</li>" in html


def test_fewer_than_sixty_sessions_withhold_annualised_figures(write_run: Any) -> None:
    brief, enough = page(write_run("brief", sessions=59)), page(write_run("enough", sessions=60))
    assert "annualised figures are withheld below 60" in brief.text
    assert brief.text.count("withheld") > 10
    assert "withheld" not in enough.text


@pytest.mark.medium
def test_an_account_that_reached_zero_gets_a_linear_axis_and_says_so(write_run: Any) -> None:
    assert "The axis is linear" in page(write_run("ruin", ruin=True)).text
    assert "The axis is linear" not in page(write_run("fine")).text


def test_the_command_the_id_and_the_digest_are_there(write_run: Any) -> None:
    folder = write_run()
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    text = page(folder).text
    assert all(facts[key] in text for key in ("command", "run_id", "digest"))


FILES = (
    *("run.json", "decisions.jsonl", "llm_calls.jsonl"),
    *("equity.csv", "weights.csv", "fills.csv", "orders.csv", "rejected.csv", "trades.csv", "prices.csv"),
)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named_in_one_line_with_the_command_that_mends_it(write_run: Any, name: str) -> None:
    folder = write_run(sessions=20)
    (folder / name).unlink()
    with pytest.raises(DataError) as caught:
        build(folder)
    assert f"{folder / name}: is missing" in str(caught.value)
    assert "`sim run" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("junk", [b"", b"\xff\xfe\x00", b"{", b"[1]\n", b"session,a\n2024-01-02\n", b"a,b\n1,2\n"])
def test_a_corrupt_file_is_a_data_error_or_an_empty_list(write_run: Any, name: str, junk: bytes) -> None:
    folder = write_run(sessions=20)
    (folder / name).write_bytes(junk)
    if name.endswith(".jsonl") and junk == b"":
        assert build(folder).is_file()
        return
    with pytest.raises(DataError, match=re.escape(name)):
        build(folder)


@pytest.mark.parametrize("junk", [None, b"", b"\xff\xfe\x00", b"{", b"[1]\n", b"a,b\n1,2\n"])
def test_a_lost_runtime_is_unknown_on_the_page(write_run: Any, junk: bytes | None) -> None:
    folder = write_run(sessions=20)
    (folder / "runtime.json").unlink()
    if junk is not None:
        (folder / "runtime.json").write_bytes(junk)
    assert "Run time and spending unknown" in build(folder).read_text()


@pytest.mark.parametrize(
    ("name", "old", "new", "found"),
    [
        ("equity.csv", r"^2024-01-0(\d),[^,]*", r"2024-01-0\1,many", 'equity was "many", not a number'),
        ("equity.csv", r"\n[^\n]*\n\Z", "\n", "holds 19 sessions, run.json says 20"),
        ("equity.csv", r"^2024-01-03", "03.01.2024", 'session was "03.01.2024", not a time'),
        ("weights.csv", r"^2024-01-03", "2024-01-06", "other sessions than equity.csv"),
        ("fills.csv", r",472.3,", ",x,", 'price was "x"'),
        ("run.json", r'"sessions": 20', '"sessions": "twenty"', "\"sessions\" holds 'twenty'"),
        ("run.json", r'"digest": ', '"digestive": ', 'no key "digest"'),
    ],
)
def test_damage_is_described(write_run: Any, name: str, old: str, new: str, found: str) -> None:
    path = write_run(sessions=20) / name
    before = path.read_text(encoding="utf-8")
    after = re.sub(old, new, before, flags=re.M)
    assert after != before
    path.write_text(after, encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(found)):
        build(path.parent)


@pytest.mark.medium
@pytest.mark.parametrize("junk", [None, "x", {"a": 1}])
def test_any_value_in_run_json_is_shown_or_refused_but_never_a_traceback(write_run: Any, junk: Any) -> None:
    folder = write_run(sessions=60, symbols=("SPY",), members=("trend",))
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    shown = {key for key in facts if was_shown(folder, {**facts, key: junk})}
    assert "metrics" not in shown or isinstance(junk, dict)
    assert ("packages" in shown) == (junk is None)


def was_shown(folder: Path, facts: dict[str, Any]) -> bool:
    change(folder, **facts)
    try:
        html = render(folder).decode()
    except DataError:
        return False
    return Page(html).faults == []


def test_an_older_report_survives_a_failed_rebuild(write_run: Any) -> None:
    folder = write_run(sessions=20)
    kept = build(folder).read_bytes()
    (folder / "equity.csv").write_text("session,equity,cash,gross,net\n")
    with pytest.raises(DataError, match="holds no session"):
        build(folder)
    assert (folder / "report.html").read_bytes() == kept


def test_a_report_that_cannot_be_written_leaves_nothing_behind(write_run: Any) -> None:
    folder = write_run(sessions=20)
    (folder / "report.html").mkdir()
    (folder / "report.html" / "occupied").touch()
    with pytest.raises(SimError, match="cannot be written") as caught:
        build(folder)
    assert caught.value.exit_code == 1
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []


def test_text_keeps_a_contrast_of_four_and_a_half_in_light_and_dark() -> None:
    from simulator.report.renderers.html import TEMPLATES

    css = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in css.split("@media screen")[:2])
    for palette in (light, {**light, **dark}):
        for name in ("ink", "soft", "faint", "strategy", "hold", "equal"):
            assert contrast(palette[name], palette["paper"]) >= 4.5, (name, palette[name])


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
