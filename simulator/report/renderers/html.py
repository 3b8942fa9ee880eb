"""Pages from templates: one head, one style sheet, the same filters and macros, everything escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.printing import printable
from simulator.report.table import Table

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from simulator.evidence.reader import Evidence

TEMPLATES = Path(__file__).parents[1] / "templates"
SHELF = "../index.html"
"""Address of the table of all runs, from a folder among them."""


def render_page(template: str, **content: object) -> str:
    """Return the page that `template` makes of `content`: one file, no network, decided by its content alone."""
    return printable(_environment().get_template(template).render(**content))


def render_table(table: Table) -> str:
    """Return the HTML of a table and of its footnotes, to be put into a page with the shared style sheet."""
    return printable(str(_environment().get_template("macros.html").module.table(table)))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class PageLink:
    """Page in the list of other pages, without an address where it is the current one; `listed` stand in its menu."""

    name: str
    address: str = ""
    listed: tuple[PageLink, ...] = ()


@dataclass(frozen=True)
class Section:
    """A part of a page: the template ID.html of its kind, its name in the navigation, and when the page has it."""

    id: str
    name: str
    shown: Callable[[Any], object] = lambda _: True


def list_pages(current: str, beside: Evidence | None = None) -> tuple[PageLink, ...]:
    """Return the shelf, the pages that lie `beside` the current one in a run's folder, and the run's comparisons.

    Every run is put on a shelf, so there is one wherever the folder has not been taken away from its place.
    """
    there = {
        "Report": current != "Comparison",
        "Ablation": beside is not None and beside.ablation is not None,
        "Checks": beside is not None and beside.checks is not None,
    } | {current: True}
    pages = [
        PageLink(name, "" if name == current else f"{name.lower()}.html") for name, shown in there.items() if shown
    ]
    compared = [
        PageLink(f"with {' and '.join(one['others'])}", f"../{one['folder']}/comparison.html")
        for one in (beside.comparisons if beside is not None else ())
    ]
    if len(compared) > 1:
        pages.append(PageLink("Comparisons", listed=tuple(compared)))
    else:
        pages += [PageLink("Comparison", one.address) for one in compared]
    return (PageLink("All runs", SHELF), *pages)


def read_template(name: str) -> str:
    """Return the text of a file among the templates."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


@cache
def join_scripts(*names: str) -> tuple[Markup, str]:
    """Return files among the templates as a page's one script, and the sha256 by which its policy admits it."""
    from markupsafe import Markup

    script = "\n".join(('"use strict";', "(() => {", *(read_template(name).rstrip() for name in names), "})();", ""))
    return Markup(script), base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _read_style(name: str) -> Markup:
    from markupsafe import Markup

    return Markup(read_template(name))


def page_filters() -> dict[str, Callable[..., object]]:
    """Return the filters that the macros of pages use."""
    from markupsafe import Markup

    return {
        "drawn": Markup,
        "breakable": _breakable,
        "coded": _mark_code,
        "ranged": lambda text: str(text).replace(" to ", " to\u00a0"),  # an interval's second end keeps its "to"
    }


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from simulator.template_code import TemplateCode

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=TemplateCode(__file__),
    )
    environment.filters |= page_filters()
    environment.globals["style"] = _read_style
    return environment


def _breakable(name: object) -> Markup:
    """Return a name that may go on in the next line behind an underscore or a dot between letters."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"_|(?<=[A-Za-z_])\.|\.(?=[A-Za-z_])", r"\g<0><wbr>", str(escape(name))))


def _mark_code(sentence: object) -> Markup:
    """Return a sentence in which what stands between backticks is code, and no date or percentage is broken."""
    from markupsafe import Markup, escape

    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence)))
    text = re.sub(r"\b\d{4}-\d\d-\d\d\b", r'<span class="date">\g<0></span>', text)
    return Markup(re.sub(r"(?<=\d) %", "\u00a0%", text))
