"""Report files, served apart from the app: in a sandbox of their own, with the hashes of their own scripts."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from pathlib import Path

from starlette.responses import Response

from simulator.files import read_bytes
from simulator.workspace import Workspace

SCRIPT = re.compile(rb"<script(?:\s[^>]*)?>(.*?)</script\s*>", re.DOTALL | re.IGNORECASE)
MOST = 64 * 1024 * 1024
SHOWN = (".html", ".json", ".csv", ".md", ".txt", ".png", ".svg")


def find_report(reports: Path, name: str) -> Path | None:
    """Return the file `name` within the folder of reports; None for what is not there, hidden, or leads outside."""
    parts = name.split("/")
    if "\0" in name or "\\" in name or any(part in ("", "..") or part.startswith(".") for part in parts):
        return None
    try:
        root, path = reports.resolve(), reports.joinpath(*parts).resolve()
        return path if path.is_relative_to(root) and path.is_file() and path.suffix in SHOWN else None
    except OSError:  # a name too long for any file
        return None


def policy_of(page: bytes) -> str:
    """Return the Content-Security-Policy of a report: nothing but its own scripts and styles, in a sandbox."""
    hashes = {base64.b64encode(hashlib.sha256(one).digest()).decode() for one in SCRIPT.findall(page) if one.strip()}
    scripts = " ".join(f"'sha256-{one}'" for one in sorted(hashes)) or "'none'"
    return (
        "sandbox allow-scripts; default-src 'none'; "
        f"script-src {scripts}; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
    )


def serve_report(path: Path) -> Response:
    """Return a file of a report."""
    content = read_bytes(path, MOST)
    if path.suffix == ".html":
        return serve_page(content)
    kind = mimetypes.guess_type(path.name)[0] or "text/plain"
    return Response(content, media_type=kind, headers={"content-security-policy": "sandbox; default-src 'none'"})


def serve_page(page: bytes) -> Response:
    """Return a page of a report."""
    headers = {"content-security-policy": policy_of(page)}
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


def render_forward(workspace: Workspace, run: str) -> bytes:
    """Return the report of a forward test as of now; nothing is written."""
    from simulator.analysis.forward_facts import read_facts
    from simulator.rehearsal.shadow import decided_days
    from simulator.report.forward_page import render

    return render(read_facts(workspace, run, decided_days)[1])


def list_reports(reports: Path) -> list[str]:
    """Return the pages under the folder of reports, the newest first, as ``FOLDER/page.html``."""
    found = [path for path in reports.glob("*/*.html") if not path.parent.name.startswith(".") and path.is_file()]
    return [path.relative_to(reports).as_posix() for path in sorted(found, key=lambda it: -it.stat().st_mtime)]
