"""Sphinx's configuration: `make docs` builds the site with it."""

from __future__ import annotations

import os
import re
import typing
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import GoogleDocstring

import pyfd

DOCS = Path(__file__).parent
ROOT = DOCS.parent

# ---- the site ----

project = "pyfd"
author = "the pyfd developers"
version = release = pyfd.__version__
html_title = f"pyfd {release}"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
html_theme = "furo"
html_theme_options = {"footer_icons": []}
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
smartquotes_action = "D"  # dashes alone: "RGB" is a value
copybutton_prompt_text = "$ "
copybutton_exclude = ".linenos, .gp, .go"

# ---- Markdown ----

myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]  # braces in nginx's quoted text

# ---- API pages, from the docstrings ----

# The site builds without these: they are large, and only their names are needed.
autodoc_mock_imports = ["art", "cv2", "foolbox", "ray", "torchvision"]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
default_role = "py:obj"  # `decode` in a docstring becomes a link
nitpicky = True
nitpick_ignore_regex = [
    (r"py:class", r".*"),  # annotations, which mypy checks; no other project's index is fetched
    (r"py:(obj|exc)", r"((numpy|torch|PIL|matplotlib|cv2|ray|art)\..*|Image\.open|DataLoader)"),
    (r"py:obj", r"[a-z]\w*"),  # in a docstring, the name of an argument
]

# ---- pages that lie elsewhere in the repository ----

ELSEWHERE = {
    "index": "README.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
    "reporting": "SECURITY.md",
    "fork": "third_party/libjpeg-turbo/README.md",
}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#]+)")


def show_pages_from_elsewhere(app: Sphinx, page: str, source: list[str]) -> None:
    """Put Markdown files from other folders in the place of the pages that stand for them.

    Links from and to these files are changed so that they hold in the site.
    """
    here = Path(app.srcdir, page).parent
    if page in ELSEWHERE:
        origin = ROOT / ELSEWHERE[page]
        app.env.note_dependency(str(origin))
        source[0] = origin.read_text() + source[0].partition("<!-- site -->")[2]
        base = origin.parent
    else:
        base = here
    pages = {ROOT / name: DOCS / f"{page}.md" for page, name in ELSEWHERE.items()}

    def moved(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(base / link[1]))
        return os.path.relpath(pages.get(target, target), here)

    source[0] = LINK.sub(moved, source[0])


# ---- docstrings ----


def read_docstring(
    _app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Make reStructuredText of a docstring in Google's style.

    The extension napoleon would do the same to attributes, whose docstrings are prose:
    it takes the words before a colon for a type.
    """
    if what not in ("attribute", "property", "data"):
        lines[:] = GoogleDocstring(lines, what=what, name=name, obj=obj, options=options).lines()
    for i, line in enumerate(lines):  # |k| is a number's size, not a substitution
        parts = re.split(r"(``.*?``)", line)
        parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
        lines[i] = "".join(parts)


def find_in_pyfd(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.reference | None:
    """Let the docstrings of all modules name what `pyfd` exports without its module."""
    if node["reftype"] != "obj":
        return None
    target, domain = f"pyfd.{node['reftarget']}", env.domains.python_domain
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, text)


def shorten_defaults(
    _app: Sphinx, _what: str, _name: str, _obj: object, _options: object, call: str, returns: str
) -> tuple[str, str] | None:
    """Show the default limits as `Limits()`."""
    if call is None:
        return None
    return re.sub(r"= (_?DEFAULT_LIMITS|Limits\(.+?\))", "= Limits()", call), returns


def get_type_hints(obj: object, *args: Any, **options: Any) -> dict[str, Any]:
    """Let signatures show annotations as the source has them: `QTablesLike`, and not what it is."""
    if getattr(obj, "__module__", "").startswith("pyfd"):
        return dict(getattr(obj, "__annotations__", {}))
    return evaluated_type_hints(obj, *args, **options)


evaluated_type_hints = typing.get_type_hints
typing.get_type_hints = get_type_hints


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("autodoc-process-signature", shorten_defaults)
    app.connect("missing-reference", find_in_pyfd)
    app.connect("source-read", show_pages_from_elsewhere)
