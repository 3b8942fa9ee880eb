"""Compiled templates, kept as Python keeps compiled modules: beside them, else in the user's cache folder, or nowhere.

template-DIGEST.cpython-311.bin     sha256 ‖ marshalled code; DIGEST is of template, its path, environment and jinja
"""

from __future__ import annotations

import hashlib
import marshal
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket, BytecodeCache

from simulator.errors import SimError
from simulator.files import read_bytes, write_file

MOST = 200
"""Files above which the oldest go: every wording of a prompt leaves one."""


class TemplateCode(BytecodeCache):
    """The code of templates of one environment, which `source`, the file that makes it, tells from others.

    Several processes may share it. What is damaged or cannot be read is compiled again.
    """

    def __init__(self, source: str) -> None:
        self._environment = hashlib.sha256(Path(source).read_bytes() + jinja2.__version__.encode()).hexdigest()

    def load_bytecode(self, bucket: Bucket) -> None:
        for folder in _folders():
            with suppress(OSError, ValueError, EOFError, TypeError):
                content = read_bytes(folder / self._name(bucket))
                if hashlib.sha256(content[32:]).digest() == content[:32]:
                    bucket.code = marshal.loads(content[32:])
                    return

    def dump_bytecode(self, bucket: Bucket) -> None:
        if sys.dont_write_bytecode or bucket.code is None:
            return
        code = marshal.dumps(bucket.code)
        for folder in _folders():
            with suppress(OSError, SimError):
                write_file(folder / self._name(bucket), hashlib.sha256(code).digest() + code, 0o600)
                kept = sorted(folder.glob("template-*.bin"), key=lambda path: path.stat().st_mtime)
                for path in kept[:-MOST]:
                    path.unlink(missing_ok=True)
                return

    def _name(self, bucket: Bucket) -> str:
        digest = hashlib.sha256(f"{self._environment} {bucket.key} {bucket.checksum}".encode()).hexdigest()
        return f"template-{digest[:32]}.{sys.implementation.cache_tag}.bin"


def _folders() -> Iterator[Path]:
    """Folders code may lie in: that of the package's own, then one of the user's that nobody else may write to."""
    yield Path(cache_from_source(__file__)).parent
    with suppress(RuntimeError, OSError):
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "council-simulator"
        found = next(one for one in (folder, *folder.parents) if one.exists()).stat()
        if sys.platform != "win32" and found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o002:
            yield folder
