"""Strategy files: what a user writes, what is refused, and in which line."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from simulator.errors import ConfigError, UsageError
from simulator.market.bars import FIELDS, Bars, instant
from simulator.rules import Rule, StrategyError, load_rule
from simulator.runs.strategies import available, load_strategy
from simulator.trading.model import Book
from simulator.trading.strategy import Asks, Checkpointed, Committee, Consults, KeepsMinutes, Replicable, Scheduled

ROOT = Path(__file__).parents[2]
STRATEGIES = ROOT / "strategies"
FLAT = Book(1e5, {}, {}, 1e5)
NOW = datetime(2024, 3, 4, 13, 0, tzinfo=UTC)
GOOD = """
from simulator.rules import Rule

class Mine(Rule):
    fast = 5
    share = 0.5
    names = ("SPY",)

    def weights(self, market):
        return {name: self.share for name in self.names}
"""


def snapshot(**closes: list[float]):
    table = np.array(list(closes.values()), dtype=float).T
    opens = np.array([instant(NOW - timedelta(days=len(table) - n)) for n in range(len(table))])
    bars = Bars(
        symbols=tuple(closes),
        opens_at=opens,
        closes_at=opens + 1,
        **dict.fromkeys(FIELDS, table),
        dividend=np.zeros_like(table),
        session_of=opens // 86_400_000_000_000,
        sources=("test",) * len(closes),
    )
    return bars.snapshot(NOW)


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def decide(strategy, market):
    if isinstance(strategy, Rule):
        return strategy.decide(market)
    return strategy.decide(market, asyncio.run(strategy.opine(market, ())), FLAT, ())


def test_wanted_weights_become_targets_and_every_other_symbol_is_sold(tmp_path):
    strategy = load_rule(written(tmp_path, GOOD))
    decision = decide(strategy, snapshot(SPY=[1.0], QQQ=[2.0]))
    assert [(t.symbol, t.weight, t.order) for t in decision.targets] == [("SPY", 0.5, "market"), ("QQQ", 0.0, "market")]
    assert decision.record["weights"] == {"SPY": 0.5}
    assert (strategy.name, strategy.cadence, strategy.window) == ("mine", "weekly", 1)


def test_a_symbol_without_a_bar_yet_gets_no_target(tmp_path):
    strategy = load_rule(written(tmp_path, GOOD), {"names": ["SPY", "NEW"]})
    decision = decide(strategy, snapshot(SPY=[1.0], NEW=[float("nan")]))
    assert [t.symbol for t in decision.targets] == ["SPY"]


def test_parameters_override_class_attributes_and_are_on_record(tmp_path):
    strategy = load_rule(written(tmp_path, GOOD), {"fast": 9, "share": 1})
    decision = decide(strategy, snapshot(SPY=[1.0]))
    assert decision.targets[0].weight == 1.0
    expected = {"cadence": "weekly", "window": 1, "fast": 9, "share": 1.0, "names": ("SPY",)}
    assert decision.record["parameters"] == expected


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        (
            {"fats": 9},
            r'Mine has no parameter "fats", did you mean "fast"\?; it has cadence, window, fast, share, names',
        ),
        ({"fast": 2.5}, r"Mine.fast was 2.5; it takes int, as in 5"),
        ({"fast": True}, r"Mine.fast was True"),
        ({"share": "half"}, r"Mine.share was 'half'; it takes float"),
        ({"cadence": "weakly"}, r'Mine.cadence was "weakly", did you mean "weekly"\?'),
        ({"name": "x"}, r'no parameter "name"'),
        ({"weights": 1}, r'no parameter "weights"'),
    ],
)
def test_a_parameter_that_cannot_be_meant_is_refused(tmp_path, parameters, complaint):
    with pytest.raises(UsageError, match=complaint):
        load_rule(written(tmp_path, GOOD), parameters)


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("import nonsense_module\n", 1, "ModuleNotFoundError"),
        ("x = 1\ny = x / 0\n", 2, "ZeroDivisionError: division by zero"),
        ("x = 1\n\ndef f(:\n", 3, "SyntaxError: invalid syntax"),
        ("x = 1\n", 1, "holds no strategy"),
        (
            "from simulator import Strategy\nclass Mine(Strategy):\n    def decide(self, *given): ...\n",
            2,
            "has no name, cadence, window, reads, opine of its own",
        ),
        (
            GOOD + "\n\nclass Other(Rule):\n    def weights(self, market):\n        return {}\n",
            13,
            "holds 2 strategies",
        ),
        ("from simulator.rules import Rule\n\nclass Mine(Rule):\n    pass\n", 3, "Mine has no method weights"),
        (GOOD.replace("fast = 5", "window = property(lambda self: 1 / 0)"), 5, "ZeroDivisionError"),
    ],
)
def test_a_broken_file_is_named_with_the_line_of_the_users_error(tmp_path, text, line, complaint):
    path = written(tmp_path, text)
    with pytest.raises(StrategyError, match=complaint) as caught:
        load_rule(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, ConfigError)


def test_the_users_own_traceback_is_kept_and_starts_in_the_users_file(tmp_path):
    path = written(tmp_path, GOOD.replace("return {name", "oops = 1 / 0\n        return {name"))
    with pytest.raises(StrategyError) as caught:
        decide(load_rule(path), snapshot(SPY=[1.0]))
    lines = caught.value.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{path}", line 10, in weights'
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert caught.value.__notes__ == [caught.value.traceback]
    assert str(caught.value) == (
        f"{path}:10: ZeroDivisionError: division by zero (deciding as of 2024-03-04T13:00:00+00:00)"
    )


@pytest.mark.parametrize(
    ("returned", "complaint"),
    [
        ('{"SPYY": 1.0}', r'mine: no symbol "SPYY" in this run, did you mean "SPY"\?'),
        ('{"SPY": float("nan")}', r"mine: the weight of SPY was nan"),
        ('{"SPY": "all"}', r"mine: the weight of SPY was 'all', not a number"),
        ("[1, 2]", r"mine: weights was \[1, 2\]"),
        ("None", r"mine: weights was None"),
    ],
)
def test_weights_that_cannot_be_meant_are_refused(tmp_path, returned, complaint):
    path = written(tmp_path, GOOD.replace("{name: self.share for name in self.names}", returned))
    with pytest.raises(UsageError, match=complaint):
        decide(load_rule(path), snapshot(SPY=[1.0]))


def test_a_private_base_class_and_an_imported_rule_do_not_count(tmp_path):
    text = GOOD.replace("class Mine(Rule)", "class _Base(Rule):\n    pass\n\nclass Mine(_Base)")
    assert load_rule(written(tmp_path, text)).name == "mine"


def test_any_class_with_the_methods_of_a_strategy_may_be_used(tmp_path):
    text = """
