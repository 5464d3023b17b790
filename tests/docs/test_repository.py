"""Text that would mislead a stranger: documents that are not here, paths of one machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmarks", "csrc", "docs", "examples", "fuzz", "pyfd", "tests", "third_party")
CODE = {".py", ".pyi", ".c", ".h", ".patch", ".toml"}
SUFFIXES = CODE | {".md", ".txt", ".json", ".jsonl", ".svg", ".html"}
#: Documents that commands write, and one of upstream's
ELSEWHERE = {"report.md", "page.md", "LICENSE.md"}


def texts() -> Iterator[tuple[Path, str]]:
    """The repository's own text files but this one, by their paths in it."""
    files = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in FOLDERS:
        files += (ROOT / folder).rglob("*")
    for path in sorted(files):
        if path.suffix in SUFFIXES or path.name == "Makefile":
            place = path.relative_to(ROOT)
            if path != Path(__file__) and place.parts[:2] != ("pyfd", "native"):
                yield place, path.read_text()


def found(pattern: str, within: str = "") -> list[str]:
    """Where the pattern occurs: path:line: match."""
    return [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for path, text in texts()
        if str(path).startswith(within)
        for match in re.finditer(pattern, text)
    ]


@pytest.mark.parametrize(
    "pattern",
    [
        r"\b(SPEC|METHOD|ANCHORS)\b",
        r"(?<![\w.])/(root|home|work|workspace|mnt)/",
        r"pip install\s+['\"]?pyfd(?![\w-])",
    ],
    ids=["documents", "machines", "distribution"],
)
def test_nothing_misleads(pattern):
    assert found(pattern) == []


def test_documents_exist():
    known = ELSEWHERE | {path.name for path in ROOT.glob("*.md")}
    known |= {path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*.md")}
    places = found(r"\b[A-Za-z][\w-]*\.md\b")
    assert places
    assert [place for place in places if place.rpartition(" ")[2] not in known] == []


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_default_folders_lie_in_the_repository(folder):
    ups = found(r"__file__\)(\.resolve\(\))?\.parents\[\d\]", within=f"{folder}/")
    assert ups
    for up in ups:
        path, levels = up.partition(":")[0], int(up[-2])
        assert levels < len(Path(path).parts), up
