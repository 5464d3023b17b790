"""What the commands share: which files to read, where to write, what to say.

A job reads one file and writes one file. An input that is refused costs one
line on stderr, and the others are still done.
"""

from __future__ import annotations

import os
import stat
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from tqdm import tqdm

from pyfd._core.files import JPEG_SUFFIXES as JPEG_SUFFIXES
from pyfd._core.files import read_source, write_atomically
from pyfd.cli.journal import Job, Journal, Stamp, stamp
from pyfd.limits import Limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_Thing = TypeVar("_Thing")

#: In place of a file: standard input or standard output.
STDIO = "-"


class RefusedError(Exception):
    """An input that cannot be done; the text says why."""


def printable(text: str) -> str:
    """The text with everything that could steer a terminal as backslash escapes."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


# ---- what happened --------------------------------------------------------


class Report:
    """Says on stderr what happened to which input, a line each, and counts the refused."""

    def __init__(self) -> None:
        self.refused = 0

    def note(self, name: str, text: str) -> None:
        """Say something about an input."""
        line = " ".join(text.split())
        tqdm.write(f"pyfd: {printable(name)}: {printable(line)}", file=sys.stderr)

    def refuse(self, name: str, reason: str) -> None:
        """Say why an input is not done."""
        self.refused += 1
        self.note(name, reason)

    @contextmanager
    def watching(self, name: str) -> Iterator[None]:
        """Turn what goes wrong with an input into its line, and warnings into notes."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            try:
                yield
            except BrokenPipeError:  # the reader of our stdout left: no input's fault
                raise
            except (RefusedError, ValueError, OSError, MemoryError) as error:
                self.refuse(name, _reason(error))
            else:
                for warning in caught:
                    self.note(name, str(warning.message))

    def finish(self) -> None:
        """Leave with exit code 1 if an input was refused."""
        if self.refused:
            click.get_current_context().exit(1)


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return str(error) or "not enough memory"
    return getattr(error, "strerror", None) or str(error)


# ---- which files ----------------------------------------------------------


def collect(
    inputs: Sequence[str], suffixes: Set[str], report: Report, skip: str | None = None
) -> list[tuple[str, Path]]:
    """The files meant, directories searched, and each one's place in the output.

    Args:
        inputs: Files, taken whatever they are called, and directories.
        suffixes: What to take from a directory: lower case, with the dot.
        report: Where to say what could not be searched.
        skip: A directory to leave alone: the output.
    """
    found: list[tuple[str, Path]] = []
    for source in inputs:
        if not is_directory(source):
            found.append((source, Path(Path(source).name)))
            continue
        refused = report.refused
        files = list(_search(source, suffixes, report, skip))
        if not files and report.refused == refused:
            report.refuse(source, f"no files in it that end in {', '.join(sorted(suffixes))}")
        found += [(str(file), file.relative_to(source)) for file in files]
    return found


def _search(top: str, suffixes: Set[str], report: Report, skip: str | None) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        report.refuse(str(error.filename), _reason(error))

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
                report.refuse(str(path), "not a regular file")
            else:
                yield path


def _stat(path: str | Path | int) -> os.stat_result | None:
    """What is there; None if nothing is, or nothing that we may see."""
    try:
        return os.stat(path)  # noqa: PTH116 (takes file descriptors too)
    except OSError:
        return None


def is_directory(name: str) -> bool:
    status = None if name == STDIO else _stat(name)
    return status is not None and stat.S_ISDIR(status.st_mode)


def _identity(path: str | Path | int) -> tuple[int, int] | None:
    """What tells one file or directory from every other; None for devices and what is not there."""
    status = _stat(path)
    if status is None or not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return None
    return status.st_dev, status.st_ino


# ---- where to write -------------------------------------------------------


def plan(
    inputs: Sequence[str],
    output: str | None,
    report: Report,
    *,
    suffixes: Set[str],
    suffix: str,
) -> list[Job]:
    """Which file goes where; `click.UsageError` for what makes no sense.

    Args:
        inputs: Files and directories, or "-" for standard input.
        output: A file, a directory or "-"; None is "-" if the input is.
        report: Where to say what could not be searched.
        suffixes: What to take from a directory.
        suffix: What the files in an output directory end in.
    """
    if not output:
        if output == "" or list(inputs) != [STDIO]:
            raise click.UsageError("Say where to write: -o FILE, -o DIRECTORY or -o - (stdout).")
        output = STDIO
    if goes_to_directory(inputs, output):
        jobs = _plan_directory(inputs, output, report, suffixes, suffix)
    else:
        jobs = [Job(inputs[0], output)]
    _check_overwriting(jobs)
    if output == STDIO and sys.stdout.isatty():
        raise click.UsageError("An image on a terminal: redirect stdout, or use -o FILE.")
    return jobs


