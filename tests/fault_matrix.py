"""Page of faults: read off the marks of the tests that try them. `python tests/fault_matrix.py` writes docs/faults.md.

    @pytest.mark.fault("answers", "a draft in <think> fits, the last answer does not", "the last answer is asked about")

A mark stands at a test, or at a parameter of one (`pytest.param(…, marks=…)`); its three words are written out, because
they are read without running anything. `since=` is the version from which on it holds; without it, the next one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "faults.md"
NEXT_VERSION = "0.2"
SECTIONS = {
    "answers": "What models write",
    "money": "Money and keys",
    "services": "Services and the wire",
    "disk": "Evidence, files of ours, kills",
    "machine": "Machines and clocks",
    "bars": "Bars as people have them",
    "returns": "Returns and trades as people have them",
    "python": "Python and the command line",
}
HEAD = """# Faults

Each line is a kind of fault, what the simulator does about it, and the tests that try it. Made from the tests by
`python tests/fault_matrix.py`; a test holds this page and the tests together. The wire faults can be rehearsed:
`python -m simulator.llm.fake_service --fault NAME[,…]`.
"""


@dataclass(frozen=True, order=True)
class Fault:
    section: str
    kind: str
    outcome: str
    since: str
    test: str


def read_marks(path: Path) -> Iterator[Fault]:
    """Each `pytest.mark.fault(section, kind, outcome, since=…)` of a file; ValueError where one is not written out."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault"):
            continue
        section, kind, outcome = map(ast.literal_eval, node.args)
        since = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords}.get("since", NEXT_VERSION)
        if section not in SECTIONS:
            raise ValueError(f"{path}:{node.lineno}: {section!r} is none of {', '.join(SECTIONS)}")
        yield Fault(section, kind, outcome, since, path.relative_to(TESTS).as_posix())


def render_page(faults: list[Fault]) -> str:
    parts = [HEAD]
    for section, title in SECTIONS.items():
        rows = {(one.kind, one.outcome, one.since): [] for one in faults if one.section == section}
        for one in faults:
            if one.section == section and one.test not in rows[one.kind, one.outcome, one.since]:
                rows[one.kind, one.outcome, one.since].append(one.test)
        if rows:
            cells = [
                " | ".join(
                    ("", _cell(kind), _cell(outcome), since, ", ".join(f"`{test}`" for test in tests), "")
                ).strip()
                for (kind, outcome, since), tests in sorted(rows.items())
            ]
            parts.append(
                "\n".join(
                    (f"## {title}\n", "| fault | what happens | since | tried in |", "|---|---|---|---|", *cells, "")
                )
            )
    return "\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def collect_faults() -> list[Fault]:
    return sorted(fault for path in sorted(TESTS.rglob("test_*.py")) for fault in read_marks(path))


if __name__ == "__main__":
    PAGE.write_text(render_page(collect_faults()), encoding="utf-8")
    print(PAGE)
