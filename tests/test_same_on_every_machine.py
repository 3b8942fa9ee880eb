"""What is kept does not depend on the processor: no BLAS, no vector unit's logarithm, one baseline for compiled loops.

The source is searched for what processors differ in; and one of every kind of result is made twice, as on this
machine and as on one from 2008, and compared byte by byte.
"""

from __future__ import annotations

import ast
import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import simulator
from simulator import numerics
from simulator.compiled import BASELINE
from simulator.workspace import make_workspace

from .conftest import Sim

PACKAGE = Path(simulator.__file__).parent

BY_BLAS = {"dot", "vdot", "vecdot", "matvec", "vecmat", "matmul", "inner", "tensordot", "einsum", "linalg"}
BY_BLAS |= {"cov", "corrcoef", "polyfit", "convolve", "correlate", "kron", "polyval"}
BY_VECTOR_UNIT = {"exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "logaddexp", "power", "float_power", "cbrt"}
BY_VECTOR_UNIT |= {"sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "tanh"}
BY_VECTOR_UNIT |= {"arcsinh", "arccosh", "arctanh", "geomspace", "logspace", "argpartition"}
FORBIDDEN = BY_BLAS | BY_VECTOR_UNIT
"""Names of numpy whose results depend on the processor; `argsort` only where it need not be stable."""

ALLOWED = {
    ("numerics.py", "@"): "whole numbers, all sums below 2⁵³: exact in whatever order",
    ("market/quality.py", "np.convolve"): "a count of sessions in a row",
    ("compiled.py", "import numba"): "the one place that says what is compiled for",
}

POWERS = {
    "stats/hac.py": 1,
    "stats/inference.py": 1,
    "analysis/returns/summary.py": 1,
    "runs/cash_return.py": 1,
    "council/facts.py": 1,
    "report/drawing.py": 1,
}
"""Powers of single numbers, which the C library takes; those of an array are taken by numpy's vector units."""


def findings(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.BinOp(op=ast.MatMult()) | ast.AugAssign(op=ast.MatMult()):
                yield "@", node.lineno
            case ast.Attribute(value=ast.Name(id="np"), attr=name) if name in FORBIDDEN:
                yield f"np.{name}", node.lineno
            case ast.Call(func=ast.Attribute(attr="dot")):
                yield ".dot()", node.lineno
            case ast.Call(func=ast.Attribute(attr="argsort"), keywords=keywords):
                if not any(k.arg == "kind" and ast.unparse(k.value) == "'stable'" for k in keywords):
                    yield "argsort", node.lineno
            case ast.Import(names=names) if any(name.name.split(".")[0] == "numba" for name in names):
                yield "import numba", node.lineno
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] == "numba":
                yield "import numba", node.lineno
            case ast.keyword(arg="fastmath"):
                yield "fastmath", node.lineno
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                if not isinstance(left, ast.Constant) and ast.unparse(right) != "2":
                    yield "**", node.lineno


@pytest.mark.medium
def test_nothing_is_computed_by_what_processors_differ_in() -> None:
    found, powers, used = [], {}, set()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        for what, line in findings(path):
            if what == "**":
                powers[name] = powers.get(name, 0) + 1
            elif (name, what) in ALLOWED:
                used.add((name, what))
            else:
                found.append(f"{name}:{line}: {what}; simulator/numerics.py has what replaces it")
    assert not found
    assert powers == POWERS
    assert used == set(ALLOWED)


def old_machine() -> dict[str, str]:
    """Settings by which numpy, OpenBLAS, numba and the C library take this processor for one from 2008, without AVX."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return {
        "NPY_DISABLE_CPU_FEATURES": " ".join(found),
        "OPENBLAS_CORETYPE": "Nehalem",
        "NUMBA_CPU_NAME": "nehalem",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-FMA4",
    }


FIGURES = """
import hashlib, json, sys
import numpy as np
from simulator.contamination.recall import fit_clustered
from simulator.council.facts import symbol_facts
from simulator.market.indicators import realised_volatility
from simulator.market.sources.synthetic import synthetic_bars
from simulator.numerics import exp, log, log1p
from simulator.stats import compare, inference, metrics, overfitting, selection, timing
from simulator.stats import calibration as calibrate
from simulator.stats.factors import factor_model

rng = np.random.default_rng(11)
one = rng.standard_t(4, 617) * 0.01 + 4e-4
two = 0.6 * one + rng.normal(0, 0.008, 617)
many = rng.normal(0, 0.01, (617, 12)) + 0.3 * two[:, None]
held = (rng.random((617, 2)) > 0.4) * 1.0
date = np.arange(240) // 3
weekly = calibrate.Sample.of(rng.integers(-2, 3, 240), rng.normal(0, 1, 240), date, date + 1)
close = 100 * np.cumprod(1 + one)
few = selection.Resampling(draws=700, seed=2)
found = {
    "metrics": metrics.summary(one, 1e-4, two).values,
    "inference": inference.inference_summary(one, draws=2000).values,
    "eta": inference.eta(one, 252),
    "difference": vars(compare.compare(one, two, draws=700)),
    "pbo": vars(overfitting.backtest_overfitting(many, 10)),
    "best": vars(selection.max_sharpe_reality_check(many, few)),
    "step-down": vars(selection.romano_wolf(many, few)),
    "superior": vars(selection.superior_predictive_ability(many, few)),
    "set": vars(selection.model_confidence_set(many, few)),
    "trials": selection.effective_trials(many),
    "shifts": vars(timing.circular_shifts(held, many[:, :2])),
    "ranks": str(calibrate.rank_correlation_interval(weekly)),
    "levels": str(calibrate.mean_by_forecast(weekly)),
    "factors": str(factor_model(one, many[:, :3])),
    "recall": vars(fit_clustered(one, two, rng.random(617), np.arange(617) // 3)),
    "facts": symbol_facts(close, close * 1.01, close * 0.99),
    "volatility": realised_volatility(close),
    "bars": synthetic_bars(["ABC"], *map(np.datetime64.item, np.array(["2020-01-02", "2021-12-30"], "M8[D]")), 5).close,
    "functions": [exp(one), log(close), log1p(one)],
}
for name, value in found.items():
    print(name, hashlib.sha256(json.dumps(value, default=lambda a: np.asarray(a).tolist()).encode()).hexdigest())
"""


def figures(env: dict[str, str]) -> str:
    words = [sys.executable, "-W", "ignore", "-c", FIGURES]
    done = subprocess.run(words, env={**os.environ, **env}, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


only_x86 = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="the settings are those of x86 processors"
)


@only_x86
@pytest.mark.medium
@pytest.mark.fault("machine", "a machine without AVX, or with AVX-512", "every kept figure has the same bits")
def test_every_statistic_has_the_same_bits_on_an_old_machine() -> None:
    assert figures(old_machine()) == figures({})


def kept(workspace: Path, answers: list[str]) -> dict[str, bytes]:
    """What commands said and what stands in the run folders, all but the seconds it took, the place and the shelf,
    which says when."""
    files = {"said": "\n".join(answers).encode()}
    for path in sorted((workspace / "reports").glob("*/**/*")):
        if path.is_file() and path.name != "runtime.json":
            lines = path.read_bytes().split(b"\n")
            files[str(path.relative_to(workspace))] = b"\n".join(
                line for line in lines if b'class="runtime"' not in line
            )
    return {name: content.replace(bytes(workspace), b"") for name, content in files.items()}


def returns_file(path: Path) -> Path:
    rng = np.random.default_rng(3)
    days = np.datetime64("2021-01-04") + np.arange(520) * 7 // 5
    rows = (
        f"{day},{a:.7f},{b:.7f},{c:.7f}" for day, (a, b, c) in zip(days, rng.normal(4e-4, 0.01, (520, 3)), strict=True)
    )
    path.write_text("\n".join(["date,first,second,third", *rows, ""]))
    return path


@only_x86
@pytest.mark.slow
@pytest.mark.fault("machine", "a run repeated on a machine without AVX", "the same bytes in every kept file")
def test_runs_checks_and_reports_have_the_same_bytes_on_an_old_machine(sim: Sim, tmp_path: Path) -> None:
    made = []
    for name, env in (("new", {}), ("old", old_machine())):
        place = tmp_path / name
        make_workspace(place, git=False)
        returns = returns_file(place / "returns.csv")
        days = ("--from", "2023-09-01", "--to", "2024-03-28", "--symbols", "SPY,QQQ")
        answers = []
        for words in (
            ("run", "--strategy", "sma_cross", *days),
            ("run", *days),
            ("check", "macro_council"),
            ("ablate", "macro_council"),
            ("compare", "macro_council", "sma_cross"),
            ("stats", returns, "--benchmark", "second", "--json"),
            ("stats", "sweep", returns, "--json"),
        ):
            done = sim(*words, cwd=place, env=env, own_process=True)
            assert done.returncode == 0, done.stderr
            answers.append(done.stdout)
        made.append(kept(place, answers))
    assert made[0].keys() == made[1].keys()
    assert [path for path in made[0] if made[0][path] != made[1][path]] == []


def test_whole_sums_are_exact_whatever_adds_them() -> None:
    """Against fractions; a BLAS that adds otherwise cannot find another sum."""
    rng = np.random.default_rng(5)
    values, weights = rng.standard_cauchy((300, 4)), rng.integers(0, 9, (6, 300)).astype(np.float64)
    found = numerics.weighing(values, float(weights.sum(axis=1).max()))(weights)
    for column in range(4):
        largest = np.abs(values[:, column]).max()
        for row in range(6):
            exact = sum(Fraction(int(w)) * Fraction(v) for w, v in zip(weights[row], values[:, column], strict=True))
            assert abs(found[row, column] - float(exact)) <= 300 * largest * 2.0**-41
    again = [
        numerics.weighing(values[order], 2700.0)(weights[:, order]) for order in (rng.permutation(300), slice(None))
    ]
    assert np.array_equal(*again)


@pytest.mark.parametrize(
    ("function", "exact", "at"),
    [
        (
            numerics.log,
            math.log,
            np.r_[1e-300, 5e-324, 0.5, 0.7071, 0.70711, 1.0, 1.5, 2.0, 1e300, np.linspace(0.1, 5, 99)],
        ),
        (
            numerics.log1p,
            math.log1p,
            np.r_[-0.999999, -0.5, -1e-17, 1e-300, 0.0, 1e-9, 0.3, 1e10, np.linspace(-0.2, 0.2, 99)],
        ),
        (numerics.exp, math.exp, np.r_[-745.0, -708.0, -1e-300, 0.0, 1e-9, 1.0, 709.0, np.linspace(-5, 5, 99)]),
    ],
)
def test_logarithm_and_exponential_are_those_of_the_library_but_for_the_last_bit(
    function: Callable[..., np.ndarray], exact: Callable[[float], float], at: np.ndarray
) -> None:
    library = np.array([exact(x) for x in at.tolist()])
    assert (np.abs(function(at) - library) <= 1.01 * np.spacing(np.abs(library))).all()


def test_logarithm_and_exponential_at_their_ends() -> None:
    np.testing.assert_array_equal(numerics.log([0.0, -1.0, np.inf, np.nan]), [-np.inf, np.nan, np.inf, np.nan])
    np.testing.assert_array_equal(numerics.log1p([-1.0, -2.0, np.inf, np.nan]), [-np.inf, np.nan, np.inf, np.nan])
    np.testing.assert_array_equal(
        numerics.exp([-np.inf, -800.0, 800.0, np.inf, np.nan]), [0.0, 0.0, np.inf, np.inf, np.nan]
    )


@pytest.mark.parametrize("rank", [4, 3, 1])
def test_least_squares_finds_the_shortest_of_the_closest(rank: int) -> None:
    rng = np.random.default_rng(rank)
    x = (rng.normal(size=(90, rank)) @ rng.normal(size=(rank, 4))) * [1.0, 1.0, 1e-2, 1e-4]
    y = rng.normal(size=(90, 2))
    np.testing.assert_allclose(numerics.least_squares(x, y), np.linalg.lstsq(x, y, rcond=None)[0], rtol=1e-8, atol=1e-8)
    left, squares, right = numerics.decompose(x)
    np.testing.assert_allclose(left @ right.T, x, atol=1e-13)
    np.testing.assert_allclose(np.sort(np.sqrt(squares))[::-1], np.linalg.svd(x)[1], atol=1e-12)
    assert np.count_nonzero(squares) == rank


@pytest.mark.medium
def test_loops_are_compiled_for_the_stated_baseline_unless_the_user_says_otherwise() -> None:
    code = "import simulator.compiled, numba; print(numba.config.CPU_NAME, repr(numba.config.CPU_FEATURES))"
    unset = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_CPU")}
    for own, said in (({}, None), ({"NUMBA_CPU_NAME": "nehalem"}, "nehalem None")):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**unset, **own}, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == (said or f"{BASELINE} ''")
