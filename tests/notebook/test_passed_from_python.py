"""Strategies and bars that were never files: the same run as from files, known by their content."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import simulator
from simulator.errors import DataError, UsageError
from simulator.rules import Rule, Snapshot
from simulator.store.database import Store

from .conftest import trend

pytestmark = pytest.mark.medium
SPAN = {"start": "2023-01-03", "end": "2023-06-30"}

FILE = """
from simulator.rules import Rule
class Trend(Rule):
    fast, slow, window = 20, 60, 60
    def weights(self, market):
        closes = {symbol: market.history(symbol, last=self.slow) for symbol in market.symbols}
        return {s: 0.5 for s, c in closes.items() if len(c) >= self.slow and c[-self.fast:].mean() > c.mean()}
"""


class Trend(Rule):
    """As `trend`, as a class."""

    fast, slow, window = 20, 60, 60

    def weights(self, market: Snapshot) -> dict[str, float]:
        return trend(market, self.fast, self.slow)


def test_a_function_a_class_and_a_file_decide_the_same(lab: Path) -> None:
    path = lab / "strategies" / "trend_file.py"
    path.write_text(FILE)
    by_file, by_class, by_function = (
        simulator.run(one, "SPY,QQQ", workspace=lab, **SPAN) for one in (path, Trend, trend)
    )
    path.unlink()
    pd.testing.assert_series_equal(by_class.equity, by_file.equity, check_names=False)
    pd.testing.assert_series_equal(by_function.equity, by_file.equity, check_names=False)
    assert "def trend(market, fast=20" in (by_class.folder / "strategy.py").read_text()
    assert by_function.facts["command"].startswith("simulator.run(trend, symbols=['SPY', 'QQQ'], start='2023-01-03'")
    assert not (by_file.folder / "strategy.py").exists()


def test_an_unchanged_cell_is_the_same_run_and_a_changed_one_another_trial(lab: Path) -> None:
    def of(share: float) -> Any:
        def level(_: Snapshot) -> dict[str, float]:
            return {"SPY": share}

        return level

    one, same, other = (simulator.run(of(share), "SPY", workspace=lab, **SPAN) for share in (0.5, 0.5, 0.75))
    assert (one.id, one.folder) == (same.id, same.folder)
    assert other.id != one.id
    assert other.facts["inference"]["trials"] == (one.facts["inference"]["trials"] or 0) + 1


def bars_of(lab: Path, symbol: str) -> pd.DataFrame:
    table = pd.read_parquet(lab / "data" / "sample" / f"{symbol}.parquet")
    date = next(name for name in table.columns if "date" in name.lower() or "session" in name.lower())
    return table.set_index(pd.to_datetime(table[date])).drop(columns=date)


def test_bars_of_a_frame_are_read_as_those_of_a_file(lab: Path) -> None:
    spy, qqq = bars_of(lab, "SPY"), bars_of(lab, "QQQ")
    by_file = simulator.run("buy_and_hold", "SPY,QQQ", workspace=lab, **SPAN)
    shapes = {
        "one for each": {"spy": spy, "QQQ": qqq},
        "two levels, symbol first": pd.concat({"SPY": spy, "QQQ": qqq}, axis=1),
        "two levels, field first": pd.concat({"SPY": spy, "QQQ": qqq}, axis=1).swaplevel(axis=1),
        "rows by symbol": pd.concat({"SPY": spy, "QQQ": qqq}, names=["symbol", "date"]),
        "a column of symbols": pd.concat([spy.assign(symbol="SPY"), qqq.assign(symbol="QQQ")]),
        "columns of symbols and dates": pd.concat(
            [one.rename_axis("date").reset_index().assign(symbol=name) for name, one in (("SPY", spy), ("QQQ", qqq))]
        ).sort_values("date", ignore_index=True),
    }
    for shape, given in shapes.items():
        made = simulator.run("buy_and_hold", "SPY,QQQ", bars=given, workspace=lab, **SPAN)
        assert made.facts["digest"] == by_file.facts["digest"], shape
        assert made.facts["sources"]["SPY"].endswith("/SPY.parquet")
    assert made.check("costs").table["value"].notna().any()
    assert made.closes("SPY").notna().all()


def test_bars_after_a_date_change_no_decision_before_it(lab: Path) -> None:
    spy = bars_of(lab, "SPY")
    prices = ["open", "high", "low", "close"]
    fallen = spy.copy()
    fallen.loc["2023-05-01":, prices] *= 0.6
    runs = [
        simulator.run(trend, "SPY", bars=bars, parameters={"cadence": "daily"}, workspace=lab, **SPAN)
        for bars in (spy, fallen)
    ]
    decided = [run.decisions[run.decisions["session"] <= "2023-05-01"] for run in runs]
    pd.testing.assert_frame_equal(*decided)
    assert not runs[0].decisions.equals(runs[1].decisions)


@pytest.mark.fault("python", "bars= is no table of bars, or lacks a symbol", "UsageError names the shapes it takes")
@pytest.mark.parametrize(
    ("given", "found"),
    [
        (3, "bars was int"),
        ({"QQQ": None}, r'bars\["QQQ"\] was NoneType'),
        (pd.DataFrame({"close": [1.0]}), "columns close"),
        ({"GLD": pd.DataFrame({"open": [1.0]})}, "bars has none of SPY, but of GLD"),
        ({"spy": pd.DataFrame(), "SPY": pd.DataFrame()}, "SPY more than once"),
    ],
)  # fmt: skip
def test_what_is_no_bars_is_one_line(given: Any, found: str, lab: Path) -> None:
    with pytest.raises(UsageError, match=found):
        simulator.run("buy_and_hold", "SPY", bars=given, workspace=lab, **SPAN)
    with pytest.raises(UsageError, match="no folder nowhere"):
        simulator.run("buy_and_hold", "SPY", bars="nowhere", workspace=lab, **SPAN)


@pytest.mark.parametrize("symbol", ["../X", "BTC/USD", ".", "A B"])
def test_a_symbol_that_is_no_name_of_a_file_is_refused(symbol: str, lab: Path) -> None:
    before = sorted((lab / "data").rglob("*"))
    with pytest.raises(UsageError, match=r"is no symbol that a file can be named by|bars has none of"):
        simulator.run("buy_and_hold", [symbol], bars={symbol: bars_of(lab, "SPY")}, workspace=lab, **SPAN)
    assert sorted((lab / "data").rglob("*")) == before


def test_an_index_of_dates_in_any_form_and_order_is_read(lab: Path) -> None:
    spy = bars_of(lab, "SPY").loc["2022-12-01":"2023-06-30"]
    texts, numbers, mixed = spy.copy(), spy.copy(), spy.sample(frac=1, random_state=1)
    texts.index = spy.index.strftime("%Y-%m-%d")
    numbers.index = spy.index.strftime("%Y%m%d").astype(int)
    written = spy.set_axis(spy.index.strftime("%d/%m/%Y"), axis=0)
    found = {
        simulator.run("buy_and_hold", "SPY", bars=one, workspace=lab, **SPAN).facts["digest"]
        for one in (spy, texts, numbers, mixed, written)
    }
    assert len(found) == 1


@pytest.mark.fault("python", "bars= holds an impossible price", "it is refused as in a file, nothing is recorded")
def test_impossible_bars_are_refused_as_in_a_file(lab: Path) -> None:
    broken = bars_of(lab, "SPY")
    broken.loc["2023-03-01", "high"] = 1.0
    before = len(simulator.runs(workspace=lab))
    with pytest.raises(DataError, match="2023-03-01"):
        simulator.run("buy_and_hold", "SPY", bars=broken, workspace=lab, **SPAN)
    assert len(simulator.runs(workspace=lab)) == before
    with Store(f"sqlite:///{lab / 'sim.db'}") as store:
        store.check()


def test_a_folder_of_bars_is_an_option_of_the_command_too(lab: Path, sim: Any) -> None:
    made = simulator.run("buy_and_hold", "SPY", bars=bars_of(lab, "SPY"), workspace=lab, **SPAN)
    words = made.facts["command"].split()
    assert words[words.index("--bars") + 1] == made.facts["bars"]
    done = sim(*words[1:], "--json", cwd=lab)
    assert done.returncode == 0, done.stderr
    assert made.id in done.stdout


SHARE = {"SPY": 0.6}


def scaled(_market: Snapshot, k: float = 1.0) -> dict[str, float]:
    """A share that stands outside of it."""
    return {symbol: weight * k for symbol, weight in SHARE.items()}


@pytest.mark.parametrize("passed", [Trend, trend, partial(scaled, k=0.5), lambda _: {"SPY": 0.7}])
def test_what_was_passed_is_checked_as_a_file_is(passed: Any, lab: Path) -> None:
    made = simulator.run(passed, "SPY,QQQ", workspace=lab, **SPAN)
    answer = made.check("future", "costs")
    assert set(answer.table["check"]) == {"future", "costs"}
    again = simulator.load(made.id, lab).check("future")
    assert again.table.loc[0, "check"] == "future"
    assert "byte for byte" in again.text
    with pytest.raises(UsageError, match="is no council"):
        made.ablate()


@pytest.mark.fault(
    "python", "a value read by a strategy has changed before its run is checked", "DataError names the strategy"
)
def test_what_has_changed_since_is_not_checked(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = simulator.run(scaled, "SPY", workspace=lab, **SPAN)
    monkeypatch.setitem(SHARE, "SPY", 0.3)
    with pytest.raises(DataError, match=f"scaled, or what it reads, has changed since run {made.id}"):
        made.check("future")


@pytest.mark.fault(
    "python", "`sim check` of a strategy that was passed from Python", "one line says how to find it again in Python"
)
def test_the_command_cannot_run_what_it_never_saw_and_says_so(lab: Path, sim: Any) -> None:
    made = simulator.run(scaled, "SPY", workspace=lab, **SPAN)
    words = [sys.executable, "-m", "simulator", "check", made.id]
    done = subprocess.run(words, cwd=lab, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"scaled of run {made.id} was passed from Python and is not known here" in done.stderr
    assert "`run = simulator.run(scaled, symbols=['SPY']" in done.stderr
    assert "is no council" in sim("ablate", made.id, cwd=lab).stderr


def test_runs_in_several_threads_do_not_mix(lab: Path) -> None:
    def of(share: float) -> Any:
        return lambda _: {"SPY": share}

    shares = (0.31, 0.62, 0.31)

    async def at_once() -> list[simulator.Run]:
        each = (asyncio.to_thread(simulator.run, of(s), "SPY", workspace=lab, **SPAN) for s in shares)
        return await asyncio.gather(*each)

    first, second, same = asyncio.run(at_once())
    assert (first.id, first.folder) == (same.id, same.folder)
    assert first.id != second.id
    for made, share in ((first, 0.31), (second, 0.62)):
        assert made.weights["SPY"].iloc[1:].mean() == pytest.approx(share, abs=0.03)
        pd.testing.assert_series_equal(made.equity, simulator.run(of(share), "SPY", workspace=lab, **SPAN).equity)


TERMINAL = """
import simulator
def slow(market, cadence="daily"):
    import time
    time.sleep(0.01)
    return {"SPY": 0.5}
