"""What the drop-in reports to `pyfd exec` about a program and all that it starts."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

# The variable that names the folder of the pipes
REPORT = "PYFD_REPORT"

# Each is the name of a pipe. The drop-in writes a text into it, once in the life of a process.
LOADED, DECODED, ENCODED, REFUSED = _EVENTS = ("loaded", "decoded", "encoded", "refused")

_LONGEST = 4096


class Report:
    """The named pipes in which the drop-in of any process leaves texts."""

    def __init__(self, folder: Path) -> None:
        """Make the pipes, and open them, so that a text stays there until it is read."""
        self._pipes: dict[str, int] = {}
        for event in _EVENTS:
            os.mkfifo(folder / event, 0o600)
            self._pipes[event] = os.open(folder / event, os.O_RDONLY | os.O_NONBLOCK)

    def read(self) -> dict[str, str]:
        """Return the texts of the events that have happened."""
        events = {}
        for event, pipe in self._pipes.items():
            try:
                text = os.read(pipe, _LONGEST)
            except BlockingIOError:  # somebody has it open, but has not written yet
                text = b""
            os.close(pipe)
            if text:
                events[event] = text.decode("utf-8", "replace")
        return events


def pass_on(events: Mapping[str, str]) -> None:
    """Report the events to the `pyfd exec` that has started this one, if there is one."""
    for event, text in events.items():
        try:
            pipe = os.open(
                Path(os.environ[REPORT]) / event, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW
            )
        except (KeyError, OSError):
            return
        try:
            if stat.S_ISFIFO(os.fstat(pipe).st_mode):
                os.write(pipe, text.encode())
        except OSError:  # it is full, so it has been told
            pass
        finally:
            os.close(pipe)


def missing(events: Collection[str], wanted: Collection[str]) -> str | None:
    """Say that what was wanted has not happened, or return None if it has.

    Args:
        events: What has happened. An image that was refused is taken as one that was decoded.
        wanted: `DECODED`, `ENCODED` or both.
    """
    words = {DECODED: "decoded", ENCODED: "written"}
    happened = {*events, DECODED} if REFUSED in events else {*events}
    lacking = " or ".join(words[event] for event in wanted if event not in happened)
    if not lacking:
        return None
    if LOADED not in events:
        return (
            f"has not loaded pyfd's libjpeg; if it has {lacking} a JPEG file, then without the "
            "tables: docs/pipelines/drop-in.md says which programs cannot load it"
        )
    return (
        f"has not {lacking} a JPEG file with pyfd's libjpeg; if it has {lacking} one, then with "
        "a library of its own and without the tables: see docs/pipelines/drop-in.md"
    )
