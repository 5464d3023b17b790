"""The files that a command reads and writes: which of its inputs goes where."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

import click

from pyfd._core.files import JPEG_SUFFIXES, is_stream
from pyfd.cli.journal import Job
from pyfd.cli.messages import Messages, printable, reason
from pyfd.cli.options import table_files
from pyfd.cli.pictures import SUFFIXES

#: The name that stands for standard input or standard output.
STDIO = "-"


# ---- files to read --------------------------------------------------------


def collect(
    inputs: Sequence[str], suffixes: Set[str], messages: Messages, skip: str | None = None
) -> list[tuple[str, Path]]:
    """Return the files to read, directories searched, each with its place in the output.

    Args:
        inputs: Files, which are taken whatever their suffix, and directories.
        suffixes: The suffixes to look for in directories: lower case, with the dot.
        messages: The messages in which directories that cannot be searched are refused.
        skip: A directory to leave out: the output.
    """
    found: list[tuple[str, Path]] = []
    for source in inputs:
        if not is_directory(source):
            found.append((source, Path(Path(source).name)))
            continue
        refused = messages.refused
        files = list(_search(source, suffixes, messages, skip))
        if not files and messages.refused == refused:
            messages.refuse(source, f"no files in it that end in {', '.join(sorted(suffixes))}")
        found += [(str(file), file.relative_to(source)) for file in files]
    return found


def _search(top: str, suffixes: Set[str], messages: Messages, skip: str | None) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        messages.refuse(str(error.filename), reason(error))

    avoid = None if skip is None else _identity(skip)
    for folder, folders, names in os.walk(top, onerror=refuse):
        folders[:] = sorted(
            f for f in folders if avoid is None or _identity(Path(folder, f)) != avoid
        )
        for path in (Path(folder, name) for name in sorted(names)):
            if path.suffix.lower() not in suffixes:
                continue
            status = _stat(path)
            if status is not None and not stat.S_ISREG(status.st_mode):  # a pipe would never end
                messages.refuse(str(path), "not a regular file")
            else:
                yield path


def _stat(path: str | Path | int) -> os.stat_result | None:
    """Return the status of a path; None if nothing is there, or access is denied."""
    try:
        return os.stat(path)  # noqa: PTH116 (takes file descriptors too)
    except OSError:
        return None


def is_directory(name: str) -> bool:
    """Return whether an input or output is a directory; "-" never is."""
    status = None if name == STDIO else _stat(name)
    return status is not None and stat.S_ISDIR(status.st_mode)


def is_pipe(target: str) -> bool:
    """Return whether a target's name says nothing about its form: a pipe, a device or "-"."""
    try:
        return target == STDIO or (
            not Path(target).suffix and not is_directory(target or ".") and is_stream(target)
        )
    except OSError:  # writing will say why
        return False


def _identity(path: str | Path | int) -> tuple[int, int] | None:
    """Return the device and inode of a file or directory; None if there is neither."""
    status = _stat(path)
    if status is None or not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return None
    return status.st_dev, status.st_ino


# ---- files to write -------------------------------------------------------


def plan(
    inputs: Sequence[str],
    output: str | None,
    messages: Messages,
    *,
    suffixes: Set[str],
    suffix: str,
) -> list[Job]:
    """Return the jobs: which file is read and which is written from it.

    Args:
        inputs: Files and directories, or "-" for standard input.
        output: A file, a directory or "-". None means "-" if the input is "-".
        messages: The messages in which directories that cannot be searched are refused.
        suffixes: The suffixes to look for in directories.
        suffix: The suffix of the files in an output directory.

    Raises:
        click.UsageError: The output does not fit the inputs, or would overwrite one.
    """
    if not output:
        if output == "" or list(inputs) != [STDIO]:
            raise click.UsageError("Say where to write: -o FILE, -o DIRECTORY or -o - (stdout).")
        output = STDIO
    if goes_to_directory(inputs, output):
        jobs = _plan_directory(inputs, output, messages, suffixes, suffix)
    else:
        jobs = [Job(inputs[0], output)]
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


def _plan_directory(
    inputs: Sequence[str], output: str, messages: Messages, suffixes: Set[str], suffix: str
) -> list[Job]:
    if STDIO in inputs:
        raise click.UsageError("Standard input must be the only input, for a file or for stdout.")
    if output == STDIO:
        raise click.UsageError(
            "Several inputs or a directory need an output directory: -o DIRECTORY."
        )
    if _stat(output) is not None and not is_directory(output):
        raise click.UsageError(f"{printable(output)} is not a directory.")
    identity = _identity(output)
    if identity is not None and identity in map(_identity, inputs):
        raise click.UsageError(f"{printable(output)} is both input and output.")
    targets: dict[Path, str] = {}
    for source, name in collect(inputs, suffixes, messages, skip=output):
        target = Path(output, _renamed(name, suffix))
        if target in targets:
            messages.refuse(source, f"{targets[target]} is already written to {target}")
        else:
            targets[target] = source
    return [Job(source, str(target), in_directory=True) for target, source in targets.items()]


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
    read = {_identity(0 if name == STDIO else name): name for name in [*table_files(), *sources]}
    for target in targets:
        identity = _identity(1 if target == STDIO else target)
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
