"""The least change of a position that is worth an order: dollars, or percent of equity, by its unit."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.config import Costs, Risk, read_yaml
from simulator.errors import ConfigError
from simulator.trading.execution import ExecutionRules
from simulator.workspace import shipped


@pytest.mark.parametrize(
    ("written", "stated", "dollars", "share"),
    [
        ("0.1%", "0.1%", 0.0, 0.001),
        ("'0.25 %'", "0.25%", 0.0, 0.0025),
        ("0%", "0%", 0.0, 0.0),
        ("$50", 50.0, 50.0, 0.0),
        ("50", 50.0, 50.0, 0.0),
        ("1.0", 1.0, 1.0, 0.0),
        ("0", 0.0, 0.0, 0.0),
    ],
)
def test_its_unit_says_what_is_meant(
    written: str, stated: object, dollars: float, share: float, tmp_path: Path
) -> None:
    path = tmp_path / "risk.yaml"
    path.write_text(f"min_trade: {written}\n")
    risk = read_yaml(path, Risk)
    assert (risk.min_trade, Risk.model_validate(risk.model_dump(mode="json"))) == (stated, risk)
    rules = ExecutionRules.from_config(risk, Costs())
    assert (rules.min_trade, rules.min_trade_share) == (dollars, share)
    assert rules.least_worth(20_000.0) == dollars + 20_000.0 * share


@pytest.mark.parametrize(
    "written", ["-1", "-0.1%", "101%", "$5%", "half", "true", ".nan", "1e10", "[1]", "50 dollars", "'%'"]
)
def test_anything_else_is_refused_with_what_is_allowed(written: str, tmp_path: Path) -> None:
    path = tmp_path / "risk.yaml"
    path.write_text(f"max_weight: 1\nmin_trade: {written}\n")
    with pytest.raises(ConfigError, match=r"risk.yaml:2: min_trade was .*percent of equity.*or dollars"):
        read_yaml(path, Risk)


def test_a_thousandth_of_equity_is_usual_and_what_is_shipped() -> None:
    shipped_risk = read_yaml(shipped() / "config" / "risk.yaml", Risk)
    assert shipped_risk == Risk()
    assert shipped_risk.least_share == 0.001
