"""`sim doctor`: check what a run needs."""

from __future__ import annotations

import json

import click

from simulator.cli.options import AS_JSON
from simulator.printing import say


@click.command()
@AS_JSON
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check what a run needs; every line that is broken says what mends it. Exit code 1 when one is."""
    from simulator.cli.doctor_checks import examine

    findings = examine(ctx.find_root().params["workspace"])
    broken = any(finding.state == "broken" for finding in findings)
    if as_json:
        say(json.dumps({"ok": not broken, "findings": [finding._asdict() for finding in findings]}))
    for finding in [] if as_json else findings:
        mend = f"; {finding.mend}" if finding.mend else ""
        say(f"{finding.state:<8}{finding.what:<16}{finding.found}{mend}")
    ctx.exit(1 if broken else 0)
