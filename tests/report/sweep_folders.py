"""Folders of sweeps out of a seed: a smooth hill of ratios, or noise, over a grid or over drawn settings."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simulator.stats.overfitting import backtest_overfitting

GRID: Mapping[str, Sequence[Any]] = {"fast": range(5, 51, 5), "slow": range(20, 201, 10)}
SESSIONS = 504


def write_sweep(
    folder: Path,
    space: Mapping[str, Sequence[Any]] = GRID,
    drawn: int = 0,
    seed: int = 1,
    hold_out: bool = False,
    walk: bool = False,
    command: str = "sim run --strategy sma_cross --symbols SPY --from 2023-01-03 --to 2024-12-31",
) -> Path:
    """Write the folder of a sweep over all combinations of `space`, or `drawn` members of it; return it."""
    rng = np.random.default_rng(seed)
    if drawn:
        rows = [{name: values[int(rng.integers(len(values)))] for name, values in space.items()} for _ in range(drawn)]
    else:
        rows = [dict(zip(space, row, strict=True)) for row in itertools.product(*space.values())]
    settings = pd.DataFrame(rows)
    count = len(settings)
    hill = np.zeros(count)
    for column in settings.select_dtypes("number"):
        x = settings[column].to_numpy(dtype=float)
        hill += np.exp(-(((x - x.min()) / (np.ptp(x) or 1.0) - 0.6) ** 2) / 0.1) / settings.shape[1]
    ratio = 1.6 * hill - 0.6 + rng.normal(0, 0.25, count)
    error = 1 / math.sqrt(SESSIONS / 252)
    measures = {
        "total_return": 0.2 * ratio + 0.05,
        "sharpe": ratio + 0.4,
        "max_drawdown": -0.05 - 0.2 * rng.random(count),
        "exposure": rng.random(count),
        "turnover": 10 * rng.random(count),
        "costs": 1000 * rng.random(count),
        "decisions": np.full(count, 60.0),
        "held": np.ones(count),
    }
    p = np.clip(1.2 - ratio / 2, 0.001, 1)
    (folder / "chunks").mkdir(parents=True)
    settings.join(pd.DataFrame(measures)).to_parquet(folder / "chunks" / "000000000.parquet", index=False)
    in_mcs = ratio > np.quantile(ratio, 0.9)
    inferred = pd.DataFrame({"ratio": ratio, "t": ratio / error, "p": p, "in_mcs": in_mcs})
    inferred.to_parquet(folder / "inference.parquet", index=False)
    best = int(np.argmin(p)) if len(set(p)) == count else int(np.argmax(ratio))
    values = {key: getattr(value[best], "item", lambda key=key: rows[best][key])() for key, value in settings.items()}
    sets = "".join(f" --set {name}={value}" for name, value in sorted(values.items()))
    identity = {
        "run_id": "0123456789", "schema": 1, "digest": "ab" * 32, "strategy": "sma_cross", "symbols": ["SPY"],
        "from": "2023-01-03", "to": "2024-12-31", "sessions": SESSIONS, "definition": "ef" * 32, "bar_months": {},
        "data_digest": "cd" * 32, "code": None, "command": "sim sweep --strategy sma_cross --set fast=5:50:5",
    }  # fmt: skip
    study = {
        "search": "random" if drawn else "grid", "seed": 0, "fixed": {}, "constraints": ["fast < slow"],
        "parameters": [
            {"name": name, "values": list(one), "spread": None, "kind": "signal"} for name, one in space.items()
        ],
    }  # fmt: skip
    document = {
        "identity": identity,
        "study": study,
        "counts": {"members": count, "failed": 0, "idle": 0, "few_decisions": 2, "tested": count - 2},
        "inference": _inference(ratio, best, float(p[best]), count, error, in_mcs, rng),
        "best": {
            "member": best, "settings": values, "command": command + sets, "p": float(p[best]),
            "measures": {name: float(one[best]) for name, one in measures.items()}, "skill": _skill(float(ratio[best])),
            "interval": {"sharpe_ci_low": -0.4, "sharpe_ci_high": 2.1},
        },
    }  # fmt: skip
    if walk:
        document |= {"walk_forward": _walk(rows), "combinatorial": PATHS}
    verdict = {
        "digest": "ab" * 32, "standing": "luck", "p": 0.21, "units": 3, "trials": count + 2,
        "headline": f"The best of {count:,} members, member {best}, cannot be told from luck: p 0.21 as one of all.",
        "details": ["Two runs beside the sweep are trials as well.", "Its exposure earned +8.0 % a year."],
        "summary": "", "at_least": "", "hold_out": _hold_out() if hold_out else None,
    }  # fmt: skip
    runtime = {
        "seconds": {"play": 1.25, "inference": 0.5}, "cpu_seconds": {"play": 2.4}, "played": count,
        "executor": "threads", "threads": 2, "python": "3.11", "machine": "x86_64",
    }  # fmt: skip
    for name, content in (("study", document), ("verdict", verdict), ("runtime", runtime)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


PATHS = {
    "words": "folds=6,test=2,embargo=5", "folds": 6, "test": 2, "purge": 0, "embargo": 5, "criterion": "", "splits": 15,
    "chosen": [0] * 15, "in_sample": [1.0] * 15, "out_of_sample": [0.1] * 14 + [None], "mean": 0.06, "deviation": 0.2,
    "ratios": [0.3, -0.2, 0.1, None, 0.1], "loss": 0.4, "rank": 0.5,
}  # fmt: skip


def _walk(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A walk-forward of eleven folds; nobody decided anything in sample of the third."""
    folds = [
        {
            "train": {"from": f"2023-{n + 1:02}-02", "to": f"2023-{n + 1:02}-27"},
            "test": {"from": f"2023-{n + 2:02}-01", "to": f"2023-{n + 2:02}-28"},
            "member": n, "settings": dict(rows[n]), "in_sample": None if n == 2 else 1.0 + n / 10, "rank": n / 11,
            "out_of_sample": 0.5 - n / 10, "total_return": 0.01 * (5 - n), "profit": 1000.0 * (5 - n),
        }
        for n in range(11)
    ]  # fmt: skip
    return {
        "words": "train=20,test=20,purge=2", "anchored": False, "train": 20, "test": 20, "purge": 2, "step": 20,
        "criterion": "", "folds": folds, "notes": ["no whole test is left for 7 sessions at the end"],
        "stability": {"changes": 10, "distinct": 11, "changes_by_parameter": dict.fromkeys(rows[0], 5)},
        "degradation": {"in_sample": 1.5, "out_of_sample": 0.3, "kept": 0.2, "rank": 0.45},
        "spread": {"mean": 0.0, "deviation": 0.3, "lowest": -0.5, "highest": 0.5, "gaining": 5, "folds": 11},
        "path": {
            "from": "2023-02-01", "to": "2023-12-28", "run_id": "1234567890", "folder": "sma_cross-2023-1234567890",
            "digest": "ef" * 32, "command": "sim run --strategy sma_cross --set fast=5 --set fast@2023-03-01=10",
            "sessions": 230, "metrics": {"total_return": 0.12}, "skill": _skill(0.3), "max_relative_difference": 0.0,
        },
        "concentration": {
            "profit": 12000.0, "best_fold": 0, "best_fold_share": 0.33, "without_best_fold": 7000.0,
            "without_best_sessions": -3000.0,
        },
    }  # fmt: skip


