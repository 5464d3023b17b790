"""How a benchmark's command ends when it cannot go on: with one sentence."""

from __future__ import annotations

import argparse
import shlex
import subprocess
from collections.abc import Callable


def run(main: Callable[[], None]) -> None:
    """Run a command's function; what its user can mend becomes a sentence, and exit code 1."""
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("interrupted") from None
    except MemoryError as error:
        raise SystemExit(f"not enough memory: {error}".removesuffix(": ")) from None
    except ModuleNotFoundError as error:
        raise SystemExit(f"{error}: requirements-dev.txt has what benchmarks need") from None
    except OSError as error:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        raise SystemExit(": ".join([*names, error.strerror or str(error)])) from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(failure(error)) from None


def failure(error: subprocess.CalledProcessError) -> str:
    """Return a sentence on a program that failed, with its last line if that is known."""
    words = [error.cmd] if isinstance(error.cmd, str) else map(str, error.cmd)
    said = error.stderr.strip().splitlines() if error.stderr else []
    last = said[-1] if said else f"it ended with exit code {error.returncode}"
    return f"{shlex.join(words)}: {last}"


def positive(text: str) -> int:
    """Return an option's whole number from 1 on.

    Raises:
        ArgumentTypeError: It is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)
