"""Checks of `sim doctor`: each returns its finding and, where something is broken, the command that mends it."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Literal, NamedTuple

from simulator.errors import SimError
from simulator.workspace import MARKER, Workspace, find_workspace, shipped

DISTRIBUTION = "council-simulator"

# Distributions that are imported under another name.
IMPORTED_AS = {"alpaca-py": "alpaca", "pyyaml": "yaml"}

# What pyproject.toml writes, no more: `name`, `name>=1.2` or `name==1.2`, with or without an extra.
REQUIREMENT = re.compile(
    r"(?P<what>(?P<name>[\w.-]+)(?:\[[\w,-]+\])?(?:(?P<sign>==|>=)(?P<version>[\d.]+))?)"
    r"(?:.*extra == [\"'](?P<extra>\w+))?"
)

EXTRAS = {
    "yahoo": "`sim data fetch --source yahoo`",
    "postgres": "a DATABASE_URL that names a server",
}

ALPACA_KEYS = ("ALPACA_API_KEY", "ALPACA_SECRET_KEY")


class Finding(NamedTuple):
    """`state` is ``ok``, ``absent`` (something optional is not there) or ``broken`` (runs will fail)."""

    state: Literal["ok", "absent", "broken"]
    what: str
    found: str
    mend: str = ""


def examine(given: str | None) -> list[Finding]:
    """Return the findings of all checks, for the workspace a command with ``--workspace given`` would use."""
    findings = [check_python(), *check_packages(), check_numba_cache(), *check_keys()]
    try:
        workspace = find_workspace(given)
    except SimError as error:
        return [*findings, Finding("broken", "workspace", error.found, error.mend or "")]
    checks: list[Callable[[Workspace], Finding]] = [
        check_place, check_config, check_bars, check_cache, check_store, check_forward
    ]  # fmt: skip
    findings += [*(check(workspace) for check in checks), *check_owed(workspace), *check_broker(workspace)]
    return findings + [check_write_access(folder) for folder in (workspace.reports, workspace.cache)]


def check_python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("ok", "Python", f"{version} at {sys.executable}")
    return Finding("broken", "Python", f"{version}, not 3.11 to 3.13", "`make run PYTHON=python3.12` in a fresh clone")


def check_packages() -> list[Finding]:
    """Return one finding for all required packages that work, one for each that does not, one for each extra."""
    try:
        requirements = [parsed for line in metadata.requires(DISTRIBUTION) or [] if (parsed := REQUIREMENT.match(line))]
    except metadata.PackageNotFoundError:
        return [Finding("broken", "packages", f"{DISTRIBUTION} is not installed", "`pip install -e .` in a clone")]
    required = sorted({r["name"]: r for r in requirements if not r["extra"]}.items())
    faults = {name: _find_fault(name, r["sign"], r["version"]) for name, r in required}
    working = ", ".join(f"{name} {metadata.version(name)}" for name, fault in faults.items() if not fault)
    broken = [
        Finding("broken", "packages", faults[name], f"`pip install --force-reinstall '{r['what']}'`")
        for name, r in required
        if faults[name]
    ]
    extras = [_check_extra(extra, [r["name"] for r in requirements if r["extra"] == extra]) for extra in EXTRAS]
    return [Finding("ok", "packages", working), *broken, *extras]


def _find_fault(name: str, sign: str | None, required: str | None) -> str:
    """Return why the package cannot be used; empty if it can."""
    try:
        version = metadata.version(name)
        import_module(IMPORTED_AS.get(name, name.replace("-", "_")))
    except metadata.PackageNotFoundError:
        return f"{name} is not installed"
    except Exception as error:
        return f"{name} cannot be imported ({type(error).__name__}: {error})"
    fits = not required or (
        _split_version(version) >= _split_version(required) if sign == ">=" else version == required
    )
    return "" if fits else f"{name} is {version}, not {sign}{required}"


def _split_version(version: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", version)]


def _check_extra(extra: str, names: list[str]) -> Finding:
    try:
        return Finding("ok", f"extra {extra}", ", ".join(f"{name} {metadata.version(name)}" for name in names))
    except metadata.PackageNotFoundError as error:
        mend = f"`pip install '{DISTRIBUTION}[{extra}]'`, needed only by {EXTRAS[extra]}"
        return Finding("absent", f"extra {extra}", f"{error.name} not installed", mend)


def check_numba_cache() -> Finding:
    """Compiled code is kept beside the source, else in the user's cache folder; with neither, compiling fails."""
    import simulator

    given = os.environ.get("NUMBA_CACHE_DIR")
    beside = Path(simulator.__file__).parent / "replay" / "kernel" / "__pycache__"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"
    for folder in [Path(given)] if given else [beside, home]:
        if not _try_writing(folder):
            return Finding("ok", "numba cache", str(folder))
    return Finding("broken", "numba cache", "no folder to keep compiled code in", "`export NUMBA_CACHE_DIR=/tmp/numba`")