def goes_to_directory(inputs: Sequence[str], output: str) -> bool:
    """Is the output a directory: by its name, or because it has to be one?"""
    several = len(inputs) > 1 or any(map(is_directory, inputs))
    return several or output.endswith(os.sep) or is_directory(output)


def _plan_directory(
    inputs: Sequence[str], output: str, report: Report, suffixes: Set[str], suffix: str
) -> list[Job]:
    if STDIO in inputs:
        raise click.UsageError("Standard input goes to a file or to stdout, and goes alone.")
    if output == STDIO:
        raise click.UsageError("Several inputs, or a directory, go to a directory: -o DIRECTORY.")
    if _stat(output) is not None and not is_directory(output):
        raise click.UsageError(f"{printable(output)} is not a directory.")
    identity = _identity(output)
    if identity is not None and identity in map(_identity, inputs):
        raise click.UsageError(f"{printable(output)} is both input and output.")
    targets: dict[Path, str] = {}
    for source, name in collect(inputs, suffixes, report, skip=output):
        target = Path(output, _renamed(name, suffix))
        if target in targets:
            report.refuse(source, f"{targets[target]} goes to {target} already")
        else:
            targets[target] = source
    return [Job(source, str(target)) for target, source in targets.items()]


def _renamed(name: Path, suffix: str) -> Path:
    """The name with the suffix, or as it is if its own says the same."""
    same = JPEG_SUFFIXES if suffix in JPEG_SUFFIXES else {suffix}
    return name if name.suffix.lower() in same else name.with_suffix(suffix)


def _check_overwriting(jobs: Sequence[Job]) -> None:
    sources = {_identity(0 if job.source == STDIO else job.source): job.source for job in jobs}
    for job in jobs:
        identity = None if job.target == STDIO else _identity(job.target)
        if identity is not None and identity in sources:
            raise click.UsageError(
                f"{printable(job.target)} would overwrite the input {printable(sources[identity])}."
            )


# ---- doing it -------------------------------------------------------------


def read(source: str, limits: Limits) -> Any:
    """A file's bytes, or standard input's."""
    return read_source(sys.stdin.buffer if source == STDIO else source, limits)


def run(
    jobs: Sequence[Job],
    work: Callable[[Any], bytes],
    limits: Limits,
    report: Report,
    journal: Journal | None = None,
) -> None:
    """Do the jobs one by one; `work` makes the file to write from the file that was read."""
    for job in progress(jobs, len(jobs)):
        with report.watching(job.source):
            before = do(job, work, limits)
            if journal is not None:
                journal.add(job, before)


def progress(things: Iterable[_Thing], count: int) -> Iterable[_Thing]:
    """The things, with a bar on terminals."""
    bar: tqdm[_Thing] = tqdm(things, total=count, unit="file", disable=None if count > 1 else True)
    return bar


def do(job: Job, work: Callable[[Any], bytes], limits: Limits, folder: str = "") -> Stamp | None:
    """Do one job; names are meant from the folder. The source's stamp before it was read."""
    source = os.path.join(folder, job.source)  # noqa: PTH118 (of "" and "-" it makes "-")
    before = stamp(source)
    write(job.target, work(read(source, limits)), folder)
    return before


def write(target: str, data: bytes, folder: str = "") -> None:
    """Write a file, whole or not at all, or standard output; `RefusedError` says why not."""
    if target == STDIO:
        _write_stdout(data)
        return
    path = Path(folder, target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            path.write_bytes(data)  # a device or a pipe, which a new file must not replace
        else:
            write_atomically(path, data)
    except OSError as error:
        raise RefusedError(f"cannot write {target}: {error.strerror}") from error


def _write_stdout(data: bytes) -> None:
    left = memoryview(data)
    while left:  # under PYTHONUNBUFFERED a write may be a part of one
        left = left[sys.stdout.buffer.write(left) :]
    sys.stdout.buffer.flush()


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Say which file it was that could not be written; make its directory first."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise RefusedError(f"cannot write {path}: {error.strerror}") from error


def draw(figure: Figure, path: str) -> None:
    """Write a picture."""
    from pyfd import plots

    with writing(path):
        plots.save(figure, path)
