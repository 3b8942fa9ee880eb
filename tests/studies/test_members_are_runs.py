"""Each member of a sweep is the run that its command makes, to the last bit, whatever kind of parameter differs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.cli.run import run
from simulator.config import load_config, override_config
from simulator.errors import SimError, UsageError
from simulator.replay.ledger import Ledger
from simulator.replay.run import replay_strategy
from simulator.runs.load_inputs import load_inputs
from simulator.runs.spec import RunSpec
from simulator.runs.strategies import load_strategy
from simulator.studies.chunks import batch_of, play_chunk
from simulator.studies.inputs import SweepInputs
from simulator.studies.study_file import make_study
from simulator.trading.cycle import TradingRules
from simulator.trading.strategy import points_of
from simulator.workspace import Workspace, make_workspace

LONG_SHORT = '''
from simulator.rules import Rule, Snapshot


class LongShort(Rule):
    """Long what rose over `days` sessions, short what fell; `whole` reads all history there is."""

    days = 20
    both = True
    whole = False

    @property
    def window(self) -> int:
        return self.days + 1

    def weights(self, market: Snapshot) -> dict[str, float]:
        found = {}
        for symbol in market.symbols:
            closes = market.history(symbol) if self.whole else market.history(symbol, last=self.days + 1)
            if len(closes) > 1:
                side = 1.0 if closes[-1] > closes[0] else -1.0
                found[symbol] = max(side, -1.0 if self.both else 0.0) / len(market.symbols)
        return found
'''


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("members") / "w"
    make_workspace(root, git=False)
    (root / "strategies" / "long_short.py").write_text(LONG_SHORT)
    return Workspace(root, root)


def books_of(spec: RunSpec, workspace: Workspace) -> Ledger:
    """Books of `spec` as `sim run` makes them, played by backtrader and audited by the kernel."""
    config = override_config(load_config(workspace.config), spec.overrides)
    strategy = load_strategy(spec.strategy, workspace.strategies, None, spec.own, len(spec.symbols)).strategy
    points = points_of(strategy, config.schedule)
    staged = load_inputs(spec.symbols, spec.first, spec.last, strategy.window, points, workspace, config)
    rules = TradingRules.from_config(config)
    return replay_strategy(strategy, staged.inputs, rules, config.accounts.cash).ledger


KINDS = {
    "rule": ("sma_cross", {"fast": "5,20", "slow": "30,60"}),
    "step form, shorts, history of different lengths": ("long_short", {"days": "5,40", "both": "true,false"}),
    "all history it was loaded with": ("long_short", {"days": "3,60", "whole": "true"}),
    "cadence of the rule": ("equal_weight", {"cadence": "daily,monthly,once"}),
    "luck": ("random_entry", {"seed": "0:2:1", "probability": "0.25,0.75"}),
    "a list": ("sixty_forty", {"bond_funds": '["BIL"],["QQQ","BIL"]', "stocks": "0.3,0.7"}),
    "sizing": ("long_short", {"sizing.scale": "0.5,1.7", "risk.max_weight": "0.4,1"}),
    "stops": ("long_short", {"exits.stop": "0.005,0.03,none"}),
    "targets": ("long_short", {"exits.take_profit": "0.004,0.02", "exits.stop": "0.01,0.05"}),
    "costs": ("random_entry", {"costs.slippage_bps": "0,12.5", "costs.commission_min": "0,3"}),
    "interest on cash": ("sma_cross", {"costs.cash_interest": "cash,0.04"}),
    "shorts": ("long_short", {"costs.short_proceeds_earn": "true,false", "costs.borrow_rate": "0,0.2"}),
    "fill rules": ("long_short", {"exits.take_profit": "0.01", "costs.limit_fill": "touch,through"}),
    "limits": ("long_short", {"risk.max_group": "0.3,0.9", "risk.max_gross": "0.5,1"}),
    "shares and the smallest trade": ("random_entry", {"risk.shares": "whole,fractional", "risk.min_trade": "50,2%"}),
    "terms of a broker": ("long_short", {"risk.execution": "alpaca,ideal", "exits.stop": "0.03,none"}),
    "margin": ("long_short", {"sizing.scale": "1.5", "risk.max_gross": "2", "risk.initial_margin_long": "0.5,1"}),
    "schedule": ("random_entry", {"schedule.weekday": "monday,thursday", "schedule.cadence": "weekly,daily"}),
    "time of day": ("sma_cross", {"schedule.decision_time": "08:00,09:15", "slow": "50"}),
    "cash": ("random_entry", {"accounts.cash": "1000,250000", "risk.shares": "whole"}),
}


WITHOUT_EFFECT = ("fill rules", "time of day")
"""On these bars: no price is merely touched, and a morning brings no bar."""


@pytest.mark.medium
@pytest.mark.parametrize("kind", KINDS)
def test_a_member_has_the_books_of_its_run_whatever_is_swept(workspace: Workspace, kind: str) -> None:
    strategy, sets = KINDS[kind]
    typed: Any = {"strategy": strategy, "symbols": ("SPY", "QQQ", "BIL"), "first": "2024-02-01", "last": "2024-07-31"}
    study = make_study(workspace, None, list(sets.items()), **typed)
    inputs = SweepInputs(study, workspace)
    chunk = play_chunk(inputs, 0, len(study))
    for number in range(len(study)):
        program, _, *words = shlex.split(inputs.command(number))
        typed_again = run.make_context("run", words).params["parameters"]
        spec = study.spec(number)
        assert program == "sim"
        assert dict(typed_again) == dict(spec.parameters)
        ledger = books_of(spec, workspace)
        member = batch_of(inputs, [inputs.member(number)]).ledger(0)
        assert member.equity.tobytes() == ledger.equity.tobytes(), inputs.command(number)
        assert member.fill_rows.tobytes() == ledger.fill_rows.tobytes()
        assert chunk.columns["total_return"][number] == pytest.approx(ledger.equity[-1] / ledger_cash(spec) - 1, 1e-12)
    assert len({row.tobytes() for row in chunk.beyond}) > 1 or kind in WITHOUT_EFFECT


def ledger_cash(spec: RunSpec) -> float:
    return float(spec.parameters.get("accounts.cash", 100_000))


def test_stops_lie_so_far_from_the_price_known_and_shorts_are_stopped_above(workspace: Workspace) -> None:
    strategy = load_strategy("long_short", workspace.strategies, None, {"exits.stop": 0.1, "exits.take_profit": 0.2})
    config = load_config(workspace.config)
    points = points_of(strategy.strategy, config.schedule)
    first, last = np.array(["2024-02-01", "2024-03-01"], dtype="datetime64[D]").tolist()
    staged = load_inputs(("SPY", "QQQ"), first, last, 21, points, workspace, config)
    for snapshot in staged.inputs.snapshots[:4]:
        for target in strategy.strategy.decide(snapshot, None, None, ()).targets:  # type: ignore[arg-type]
            price, side = snapshot.last(target.symbol), np.sign(target.weight)
            assert target.stop == price * (1 - side * 0.1)
            assert target.take_profit == price * (1 + side * 0.2)


@pytest.mark.parametrize(
    ("sets", "why"),
    [
        ({"exits.stpo": "0.1,0.2"}, 'did you mean "exits.stop"'),
        ({"exits.stop": "0.1,1.5"}, "exits.stop was 1.5"),
        ({"sizing.scale": "0,1"}, "sizing.scale was 0"),
        ({"sizing.scale": "true,false"}, "sizing.scale was True"),
        ({"costs.slipage_bps": "1,2"}, 'did you mean "slippage_bps"'),
        ({"costs.slippage_bps": "-1,2"}, "slippage_bps was -1"),
        ({"risk.shares": "half,whole"}, "risk"),
        ({"fsat": "5,10"}, 'did you mean "fast"'),
        ({"fast": "5,10.5"}, "SmaCross.fast was 10.5"),
        ({"fast": "5"}, "nothing is swept"),
        ({"fast": "uniform(1, 5)"}, "is a distribution"),
    ],
)
def test_a_parameter_or_value_that_no_member_can_have_is_told_before_any_work(
    workspace: Workspace, sets: dict[str, str], why: str
) -> None:
    with pytest.raises(UsageError) as error:
        make_study(workspace, None, list(sets.items()), strategy="sma_cross", symbols=("SPY",))
    assert why in str(error.value)
    assert "\n" not in str(error.value)
    assert not (workspace.reports / "sweep").exists()


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("np.where(market.newest > 0, 0.5, 0.5)", "weights says 0.25 of SPY, weights_for 0.5"),
        ("np.zeros((3, 1))", "weights_for gave an array (3, 1)"),
    ],
)
def test_a_vector_form_that_says_otherwise_than_the_step_form_is_refused(
    workspace: Workspace, form: str, why: str
) -> None:
    """Else the sweep would play another rule than its members' runs."""
    (workspace.strategies / "two_faced.py").write_text(
        "import numpy as np\nfrom simulator.rules import Rule\n\n\nclass TwoFaced(Rule):\n    n = 1\n\n"
        "    def weights(self, market):\n        return {'SPY': 0.25}\n\n"
        f"    @classmethod\n    def weights_for(cls, market, parameters):\n        return {form}\n"
    )
    with pytest.raises(UsageError) as error:
        make_study(workspace, None, [("n", "1,2")], strategy="two_faced", symbols=("SPY",), last="2024-06-28")
    assert why in str(error.value)


