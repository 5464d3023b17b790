"""The entry point of the command line: `pyfd`, or `python -m pyfd`."""

from __future__ import annotations

import io
import os
import signal
import sys
from types import FrameType

from pyfd._core.extras import missing

_NEEDED = ("PIL", "click", "tqdm")


def _terminate(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Exit through an exception, so that unfinished files are removed, as on Ctrl-C."""
    sys.exit(128 + signum)


def _replace_closed_files() -> None:
    """Put something in the place of standard files that the caller has closed.

    Else the next file that is opened gets its number, and with it whatever a library writes to
    stderr. To use stdin or stdout stays an error, and what goes to stderr is lost.
    """
    for name, mode, flags in (
        ("stdin", "r", os.O_WRONLY),
        ("stdout", "w", os.O_RDONLY),
        ("stderr", "w", os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, flags)  # the lowest that is free
            setattr(sys, name, open(descriptor, mode))  # noqa: PTH123, SIM115


def _drop_what_cannot_be_written() -> None:
    """Forget text that stdout has refused, which Python would try to write once more at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115


def main() -> None:
    """Run the command line and exit with its code."""
    _replace_closed_files()
    for name in ("SIGTERM", "SIGHUP"):  # no system has all
        signum = getattr(signal, name, None)
        if signum is not None and signal.getsignal(signum) != signal.SIG_IGN:  # as under nohup
            signal.signal(signum, _terminate)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's comment can hold any character
    try:
        from pyfd.cli import cli

        cli()
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] not in _NEEDED:
            raise
        problem = missing(error.name, "cli") if isinstance(error, ModuleNotFoundError) else error
        print(f"pyfd: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:  # not of an input: the disk behind stdout is full, for example
        print(f"pyfd: {error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    finally:
        _drop_what_cannot_be_written()


if __name__ == "__main__":
    main()
