"""Runs on real answers: the fake service answers by the analysts' rules, over HTTP, for money that is not real."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from simulator.council.analysts import RULES
from simulator.llm.fake_service.server import Behaviour, FakeService
from simulator.llm.providers.offline import Offline

from ..conftest import Serve

SEATS = {
    "research.1": "macro",
    "research.2": "narrative",
    **{f"pm.{name}": name for name in ("trend", "reversion", "risk", "carry", "breakout")},
    "chairman": "chairman",
}
PRICE = (3.0, 15.0)


@pytest.fixture(scope="session")
def readme_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of `sim run --from 2024-01-01 --symbols SPY,QQQ`, as it is shipped: idle cash earns the bill rate."""
    import simulator
    from simulator.workspace import make_workspace

    workspace = tmp_path_factory.mktemp("readme") / "w"
    make_workspace(workspace, git=False)
    return simulator.run(symbols=["SPY", "QQQ"], start="2024-01-01", workspace=workspace).folder


@pytest.fixture
def serve(serve: Serve) -> Serve:
    """``serve("--latency", 0.01, …)``: a service that knows the analysts' rules, and has a price."""
    return partial(serve, "--price", *PRICE, "--rules", "simulator.council.analysts:RULES")


def priced_service() -> FakeService:
    """The same without latency, for fixtures of a whole module."""
    return FakeService(Offline(RULES, "rehearsal"), Behaviour(latency_s=0.0, usd_per_million=PRICE))


def meetings_only(workspace: Path) -> None:
    """Switch the checkpoints of the macro council off."""
    path = workspace / "strategies" / "macro_council" / "strategy.yaml"
    text = path.read_text()
    head, switch, tail = text.partition("  checkpoint:")
    assert switch, f"{path} has no checkpoints"
    path.write_text(head + switch + tail.replace("enabled: true", "enabled: false", 1))


def seat_models(
    workspace: Path,
    url: str,
    *,
    concurrency: int = 64,
    elsewhere: dict[str, str] | None = None,
    max_usd_per_day: float = 1000,
) -> None:
    """Write config/models.yaml: profile `dry` asks the service at `url`, seats named in `elsewhere` another one.

    The council has no checkpoints then: 28 questions a date, so that they can be counted.
    """
    meetings_only(workspace)
    seats = {
        seat: {
            "provider": "openai_compatible",
            "endpoint": (elsewhere or {}).get(seat, url),
            "model": model,
            "max_tokens": 700,
            "timeout_s": 5,
        }
        for seat, model in SEATS.items()
    }
    offline = {seat: {"provider": "offline", "model": model} for seat, model in SEATS.items()}
    urls = {url, *(elsewhere or {}).values()}
    content = {
        "profiles": {"offline": offline, "dry": seats},
        "prices": {place: dict(zip(("input", "output"), PRICE, strict=True)) for place in urls},
        "limits": {place: {"concurrency": concurrency} for place in urls},
        "max_usd_per_day": max_usd_per_day,
    }
    # JSON is YAML.
    (workspace / "config" / "models.yaml").write_text(json.dumps(content, indent=1))


def evidence(folder: Path) -> dict[str, Any]:
    """Content of every file of a run folder that may not differ between two runs of the same command. Of run.json all
    but the commit, which may move while a developer tests."""
    files: dict[str, Any] = {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in ("runtime.json", "trials.json", "report.html")
    }
    facts = json.loads(files["run.json"])
    del facts["code"]
    return {**files, "run.json": json.dumps(facts)}
