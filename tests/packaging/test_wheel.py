from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import simulator
from simulator.workspace import shipped

ROOT = Path(simulator.__file__).parent.parent

Build = Callable[[Path, str], Path]
Environment = Callable[[Path, Path], Path]

pytestmark = [
    pytest.mark.medium,
    pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="needs a checkout to build from"),
]


@pytest.fixture(scope="module")
def wheel(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"), "wheel")


def test_the_wheel_holds_simulator_and_its_own_metadata_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"simulator", f"council_simulator-{simulator.__version__}.dist-info"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    there = set(zipfile.ZipFile(wheel).namelist())
    source = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "simulator").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "simulator/py.typed" in source
    assert source <= there


def test_the_wheel_holds_the_starter_files_byte_by_byte(wheel: Path) -> None:
    held = zipfile.ZipFile(wheel)
    starter = [shipped() / "sim.toml", *(shipped() / "config").iterdir(), *(shipped() / "data" / "sample").iterdir()]
    starter += [path for path in (shipped() / "strategies").rglob("*") if path.suffix in {".py", ".yaml", ".md"}]
    for path in starter:
        inside = f"simulator/_workspace/{path.relative_to(shipped()).as_posix()}"
        assert held.read(inside) == path.read_bytes()
    assert [path for path in starter if path.suffix == ".parquet"]


def test_the_source_distribution_holds_what_a_build_and_the_tests_need(build: Build, tmp_path: Path) -> None:
    made = build(tmp_path, "sdist")
    top = made.name.removesuffix(".tar.gz")
    with tarfile.open(made) as held:
        names = {name.removeprefix(f"{top}/") for name in held.getnames()}
    wanted = {"pyproject.toml", "hatch_build.py", "Makefile", "constraints.txt", "README.md", "LICENSE", "sim.toml"}
    wanted |= {
        "simulator/__init__.py",
        "config/risk.yaml",
        "tests/conftest.py",
        "data/sample/NOTICE",
        "data/events.csv",
        "llm_cache/cassettes/small_council.jsonl",
    }
    assert wanted <= names
    assert not [name for name in names if name.startswith(("reports", ".venv", ".git/", "llm_cache/cache", "dist"))]


def test_an_editable_install_puts_no_second_simulator_into_site_packages() -> None:
    site = Path(sysconfig.get_paths()["purelib"])
    if (site / "simulator").resolve() == Path(simulator.__file__).parent.resolve():
        pytest.skip("the tests run against an installed wheel")
    assert not (site / "simulator").exists()


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment in another folder with the wheel installed, and no extras."""
    return environment(tmp_path_factory.mktemp("elsewhere") / "venv", wheel) / "bin" / "python"


def call(python: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [str(python), *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def test_the_installed_wheel_is_not_the_checkout(elsewhere: Path, tmp_path: Path) -> None:
    done = call(elsewhere, tmp_path, "-c", "import simulator; print(simulator.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(elsewhere.parent.parent)


def test_the_installed_wheel_makes_a_workspace(elsewhere: Path, tmp_path: Path) -> None:
    done = call(elsewhere, tmp_path, "-m", "simulator", "init", "lab")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "lab" / "config" / "risk.yaml").read_bytes() == (shipped() / "config" / "risk.yaml").read_bytes()


def test_the_installed_wheel_runs_the_first_command_of_the_readme(elsewhere: Path, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    command = re.search(r"^sim (run .*)$", readme, re.MULTILINE)
    assert command
    # The whole year is replayed where the page is typed.
    done = call(elsewhere, tmp_path, "-m", "simulator", *command[1].split(), "--to", "2024-02-02", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert Path(answer["dir"]).parent == tmp_path / "reports"
    assert (Path(answer["dir"]) / "report.html").stat().st_size < 2_000_000
    assert answer["audit"]["max_relative_difference"] <= 1e-9