FILE = """\
strategy: sma_cross
symbols: [SPY]
from: 2024-02-01
to: 2024-07-31
set: {cadence: weekly}
sweep:
  fast: 5:20:5
  slow: [20, 40]
  costs.slippage_bps: {low: 0.5, high: 20, log: true}
where: fast < slow
search: sobol
members: 16
seed: 3
"""


def test_a_study_file_says_all_that_can_be_typed_and_what_is_typed_comes_first(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(FILE)
    written = make_study(workspace, file)
    sets = [("cadence", "weekly"), ("fast", "5:20:5"), ("slow", "20,40"), ("costs.slippage_bps", "log(0.5, 20)")]
    given: dict[str, Any] = {"strategy": "sma_cross", "symbols": ("SPY",), "first": "2024-02-01", "last": "2024-07-31"}
    typed = make_study(workspace, None, sets, **given, where=("fast < slow",), search="sobol", members=16, seed=3)
    assert written.described() == typed.described()
    assert [written.spec(n) for n in range(16)] == [typed.spec(n) for n in range(16)]
    changed = make_study(workspace, file, [("slow", "60")], members=4, symbols=("QQQ",))
    assert (len(changed), changed.base.symbols, changed.base.parameters["slow"]) == (4, ("QQQ",), 60)


def test_the_study_of_the_page_can_be_played(workspace: Workspace, tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "sweeps.md"
    if not page.exists():
        pytest.skip("needs a checkout to read")
    file = tmp_path / "study.yaml"
    file.write_text(page.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0])
    study = make_study(workspace, file)
    assert (len(study), study.base.symbols, study.base.parameters["accounts.cash"]) == (200, ("SPY", "QQQ"), 50000)
    assert all(2 * study.spec(n).parameters["fast"] <= study.spec(n).parameters["slow"] for n in range(200))


@pytest.mark.parametrize(
    ("line", "other", "why"),
    [
        ("strategy: sma_cross", "strtegy: sma_cross", 'study.yaml:1: unknown key "strtegy", did you mean "strategy"?'),
        ("  slow: [20, 40]", "  fast: [20, 40]", 'study.yaml:8: "fast" stands there twice'),
        ("set: {cadence: weekly}", "set: {fast: 3}", '"fast" stands under set and under sweep'),
        ("seed: 3", "seed: three", "seed was 'three'"),
        ("members: 16", "members: [", "is not YAML"),
        ("from: 2024-02-01", "from: 2024-02-31", "study.yaml:3"),
        ("search: sobol", "search: sobl", 'did you mean "sobol"'),
        ("where: fast < slow", "where: fast < slwo", 'no parameter "slwo", did you mean "slow"'),
        ("where: fast < slow", "where: slow < fast", "no combination meets"),
        ("  fast: 5:20:5", "  fast: .nan", "fast was nan"),
        ("  fast: 5:20:5", "  fast: []", "fast has no value"),
        ("symbols: [SPY]", "symbols: [SPYX]", 'no bars for "SPYX"'),
        ("strategy: sma_cross", "strategy: sma_crss", 'did you mean "sma_cross"'),
    ],
)
def test_a_wrong_study_file_gets_one_line_that_says_where(
    workspace: Workspace, tmp_path: Path, line: str, other: str, why: str
) -> None:
    file = tmp_path / "study.yaml"
    assert line in FILE
    file.write_text(FILE.replace(line, other))
    with pytest.raises(SimError) as error:
        make_study(workspace, file)
    assert why in str(error.value), str(error.value)
    assert "\n" not in str(error.value)
