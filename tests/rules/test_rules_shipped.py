"""The shipped rule strategies: what they want, and that they cannot see ahead."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from simulator.config import load_config
from simulator.errors import UsageError
from simulator.market import calendar
from simulator.market.bars import FIELDS, Bars, moment
from simulator.market.load import load_bars
from simulator.rules import load_rule, uniform
from simulator.trading.model import Book

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "strategies").glob("*.py"))
SYMBOLS = ("SPY", "QQQ", "GLD", "AAPL", "NVDA", "BIL")
FLAT = Book(1e5, {}, {}, 1e5)


@pytest.fixture(scope="module")
def bars() -> Bars:
    return load_bars(SYMBOLS, ROOT / "data", first=date(2020, 1, 2), last=date(2024, 12, 30), history=260).bars


def load(name: str, **parameters: object):
    return load_rule(ROOT / "strategies" / f"{name}.py", parameters)


def instants(cadence: str, first: date = date(2020, 1, 2), last: date = date(2024, 12, 30)) -> list[int]:
    at = load_config(ROOT / "config").schedule.decision_time
    return [int(i) for i in calendar.decision_instants(calendar.sessions(first, last), cadence, at)]


def decisions(strategy, bars: Bars, at: list[int]):
    return [strategy.decide(bars.snapshot(moment(i))) for i in at]


def weights(decision) -> dict[str, float]:
    return {t.symbol: t.weight for t in decision.targets if t.weight}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_rule_takes_fifteen_lines_of_code_at_most_and_says_what_it_does(path):
    source = path.read_text()
    tree = ast.parse(source)
    (kind,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    assert ast.get_docstring(kind)
    docstring = kind.body[0]
    prose = set(range(docstring.lineno, docstring.end_lineno + 1))
    code = [n for n, line in enumerate(source.splitlines(), 1) if line.strip() and n not in prose]
    assert len(code) <= 15


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_noise_in_every_later_bar_leaves_a_rules_decisions_identical(path, bars):
    strategy = load_rule(path)
    at = instants("weekly")
    for i in at[5 :: len(at) // 8]:
        row = int(np.searchsorted(bars.closes_at, i, side="right"))
        assert row < len(bars)
        random = np.random.default_rng(row)
        arrays = {name: np.array(getattr(bars, name)) for name in (*FIELDS, "dividend")}
        for array in arrays.values():
            array[row:] = random.uniform(1, 1000, array[row:].shape)
        others = {
            n: getattr(bars, n) for n in ("symbols", "opens_at", "closes_at", "session_of", "sources", "frequency")
        }
        noisy = Bars(**others, **arrays)
        assert noisy.digest != bars.digest
        assert decisions(strategy, noisy, [i]) == decisions(strategy, bars, [i])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_rule_never_wants_more_than_all_of_equity(path, bars):
    strategy = load_rule(path)
    for decision in decisions(strategy, bars, instants(strategy.cadence)):
        assert sum(abs(t.weight) for t in decision.targets) <= 1 + 1e-12
        assert decision.targets


def test_buy_and_hold_decides_once_and_keeps_a_part_for_symbols_that_start_later(bars):
    strategy = load("buy_and_hold")
    assert strategy.cadence == "once"
    (decision,) = decisions(strategy, bars, instants("once"))
    assert weights(decision) == dict.fromkeys(SYMBOLS, 1 / 6)


def test_equal_weight_restores_equal_parts_each_month(bars):
    strategy = load("equal_weight")
    found = decisions(strategy, bars, instants("monthly"))
    assert len(found) == 60
    assert all(weights(decision) == dict.fromkeys(SYMBOLS, 1 / 6) for decision in found)


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        (("SPY", "BIL"), {"SPY": 0.6, "BIL": 0.4}),
        (("BIL", "SPY"), {"SPY": 0.6, "BIL": 0.4}),
        (("GLD", "BIL", "SPY"), {"GLD": 0.6, "BIL": 0.4}),
        (("SPY", "QQQ"), {"SPY": 0.6, "QQQ": 0.4}),
    ],
)
def test_sixty_forty_takes_the_first_stock_and_the_first_bond_fund(bars, symbols, expected):
    (decision,) = decisions(load("sixty_forty"), bars.select(symbols), instants("once"))
    assert weights(decision) == expected
    assert load("sixty_forty").cadence == "monthly"


@pytest.mark.parametrize("symbols", [("SPY",), ("BIL",), ("SPY", "QQQ", "GLD")])
def test_sixty_forty_says_so_where_it_cannot_tell_stocks_from_bonds(bars, symbols):
    with pytest.raises(UsageError, match="try --symbols SPY,BIL"):
        decisions(load("sixty_forty"), bars.select(symbols), instants("once"))


def test_sma_cross_holds_what_stands_above_its_long_average(bars):
    strategy = load("sma_cross")
    assert (strategy.cadence, strategy.window) == ("weekly", 200)
    for i, decision in zip(at := instants("weekly"), decisions(strategy, bars, at), strict=True):
        for symbol in SYMBOLS:
            closes = bars.snapshot(moment(i)).history(symbol)
            up = closes[-50:].mean() > closes[-200:].mean()
            assert weights(decision).get(symbol, 0.0) == (1 / 6 if up else 0.0)
    assert load("sma_cross", fast=20, slow=60).window == 60


def test_momentum_holds_the_better_half_by_the_return_that_leaves_out_the_newest_month(bars):
    strategy = load("momentum_12_1")
    held = Counter()
    for i, decision in zip(at := instants("monthly"), decisions(strategy, bars, at), strict=True):
        closes = {s: bars.snapshot(moment(i)).history(s) for s in SYMBOLS}
        gains = {s: c[-22] / c[-253] - 1 for s, c in closes.items()}
        best = sorted(gains, key=gains.get, reverse=True)[:3]
        assert weights(decision) == {s: 1 / 3 for s in best if gains[s] > 0}
        held.update(weights(decision).keys())
    assert held["NVDA"] > 30


def test_random_entry_is_a_fair_coin_per_seed_date_and_symbol(bars):
    at = instants("weekly")
    zero, one = (decisions(load("random_entry", seed=seed), bars, at) for seed in (0, 1))
    flips = [t.weight > 0 for decision in zero for t in decision.targets]
    assert 0.45 < sum(flips) / len(flips) < 0.55
    assert [weights(d) for d in zero] != [weights(d) for d in one]
    assert decisions(load("random_entry", seed=0), bars, at) == zero


@pytest.mark.medium
def test_random_entry_is_the_same_under_every_hash_seed():
    program = "from simulator.rules import uniform; print([uniform(0, '2024-01-02', s) for s in ('SPY', 'QQQ')])"
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert said == {f"{[uniform(0, '2024-01-02', s) for s in ('SPY', 'QQQ')]}\n"}


def test_an_instant_counts_the_same_in_every_time_zone():
    at = moment(instants("once")[0])
    assert uniform(1, at) == uniform(1, at.astimezone(calendar.NEW_YORK))
    assert 0 <= uniform(1, at) < 1
