"""Lines on stderr that say what happened to which input, and the progress bar below them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from pyfd._core import progress
from pyfd._core.warned import collected

if TYPE_CHECKING:
    from tqdm import tqdm

_Thing = TypeVar("_Thing")


class RefusedError(Exception):
    """An input that a command cannot process; the text says why."""


def printable(text: str) -> str:
    """Return the text with everything that could control a terminal as backslash escapes."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def reason(error: Exception) -> str:
    """Return an error's message, without Python's additions."""
    if isinstance(error, MemoryError):
        return str(error) or "not enough memory"
    return getattr(error, "strerror", None) or str(error)


@contextmanager
def libraries() -> Iterator[None]:
    """Turn a missing library into an error of the command."""
    try:
        yield
    except ImportError as error:
        raise click.ClickException(str(error)) from error


class Outcome(NamedTuple):
    """What there is to say about an input that was processed elsewhere or in a thread."""

    notes: list[tuple[str, str]]
    refused: int


class Messages:
    """The lines that a command writes about its inputs, one for each that it refuses.

    Attributes:
        refused: The number of inputs that were refused.
    """

    def __init__(self) -> None:
        self.refused = 0
        self._skipped_links = 0
        self._bar: tqdm[Any] | None = None

    def note(self, name: str, text: str) -> None:
        """Write a line about an input to stderr, with its name once."""
        line = " ".join(text.removeprefix(f"{name}: ").split())
        self.write(f"pyfd: {printable(name)}: {printable(line)}", err=True)

    def refuse(self, name: str, text: str) -> None:
        """Write why an input is refused, and count it."""
        self.refused += 1
        self.note(name, text)

    def skip_link(self, name: str, text: str, *, followed: bool) -> None:
        """Write why a linked folder is left out; count it if links are not followed at all."""
        self._skipped_links += not followed
        self.note(name, text)

    def tell(self, outcome: Outcome) -> None:
        """Write what there is to say about an input."""
        for note in outcome.notes:
            self.note(*note)
        self.refused += outcome.refused

    def write(self, line: str, *, err: bool = False) -> None:
        """Write a line to stdout or stderr, above the progress bar if one is shown."""
        if self._bar is None:
            click.echo(line, err=err)
        else:
            self._bar.write(line, file=sys.stderr if err else sys.stdout)

    @contextmanager
    def watching(self, name: str) -> Iterator[None]:
        """Refuse the input if the block raises an error; note the warnings that it gives."""
        with collected() as caught:
            try:
                yield
            except BrokenPipeError:  # the reader of our stdout has left; the input is not to blame
                raise
            except (RefusedError, ValueError, OSError, MemoryError) as error:
                self.refuse(name, reason(error))
            else:
                for warning in caught:
                    self.note(name, str(warning))

    def progress(
        self, things: Iterable[_Thing], count: int, *, unit: str = "file", leave: bool = True
    ) -> Iterator[_Thing]:
        """Yield the things, with a progress bar if there are several and stderr is a terminal.

        Args:
            things: The things to iterate over.
            count: Their number.
            unit: What the bar calls one of them.
            leave: Whether the bar stays when the last one is done.
        """
        if count < 2 or not sys.stderr.isatty():
            yield from things
            return
        with progress.bar(things, total=count, unit=unit, leave=leave) as self._bar:
            try:
                yield from self._bar
            finally:
                self._bar = None

    def finish(self) -> None:
        """Say how many linked folders were skipped; exit with code 1 if an input was refused."""
        if count := self._skipped_links:
            folders = "1 linked folder was" if count == 1 else f"{count} linked folders were"
            self.write(f"pyfd: {folders} skipped; --follow-links takes them", err=True)
        if self.refused:
            click.get_current_context().exit(1)


class KeptMessages(Messages):
    """Messages about one input that are kept, to be written when its turn has come."""

    def __init__(self) -> None:
        super().__init__()
        self._notes: list[tuple[str, str]] = []

    def note(self, name: str, text: str) -> None:
        """Keep a line about an input."""
        self._notes.append((name, text))

    def outcome(self) -> Outcome:
        """Return what was kept."""
        return Outcome(self._notes, self.refused)