print("made", simulator.run(slow, "SPY", "2023-01-03", "2023-06-30", progress=True, workspace=".").id)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of Unix")
def test_a_script_in_a_terminal_may_have_the_bar_of_the_command(lab: Path) -> None:
    ours, theirs = os.openpty()
    kept = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    child = subprocess.Popen(
        [sys.executable, "-c", TERMINAL], cwd=lab, env=kept, stdout=subprocess.PIPE, stderr=theirs, text=True
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # Linux ends a closed terminal so
        while part := os.read(ours, 65536):
            shown += part
    assert child.communicate()[0].startswith("made ")
    assert b"replaying 2023-0" in shown


CELLS = (
    "import simulator, time",
    "def slow(market, cadence='daily'): time.sleep(0.05); print('deciding'); return {'SPY': 0.5}\n",
    "run = simulator.run(slow, 'SPY', '2021-01-04', '2023-12-29', workspace='.')",
)


@pytest.mark.skipif(not find_spec("IPython") or sys.platform == "win32", reason="IPython in a terminal of Unix")
@pytest.mark.fault("python", "Ctrl-C in IPython while a run is made", "it ends within two seconds, the next cell works")
def test_ipython_runs_a_cell_is_interrupted_and_goes_on(lab: Path) -> None:
    import pty
    import select

    shell = [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(lab)
        os.execvpe(shell[0], shell, {**os.environ, "TERM": "dumb", "IPYTHONDIR": str(lab / "ipython")})
    shown = b""

    def wait_for(what: bytes, seconds: float = 60.0) -> float:
        nonlocal shown
        begun, seen = time.monotonic(), len(shown)
        while what not in shown[seen:]:
            assert time.monotonic() - begun < seconds, shown[-2000:]
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 65536)
        return time.monotonic() - begun

    try:
        for number, cell in enumerate(CELLS, 1):
            wait_for(f"In [{number}]".encode())
            os.write(terminal, cell.encode() + b"\n")
        wait_for(b"deciding\r\ndeciding")
        os.write(terminal, b"\x03")
        assert wait_for(b"In [4]") < 5  # below 1 s where nothing else runs
        assert b"KeyboardInterrupt: no run was kept" in shown
        os.write(terminal, b"print(simulator.run(slow, 'SPY', '2023-12-01', '2023-12-29', workspace='.'))\n")
        wait_for(b"costs $")
        os.write(terminal, b"exit()\n")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


@pytest.mark.fault(
    "python", "a decide function swallows the interruption (`except:`)", "no run is written, now or later"
)
def test_a_function_that_swallows_its_interruption_makes_no_run(lab: Path) -> None:
    def careful(market: Snapshot, cadence: str = "monthly") -> dict[str, float]:  # noqa: ARG001
        try:
            time.sleep(1)
        except BaseException:
            return {}
        return {"SPY": 0.5}

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    before = sorted(lab.glob("reports/*"))
    with pytest.raises(KeyboardInterrupt, match="no run was kept"):
        simulator.run(careful, "SPY", "2023-01-03", "2023-04-28", workspace=lab, progress=stop)
    for thread in [one for one in threading.enumerate() if one.name == "simulator"]:
        thread.join(10)
        assert not thread.is_alive()
    assert sorted(lab.glob("reports/*")) == before


def test_a_function_that_reads_a_symbol_by_name_cannot_be_shown_other_names(lab: Path) -> None:
    def by_name(market: Snapshot) -> dict[str, float]:
        closes = market.history("SPY", last=5)
        return {"SPY": 0.5 if closes[-1] > closes.mean() else 0.6}

    answer = simulator.run(by_name, "SPY", workspace=lab, **SPAN).check("blind")
    assert answer.table["outcome"].tolist() == ["not assessable"]
    assert "cannot be shown other names: KeyError: 'SPY'" in answer.text.replace("\n", " ")
