"""The report in a real browser: it opens without a complaint, whole, at the width of a phone too."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from simulator.report import build

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")


def opened(page: Path, profile: Path, *options: str) -> tuple[str, list[str]]:
    """The document as the browser holds it after loading, and what it wrote to its console."""
    quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
    asked = ("--enable-logging=stderr", "--v=0", f"--user-data-dir={profile}", "--dump-dom", *options)
    command = [str(CHROMIUM), *quiet, *asked, page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    log = done.stderr.decode(errors="replace")
    return done.stdout.decode(), [line for line in log.splitlines() if ":CONSOLE" in line]


def test_the_page_opens_without_a_word_on_the_console(write_run: Any, tmp_path: Path) -> None:
    html, complaints = opened(build(write_run()), tmp_path / "profile")
    assert complaints == []
    assert html.count("<path class=") > 30
    assert "Run time" in html


def test_the_page_forbids_itself_every_request(write_run: Any, tmp_path: Path) -> None:
    page = build(write_run(sessions=80))
    foreign = '<img src="http://127.0.0.1:9/x.png"></main>'
    page.write_text(page.read_text(encoding="utf-8").replace("</main>", foreign), encoding="utf-8")
    _, complaints = opened(page, tmp_path / "profile")
    assert any("Content Security Policy" in line for line in complaints)


@pytest.mark.parametrize("width", [375, 1440])
def test_nothing_sticks_out_sideways(write_run: Any, tmp_path: Path, width: int) -> None:
    """A script of the test's own, let in by dropping the page's policy, measures the laid-out document."""
    page = build(write_run(symbols=("SPY", "QQQ", "A_RATHER_LONG_SYMBOL"), strategy="a_strategy_with_a_long_name" * 2))
    html = re.sub(r"<meta http-equiv[^>]*>\n", "", page.read_text(encoding="utf-8"))
    measure = "document.body.dataset.over = document.documentElement.scrollWidth - window.innerWidth"
    frame = tmp_path / "frame.html"
    inner = html.replace(
        "</main>", f"</main><script>{measure}; parent.postMessage(document.body.dataset.over, '*')</script>"
    )
    (tmp_path / "inner.html").write_text(inner, encoding="utf-8")
    frame.write_text(
        f'<iframe src="inner.html" style="border:0;width:{width}px;height:900px"></iframe>'
        "<script>onmessage = e => document.body.dataset.over = e.data</script>",
        encoding="utf-8",
    )
    shown, _ = opened(frame, tmp_path / "profile", "--virtual-time-budget=3000", "--allow-file-access-from-files")
    found = re.search(r'<body data-over="(-?\d+)"', shown)
    assert found, shown[:300]
    assert int(found[1]) <= 0


@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_it_prints_on_few_pages_whatever_the_screen_likes(write_run: Any, tmp_path: Path, scheme: int) -> None:
    printed = tmp_path / "report.pdf"
    setting = f"--blink-settings=preferredColorScheme={scheme}"
    opened(build(write_run()), tmp_path / "profile", f"--print-to-pdf={printed}", setting)
    assert 4 <= len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes())) <= 6