def check_keys() -> list[Finding]:
    """Name the keys the environment holds and lacks, and those that can be none. Values are not shown."""
    from simulator.errors import ConfigError
    from simulator.keys import read_key
    from simulator.llm.providers.openai_compatible import KEY_NAMES

    names = (*ALPACA_KEYS, *KEY_NAMES.values())
    paper = sorted(name for name in os.environ if re.fullmatch(r"ALPACA_PAPER_(KEY|SECRET)_\w+", name))
    present = [name for name in (*names, *paper) if os.environ.get(name)]
    missing = [name for name in names if not os.environ.get(name)]
    findings = [Finding("ok", "keys", ", ".join(present))] if present else []
    for name in present:
        try:
            read_key(name)
        except ConfigError as error:
            findings.append(Finding("broken", "keys", error.found, error.mend or ""))
    if missing:
        mend = "needed only by models and bars that ask for them"
        findings.append(Finding("absent", "keys", f"{', '.join(missing)} not set", mend))
    return findings


def check_place(workspace: Workspace) -> Finding:
    if workspace.root == shipped() and workspace.root != workspace.out:
        text = f"none above {workspace.out}: the shipped files are read, output goes here"
        return Finding("absent", "workspace", text, "`sim init DIR` makes one")
    return Finding("ok", "workspace", f"{workspace.root} (by its {MARKER})")


def check_config(workspace: Workspace) -> Finding:
    from simulator.config import load_config
    from simulator.forward.settings import load_settings

    try:
        load_settings(workspace.config, load_config(workspace.config).accounts.accounts)
    except SimError as error:
        return Finding("broken", "config", str(error), "correct the line")
    return Finding("ok", "config", str(workspace.config))


def check_forward(workspace: Workspace) -> Finding:
    """Name the accounts whose keys are there and those without, and what keeps a forward loop from starting."""
    from simulator.config import load_config
    from simulator.forward.alerts import open_channels
    from simulator.forward.mode import name_keys
    from simulator.forward.settings import load_settings
    from simulator.forward.switches import read_switches

    try:
        settings = load_settings(workspace.config)
        accounts = load_config(workspace.config).accounts.accounts
    except SimError:
        return Finding("absent", "forward", "cannot be started", "correct the config first")
    try:
        channels = open_channels(settings.alerts)
    except SimError as error:
        return Finding("broken", "forward", error.found, error.mend or "correct the variable")
    if (reason := read_switches(workspace).stop) is not None:
        return Finding(
            "absent", "forward", f"the kill switch is thrown ({reason})", "`rm forward.stop` lets loops start"
        )
    ready = [name for name in accounts if all(map(os.environ.get, name_keys(name, settings.mode)))]
    told = f"alerts to the log{''.join(f', {name}' for name in channels)}"
    if not ready:
        mend = f"{' and '.join(name_keys('<ACCOUNT>', settings.mode))}; a rehearsal needs none"
        return Finding("absent", "forward", f"no account has {settings.mode} keys, {told}", mend)
    lacking = [name for name in accounts if name not in ready]
    without = f", without: {', '.join(lacking)}" if lacking else ""
    return Finding("ok", "forward", f"{settings.mode} keys of {', '.join(ready)}{without}; {told}")


def check_owed(workspace: Workspace) -> list[Finding]:
    """Name each forward test whose positions were to be closed, and are not."""
    from simulator.forward.closing import find_owed
    from simulator.store.connection import HEAD
    from simulator.store.database import open_store

    try:
        with open_store(workspace) as store:
            owed = find_owed(store) if store.status().revision == HEAD else {}  # an older one would be brought forward
    except SimError:
        return []  # said already
    mend = "`sim forward close-all {run}`, or its next start"
    return [
        Finding("broken", "close-all", f"of {run} is not done: {one}", mend.format(run=run))
        for run, one in owed.items()
    ]


