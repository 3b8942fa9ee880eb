"""docs/faults.md and the tests say the same."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fault_matrix", Path(__file__).parents[1] / "fault_matrix.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fault_matrix"] = module
    spec.loader.exec_module(module)
    return module


fault_matrix = _load()


def test_the_page_of_faults_is_the_one_the_tests_make() -> None:
    made = fault_matrix.render_page(fault_matrix.collect_faults())
    assert fault_matrix.PAGE.read_text(encoding="utf-8") == made, "run: python tests/fault_matrix.py"


def test_each_kind_of_fault_has_one_outcome() -> None:
    outcomes = {(one.section, one.kind, one.outcome) for one in fault_matrix.collect_faults()}
    assert outcomes
    assert len({(section, kind) for section, kind, _ in outcomes}) == len(outcomes)
