"""Name under which a terminal's acts stand on record: never one that logs in on the pages."""

from __future__ import annotations

import os
import sys

from simulator.workspace import Workspace


def name_person(workspace: Workspace, by: str | None = None) -> str:
    """Return ``terminal:USER`` of the operating system, ``NAME (terminal:USER)`` where somebody acts for `by`.

    Raises UsageError for a name that has a token: who has one answers on the page, by that.
    """
    from simulator.web.tokens import refuse_claimed

    user = f"terminal:{_read_user()}"
    if not by:
        return user
    refuse_claimed(workspace, by)
    return f"{by} ({user})"


def _read_user() -> str:
    """Return the user this process is of, whatever its environment says."""
    if sys.platform == "win32":
        from getpass import getuser

        return getuser()
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a number without a name, in a container
        return str(os.getuid())