from simulator.trading.model import Decision, Target

class Bare:
    cadence = "daily"
    window = 3
    reads = "nothing"

    async def opine(self, snapshot, journal):
        return None

    def decide(self, snapshot, opinion, book, journal):
        return Decision(snapshot.as_of, (Target("SPY", 1.0),))
"""
    strategy = load_rule(written(tmp_path, text))
    assert decide(strategy, snapshot(SPY=[1.0])).targets[0].weight == 1.0
    assert strategy.name == "mine"


def test_a_strategy_that_asks_while_it_decides_is_told_where_to_ask(tmp_path):
    text = "class Bare:\n    async def opine(self, *given): ...\n\n    async def decide(self, *given): ...\n"
    with pytest.raises(UsageError, match=r"Bare\.decide is asynchronous; write `def decide`"):
        load_rule(written(tmp_path, text))


def test_loading_leaves_no_compiled_file_and_no_importable_module(tmp_path):
    path = written(tmp_path, GOOD)
    load_rule(path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.py"]
    assert "mine" not in sys.modules
    assert "strategies" not in sys.modules


def test_two_files_of_one_name_stay_apart(tmp_path):
    (tmp_path / "other").mkdir()
    one = load_rule(written(tmp_path, GOOD))
    two = load_rule(written(tmp_path / "other", GOOD.replace("share = 0.5", "share = 0.25")))
    assert (one.share, two.share) == (0.5, 0.25)
    assert type(one).__module__ != type(two).__module__


def test_an_edited_file_is_read_anew(tmp_path):
    path = written(tmp_path, GOOD)
    load_rule(path)
    written(tmp_path, GOOD.replace("share = 0.5", "share = 0.75"))
    assert load_rule(path).share == 0.75


def test_the_shipped_strategies_are_available_by_name():
    assert available(STRATEGIES) == (
        *("buy_and_hold", "equal_weight", "macro_council", "momentum_12_1", "momentum_desk"),
        *("random_entry", "sixty_forty", "sma_cross", "small_council"),
    )


def test_an_unknown_name_is_answered_with_the_nearest_and_the_list():
    with pytest.raises(
        UsageError, match=r'no strategy "sma_cros", did you mean "sma_cross"\?; there are buy_and_hold,'
    ):
        load_strategy("sma_cros", STRATEGIES)
    with pytest.raises(UsageError, match=r'no strategy "x"; there is none in '):
        load_strategy("x", ROOT / "nowhere")


def test_a_strategy_is_found_by_name_or_by_path_and_says_what_it_is_made_of(tmp_path):
    by_name = load_strategy("sma_cross", STRATEGIES, None, {"fast": 20})
    digest = hashlib.sha256((STRATEGIES / "sma_cross.py").read_bytes()).hexdigest()
    assert (by_name.files, by_name.label, by_name.parameters) == ({"sma_cross.py": digest}, None, {"fast": 20})
    assert by_name.strategy.rule.fast == 20
    by_path = load_strategy(str(written(tmp_path, GOOD)), STRATEGIES)
    assert by_path.files == {"mine.py": hashlib.sha256(GOOD.encode()).hexdigest()}


def test_a_council_is_found_by_name_or_folder_and_says_that_no_llm_answers():
    offline = {"*": SimpleNamespace(provider="offline", model="rule")}
    asking = SimpleNamespace(gateway=None, seats=offline, accounts=())
    loaded = load_strategy("macro_council", STRATEGIES, asking)
    assert loaded.label == "rule-based analysts, no LLM"
    assert loaded.strategy.reads == "market"
    assert "macro_council/strategy.yaml" in loaded.files
    assert "macro_council/prompts/review.md" in loaded.files
    assert load_strategy(str(STRATEGIES / "macro_council"), STRATEGIES, asking).files == loaded.files
    mixed = {"*": SimpleNamespace(provider="requesty", model="gpt"), "pm.risk": offline["*"]}
    partly = load_strategy("macro_council", STRATEGIES, SimpleNamespace(gateway=None, seats=mixed, accounts=()))
    assert partly.label == "rule-based analysts, no LLM (in pm.risk)"
    models = {"*": mixed["*"]}
    assert (
        load_strategy("macro_council", STRATEGIES, SimpleNamespace(gateway=None, seats=models, accounts=())).label
        is None
    )


def test_a_council_without_models_to_ask_is_refused():
    with pytest.raises(UsageError, match="macro_council"):
        load_strategy("macro_council", STRATEGIES)


def test_a_class_may_be_given_instead_of_a_name():
    class Half(Rule):
        share = 0.5

        def weights(self, market):  # noqa: ARG002
            return {"SPY": self.share}

    loaded = load_strategy(Half, STRATEGIES, None, {"share": 0.25})
    assert decide(loaded.strategy, snapshot(SPY=[1.0])).targets[0].weight == 0.25
    assert list(loaded.files) == ["Half"]
    with pytest.raises(UsageError, match="int is no strategy"):
        load_strategy(int, STRATEGIES)


def test_a_name_that_is_both_a_rule_and_a_council_is_refused(tmp_path):
    written(tmp_path, GOOD)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "strategy.yaml").write_text("")
    with pytest.raises(UsageError, match="is both"):
        load_strategy("mine", tmp_path)


@pytest.mark.parametrize(
    "name", ["points", "at", "consult", "reads", "checkpoint", "minutes", "seats", "questions", "members"]
)
def test_an_attribute_of_a_rule_is_never_taken_for_a_capability(tmp_path: Path, name: str) -> None:
    own = GOOD.replace("share = 0.5", f"share = 0.5\n    {name} = 3")
    (tmp_path / "strategies").mkdir()
    written(tmp_path / "strategies", own)
    strategy = load_strategy("mine", tmp_path / "strategies", parameters={name: 4}).strategy
    assert strategy.rule.parameters()[name] == 3
    assert getattr(strategy.rule, name) == 4
    assert strategy.reads == "nothing"
    for capability in (Scheduled, Consults, Checkpointed, KeepsMinutes, Asks, Committee, Replicable):
        assert not isinstance(strategy, capability)