def _inference(
    ratio: Any, best: int, p: float, count: int, error: float, in_mcs: Any, rng: np.random.Generator
) -> dict[str, Any]:
    found = backtest_overfitting(rng.normal(size=(SESSIONS, max(2, min(count, 20)))), 8)
    counts, edges = np.histogram(found.logits, bins=20, range=(-3, 3))
    hist, at = np.histogram(ratio, bins=20)
    return {
        "members": count, "effective": 12.3, "draws": 1000, "block": 4.2, "seed": 0, "judged_from": None, "best": best,
        "p": p, "significant": 0, "reality_check_best": best, "reality_check_p": 0.18, "best_ratio": float(ratio[best]),
        "expected_maximum": 2.6 * error, "expected_maximum_effective": 1.7 * error, "ratio_mean": float(ratio.mean()),
        "sharpe_mean": 0.4, "sharpe_sd": 0.2, "ratio_sd": float(ratio.std()), "ratio_skew": 0.1, "ratio_kurtosis": 3.0,
        "ratios": {"edges": at.tolist(), "counts": hist.tolist()}, "deflated": 0.4, "dsr": 0.7, "dsr_effective": 0.8,
        "minimum_backtest_years": 3.4, "years": SESSIONS / 252, "null_best": np.linspace(1, 3, 101).tolist(),
        "null_t": np.linspace(1, 4, 101).tolist(),
        "overfitting": {
            "blocks": 8, "splits": len(found.logits), "dropped": 0, "pbo": found.probability, "loss": found.loss,
            "slope": -0.4, "intercept": 0.1, "logits": {"edges": edges.tolist(), "counts": counts.tolist()},
            "scatter": np.column_stack([found.in_sample, found.out_of_sample]).tolist(),
        } if count > 1 else None,
        "confidence_set": {
            "level": 0.1, "statistic": "max", "among": count, "size": int(in_mcs.sum()),
            "members": np.flatnonzero(in_mcs)[:1000].tolist(),
        },
        "reasons": {},
    }  # fmt: skip


def _skill(ratio: float) -> dict[str, Any]:
    return {
        "sessions": SESSIONS, "decisions": 60, "idle": False, "excess": 0.11, "exposure": 0.08, "choosing": 0.05,
        "costs": -0.02, "beyond": 0.03, "beyond_low": -0.02, "beyond_high": 0.08, "p": 0.06, "p_mean": 0.05,
        "p_ratio": 0.06, "p_worse": 0.9, "t": 1.6, "degrees": 12, "ratio": ratio / math.sqrt(252), "skew": 0.1,
        "kurtosis": 4.0, "p_excess": 0.04, "reason": None,
    }  # fmt: skip


def _hold_out() -> dict[str, Any]:
    openings = [{"at": "2025-02-03T14:05:00+00:00", "by": "sweep 0123456789", "member": 3}]
    headline = "Opened once: +1.0 % a year beyond its exposure on 126 sessions, p 0.31."
    return {
        "from": "2025-01-02", "to": "2025-06-30", "sessions": 126, "opened": 1, "openings": openings,
        "skill": _skill(0.5), "p": 0.31, "headline": headline,
    }  # fmt: skip
