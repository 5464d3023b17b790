"""The entry point of the command line: `pyfd`, or `python -m pyfd`."""

from __future__ import annotations

import io
import signal
import sys
from types import FrameType

from pyfd._core.extras import missing

_NEEDED = ("PIL", "click", "tqdm")


def _terminate(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Exit through an exception, so that unfinished files are removed, as on Ctrl-C."""
    sys.exit(128 + signum)


def main() -> None:
    """Run the command line and exit with its code."""
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


if __name__ == "__main__":
    main()