def check_broker(workspace: Workspace, url: str | None = None) -> list[Finding]:
    """Ask every account whose paper keys are there for its number, state and clock; one finding each, none without
    keys. Asks nothing but `url`, a rehearsal exchange, where that is given."""
    import asyncio

    from simulator.config import load_config
    from simulator.forward.mode import name_keys

    try:
        accounts = load_config(workspace.config).accounts.accounts
    except SimError:
        return []  # said already
    ready = [name for name in accounts if all(map(os.environ.get, name_keys(name)))]

    async def ask_all() -> list[Finding]:
        return list(await asyncio.gather(*(_ask_account(name, url) for name in ready)))

    return asyncio.run(ask_all()) if ready else []


async def _ask_account(name: str, url: str | None) -> Finding:
    from simulator.forward.alpaca import AlpacaAccount
    from simulator.forward.mode import open_keys
    from simulator.forward.requests import Patience
    from simulator.forward.settings import Forward

    quick = Patience(connect_s=3.0, read_s=5.0, whole_s=8.0, attempts=1)
    account = None
    try:
        account = AlpacaAccount(open_keys(name, Forward()), url=url, patience=quick)
        state = await account.state()
        await account.clock()
    except SimError as error:
        return Finding("absent", "broker", f"{name}: {error.found}", error.mend or "a rehearsal needs no broker")
    finally:
        if account is not None:
            account.close()
    trouble = f", {' and '.join(state.restrictions)}" if state.restrictions else ""
    return Finding(
        "ok", "broker", f"{name}: paper account {state.number}, ${state.equity:,.2f}{trouble}; its clock agrees"
    )


def check_bars(workspace: Workspace) -> Finding:
    """List symbols and the days their bars begin and end. Whether bars make sense is for `sim data check` to say."""
    from simulator.market.load import available

    ranges = []
    try:
        for symbol, found in sorted(available(workspace.bar_folders).items()):
            table = found.read()
            ranges.append(f"{symbol} {table.first} to {table.last}")
    except SimError as error:
        return Finding("broken", "bars", str(error), "`sim data check` lists every problem")
    if not ranges:
        return Finding("broken", "bars", f"none in {workspace.data}", "`sim init --add-missing DIR` brings the sample")
    return Finding("ok", "bars", ", ".join(ranges))


def check_cache(workspace: Workspace) -> Finding:
    from simulator.llm.cache import AnswerCache

    try:
        with AnswerCache(workspace.cache) as answers:
            stats = answers.stats()
    except SimError as error:
        return Finding("broken", "LLM cache", error.found, error.mend or "")
    if stats.corrupt:
        return Finding("broken", "LLM cache", f"{stats.corrupt} corrupt entries", "`sim cache verify --repair`")
    return Finding("ok", "LLM cache", f"{stats.entries} entries, {stats.cost_usd:.2f} USD paid for them")


def check_store(workspace: Workspace) -> Finding:
    """Name the database of runs, meetings and trades, and whether it can be read."""
    from simulator.store.database import open_store

    try:
        with open_store(workspace) as store:
            status = store.status()
    except SimError as error:
        where = f" ({error.where})" if error.where else ""
        return Finding("broken", "store", f"{error.found}{where}", error.mend or "")
    if status.revision is None:
        return Finding("ok", "store", f"{status.url}, made by the first run")
    if status.revision != status.head:
        return Finding("broken", "store", f"{status.url} is at revision {status.revision}", "`sim db upgrade`")
    return Finding("ok", "store", f"{status.url}, {status.rows['runs']} results of runs")


def check_write_access(folder: Path) -> Finding:
    fault = _try_writing(folder)
    if fault:
        return Finding(
            "broken", "write access", f"{folder}: {fault}", "free some space, `chmod u+w`, or choose --workspace"
        )
    return Finding("ok", "write access", str(folder))


def _try_writing(folder: Path) -> str:
    """Return why no file can be written in `folder`, or in the nearest folder above that exists; empty if one can."""
    while not os.path.lexists(folder):
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(4096))
            probe.flush()
    except OSError as error:
        return os.strerror(error.errno).lower() if error.errno else str(error)
    return ""
