"""Every page is checked by axe-core in a real browser: no violation on a phone or a screen, in light or dark."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from simulator.report import build
from simulator.report.shelf import update_shelf

OPEN_ALL = "document.querySelectorAll('details').forEach(it => it.open = true)"
VIOLATIONS = (
    "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.flatMap(it => it.nodes.map("
    "node => [it.id, node.target.join(' '), (node.any[0] ?? node.all[0] ?? node.none[0])?.message])))"
)
SCREENS = tuple(product((390, 768, 1440), ("light", "dark")))
RULE: dict[str, Any] = {"strategy": "sma_cross", "analysts": None, "members": (), "seed": 3}


@cache
def axe() -> str:
    """The checker's script, of the newest package that brings it."""
    for package in ("axe_playwright_python", "axe_core_python"):
        found = importlib.util.find_spec(package)
        if found is not None and found.origin is not None:
            return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")
    pytest.skip("needs axe-core: pip install axe-core-python")


def examine(browser: Any, page: Path, screens: Iterable[tuple[int, str]], before: str = "0") -> list[Any]:
    """What axe-core finds on `page`, whatever is folded open, and what sticks out sideways."""
    found = []
    try:
        for width, scheme in screens:
            browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            browser.open(page, width)
            for script in (axe(), OPEN_ALL, before):
                browser.run(script)
            asked = {"expression": VIOLATIONS, "awaitPromise": True, "returnByValue": True}
            seen = browser.ask("Runtime.evaluate", **asked)["result"]["value"]
            found += [(page.name, width, scheme, *one) for one in seen]
            if browser.run("document.documentElement.scrollWidth") > width:
                found.append((page.name, width, scheme, "wider than the screen"))
            assert browser.complaints == []
    finally:
        browser.ask("Emulation.setEmulatedMedia", features=[])
    return found


@pytest.mark.medium
def test_reports_and_the_shelf_have_no_violation(write_run: Callable[..., Path], browser: Any, tmp_path: Path) -> None:
    council = build(write_run("reports/council-2024-01-02-2024-12-18-aaaaaaaaaa"))
    rule = build(write_run("reports/sma_cross-2024-01-02-2024-12-18-bbbbbbbbbb", **RULE))
    assert examine(browser, council, [(1440, "light"), (390, "dark")]) == []
    assert examine(browser, council, [(390, "light")], "document.getElementById('opener').click()") == []
    assert examine(browser, rule, [(390, "light"), (1440, "dark")]) == []
    assert examine(browser, update_shelf(tmp_path / "reports"), [(390, "light"), (1440, "dark")]) == []


@pytest.mark.slow
def test_no_page_a_command_writes_has_a_violation(workspace: Path, browser: Any) -> None:
    def sim(*arguments: str) -> None:
        command = [sys.executable, "-m", "simulator", *arguments]
        subprocess.run(command, cwd=workspace, check=True, capture_output=True)

    days = [f"2024-{1 + n // 25:02}-{1 + n % 25:02}" for n in range(250)]
    rows = [f"{day},{0.001 * (n % 7 - 2.8)},{0.002 * (n % 5 - 1.9)}" for n, day in enumerate(days)]
    (workspace / "returns.csv").write_text("\n".join(["date,one,other", *rows]) + "\n")
    sim("run", "--from", "2024-06-03", "--symbols", "SPY,QQQ")
    council = next((workspace / "reports").glob("macro_council-*"))
    sim("ablate", "last")
    sim("check", "last")
    sim("run", "--strategy", "sma_cross", "--symbols", "SPY,QQQ", "--from", "2024-06-03")
    rule = next((workspace / "reports").glob("sma_cross-*"))
    sim("compare", council.name[-10:], rule.name[-10:])
    for kind in ("stats", "stats compare", "stats sweep"):
        sim(*kind.split(), "returns.csv", "--html", f"{kind.replace(' ', '-')}.html")
    pages = sorted([*workspace.glob("reports/**/*.html"), *workspace.glob("*.html")])
    assert {page.name for page in pages} == {
        "index.html", "report.html", "ablation.html", "checks.html", "comparison.html",
        "stats.html", "stats-compare.html", "stats-sweep.html",
    }  # fmt: skip
    assert [one for page in pages for one in examine(browser, page, SCREENS)] == []
    browser.open(council / "ablation.html")
    names = "[...document.querySelectorAll('.pages a')].map(a => [a.textContent, a.getAttribute('href')])"
    (comparison,) = workspace.glob("reports/compare-*/comparison.html")
    compared = ["Comparison", f"../{comparison.parent.name}/comparison.html"]
    beside = [["Report", "report.html"], ["Ablation", None], ["Checks", "checks.html"], compared]
    assert browser.run(names) == [["All runs", "../index.html"], *beside]
    assert browser.run("document.querySelectorAll('.forest .bar').length") >= 3
    browser.open(comparison)
    assert browser.run("document.querySelectorAll('.runs a').length") == 2
    for page in pages:
        browser.open(page)
        local = "[...document.querySelectorAll('a[href]')].map(a => a.href).filter(a => a.startsWith('file:'))"
        for link in browser.run(local):
            path = Path(link.removeprefix("file://").partition("#")[0])
            assert path.is_file(), (page, link)
