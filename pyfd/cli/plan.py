"""The files that a command reads and writes: which of its inputs goes where."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import NamedTuple

import click

from pyfd._core.files import JPEG_SUFFIXES
from pyfd._core.search import identity_of, search, status_of
from pyfd._core.writing import is_stream
from pyfd.cli.journal import Job
from pyfd.cli.messages import Messages, printable
from pyfd.cli.options import table_files
from pyfd.cli.pictures import SUFFIXES

#: The name that stands for standard input or standard output.
STDIO = "-"


# ---- files to read --------------------------------------------------------


class Input(NamedTuple):
    """One file to read."""

    name: str
    place: Path
    """Its place in an output directory."""
    regular: bool
    """Whether it must be a regular file when it is read: it was one when it was found.
    Only pipes and devices that the user has named need not be."""


def collect(
    inputs: Sequence[str],
    suffixes: Set[str],
    messages: Messages,
    *,
    follow_links: bool,
    skip: str | None = None,
) -> list[Input]:
    """Return the files to read, directories searched.

    Args:
        inputs: Files, which are taken whatever their suffix, and directories.
        suffixes: The suffixes to look for in directories: lower case, with the dot.
        messages: The messages in which directories that cannot be searched are refused.
        follow_links: Whether linked directories are searched too.
        skip: A directory to leave out: the output.
    """
    found: list[Input] = []
    avoid = None if skip is None else identity_of(skip)
    for name in inputs:
        if not is_directory(name):
            found.append(Input(name, Path(Path(name).name), _is_regular(name)))
            continue
        refused, before = messages.refused, len(found)
        top = str(Path(name))
        for item in search(
            top,
            lambda file: Path(file).suffix.lower() in suffixes,
            follow_links=follow_links,
            skip=avoid,
        ):
            if isinstance(item, str):
                found.append(Input(item, Path(item).relative_to(top), regular=True))
            elif item.is_link:
                messages.skip_link(item.path, item.reason, followed=follow_links)
            else:
                messages.refuse(item.path, item.reason)
        if len(found) == before and messages.refused == refused:
            messages.refuse(name, f"no files in it that end in {', '.join(sorted(suffixes))}")
    return found


def _is_regular(name: str) -> bool:
    """Return whether a file that the user named must be regular: always, unless it is not now."""
    if name == STDIO:
        return False
    status = status_of(name)
    return status is None or stat.S_ISREG(status.st_mode)


def is_directory(name: str) -> bool:
    """Return whether an input or output is a directory; "-" never is."""
    status = None if name == STDIO else status_of(name)
    return status is not None and stat.S_ISDIR(status.st_mode)


def is_pipe(target: str) -> bool:
    """Return whether a target's name says nothing about its form: a pipe, a device or "-"."""
    try:
        return target == STDIO or (
            not Path(target).suffix and not is_directory(target or ".") and is_stream(target)
        )
    except OSError:  # writing will say why
        return False


# ---- files to write -------------------------------------------------------


def plan(
    inputs: Sequence[str],
    output: str | None,
    messages: Messages,
    *,
    suffixes: Set[str],
    suffix: str,
    follow_links: bool,
) -> list[Job]:
    """Return the jobs: which file is read and which is written from it.

    Args:
        inputs: Files and directories, or "-" for standard input.
        output: A file, a directory or "-". None means "-" if the input is "-".
        messages: The messages in which directories that cannot be searched are refused.
        suffixes: The suffixes to look for in directories.
        suffix: The suffix of the files in an output directory.
        follow_links: Whether linked directories are searched too.

    Raises:
        click.UsageError: The output does not fit the inputs, or would overwrite one.
    """
    if not output:
        if output == "" or list(inputs) != [STDIO]:
            raise click.UsageError("Say where to write: -o FILE, -o DIRECTORY or -o - (stdout).")
        output = STDIO
    if goes_to_directory(inputs, output):
        _check_directory(inputs, output)
        found = collect(inputs, suffixes, messages, follow_links=follow_links, skip=output)
        jobs = list(_placed(found, output, suffix, messages))
    else:
        jobs = [Job(inputs[0], output, regular=_is_regular(inputs[0]))]
    check_overwriting([job.source for job in jobs], [job.target for job in jobs])
    if output == STDIO and sys.stdout.isatty():
        raise click.UsageError(
            "No image is written to a terminal: redirect stdout, or use -o FILE."
        )
    if suffix in JPEG_SUFFIXES:
        _check_jpeg_suffix(jobs)
    return jobs


def goes_to_directory(inputs: Sequence[str], output: str) -> bool:
    """Return whether the output is a directory, or has to become one."""
    several = len(inputs) > 1 or any(map(is_directory, inputs))
    return several or output.endswith(os.sep) or is_directory(output)


def _check_directory(inputs: Sequence[str], output: str) -> None:
    """Refuse an output that cannot be a directory for these inputs."""
    if STDIO in inputs:
        raise click.UsageError("Standard input must be the only input, for a file or for stdout.")
    if output == STDIO:
        raise click.UsageError(
            "Several inputs or a directory need an output directory: -o DIRECTORY."
        )
    if status_of(output) is not None and not is_directory(output):
        raise click.UsageError(f"{printable(output)} is not a directory.")
    identity = identity_of(output)
    if identity is not None and identity in map(identity_of, inputs):
        raise click.UsageError(f"{printable(output)} is both input and output.")


def _placed(found: Sequence[Input], output: str, suffix: str, messages: Messages) -> Iterator[Job]:
    """Yield the jobs of an output directory; refuse an input whose place is taken."""
    sources: dict[Path, str] = {}
    for name, place, regular in found:
        target = Path(output, _renamed(place, suffix))
        if target in sources:
            messages.refuse(name, f"{sources[target]} is already written to {target}")
        else:
            sources[target] = name
            yield Job(name, str(target), regular=regular, in_directory=True)


def _renamed(name: Path, suffix: str) -> Path:
    """Return the name with the suffix, or unchanged if its own suffix means the same."""
    same = JPEG_SUFFIXES if suffix in JPEG_SUFFIXES else {suffix}
    return name if name.suffix.lower() in same else name.with_suffix(suffix)


def check_overwriting(sources: Sequence[str], targets: Sequence[str]) -> None:
    """Refuse to write onto a file that the command reads, whatever the two names are.

    Args:
        sources: The inputs. Table files that options name are added to them.
        targets: The outputs.

    Raises:
        click.UsageError: A target is a source.
    """
    read = {identity_of(0 if name == STDIO else name): name for name in [*table_files(), *sources]}
    for target in targets:
        identity = identity_of(1 if target == STDIO else target)
        if identity is not None and identity in read:
            raise click.UsageError(
                f"{printable(target)} would overwrite the input {printable(read[identity])}."
            )


def _check_jpeg_suffix(jobs: Sequence[Job]) -> None:
    """Refuse to write a JPEG file under another format's suffix."""
    for job in jobs:
        if Path(job.target).suffix.lower() in SUFFIXES - JPEG_SUFFIXES:
            target = printable(job.target)
            raise click.UsageError(f"The output is a JPEG file: call it .jpg, not {target}.")
