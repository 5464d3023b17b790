"""`pyfd exec`: run a program with the drop-in libjpeg in place of the system's."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import FrameType

import click

from pyfd._core.binding import libjpeg_turbo_version
from pyfd._core.native import DROP_IN
from pyfd.cli.messages import printable
from pyfd.cli.options import (
    Examples,
    baseline_option,
    check_steps,
    check_written_steps,
    is_given,
    some_limits_options,
    tables_option,
)
from pyfd.cli.reports import DECODED, ENCODED, REFUSED, REPORT, Report, missing, pass_on
from pyfd.limits import Limits
from pyfd.qtables import DECODER_STEP, ENCODER_STEP, QTables

_DECODE, _ENCODE = "PYFD_DECODE_QTABLES", "PYFD_ENCODE_QTABLES"

# The exit codes of a shell for a program that cannot be run, and for one that does not exist
_NOT_RUNNABLE, _NOT_FOUND = 126, 127
# That of env(1), timeout(1) and the like for a failure of their own: for `--require`
_UNUSED = 125

# The limits that the drop-in has
_LIMITS = ("max_pixels", "max_memory", "max_scans")
_MAX_VISITS, _NO_ARITHMETIC = "PYFD_MAX_VISITS", "PYFD_NO_ARITHMETIC"

# Visits of blocks, each of which takes about 5 nanoseconds. A progressive file of 67 megapixels
# with the scans of cjpeg has 48 million, without subsampling.
_VISITS = 1 << 26
_NO_LIMIT = (1 << 64) - 1

# Windows, where this module is imported too, lacks some of them
_FROM_KEYBOARD = [getattr(signal, n) for n in ("SIGINT", "SIGQUIT") if hasattr(signal, n)]
_PASSED_ON = [*_FROM_KEYBOARD, signal.SIGTERM]
_PASSED_ON += [getattr(signal, n) for n in ("SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, n)]


@click.command(
    "exec",
    cls=Examples,
    context_settings={"allow_interspersed_args": False},
    options_metavar="[OPTIONS] [--]",
    epilog="""\
pyfd exec -q fd-cvpr2019 -- djpeg upload.jpg > upload.ppm
pyfd exec -q 16 -- vipsthumbnail upload.jpg -o small.png
pyfd exec --encode-qtables fd-cvpr2019 -- cjpeg photo.ppm > photo.jpg""",
)
@tables_option("The tables onto which the program decodes", None)
@tables_option("The tables with which the program writes", None, "--encode-qtables", "written")
@baseline_option
@click.option(
    "--require",
    is_flag=True,
    help=f"Exit with {_UNUSED} if nothing was decoded or written with the tables.",
)
@click.option(
    "--max-visits",
    type=click.IntRange(0, _NO_LIMIT),
    metavar="N",
    envvar=_MAX_VISITS,
    help=f"Refuse files whose scans visit blocks of coefficients more than N times in all.  "
    f"[default: {_VISITS}]",
)
@click.option("--arithmetic", is_flag=True, help="Accept files with arithmetic coding.")
@some_limits_options(*_LIMITS, environment=True)
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED, metavar="PROGRAM...")
def exec_(
    program: tuple[str, ...],
    tables: QTables | None,
    written: QTables | None,
    baseline: bool,
    require: bool,
    limits: Limits,
    max_visits: int | None,
    arithmetic: bool,
) -> None:
    """Run a program with the tables in every libjpeg that it uses.

    For programs that cannot be changed: the program, and all programs that it
    starts, decode JPEG files onto the tables and write them with the tables.
    pyfd makes the loader take its own libjpeg.so.62 in place of the system's.
    This does not reach programs that bring another JPEG decoder, such as
    ffmpeg, opencv-python and Chrome: docs/pipelines/drop-in.md has a list.

    If nothing was decoded onto the tables, or nothing written with them, then a
    line on stderr says so at the end.

    The drop-in has limits for files from strangers. PYFD_MAX_PIXELS,
    PYFD_MAX_SCANS, PYFD_MAX_VISITS, PYFD_MAX_MEMORY and PYFD_NO_ARITHMETIC in the
    environment override their defaults, and the options override these.

    The exit code is the program's; 128 + N if signal N ended it; 127 if the
    program does not exist, 126 if it cannot be run, 2 if it needs a newer
    libjpeg than pyfd's; with --require, 125 if nothing was decoded onto the
    tables, or nothing written with them.
    """
    if tables is None and written is None:
        raise click.UsageError("Give --qtables, --encode-qtables or both.")
    if tables is not None:
        check_steps(tables, DECODER_STEP)
    if written is not None:
        check_written_steps(written, baseline, ENCODER_STEP)
    context = click.get_current_context()
    if problem := _unusable(DROP_IN):
        click.echo(f"pyfd: {problem}", err=True)
        context.exit(1)
    path = _find(program[0])
    preloaded = ":".join(filter(None, (str(DROP_IN), os.environ.get("LD_PRELOAD"))))
    if missing := _missing_function(path, preloaded):
        release = libjpeg_turbo_version().partition("+")[0]
        click.echo(
            f"pyfd: {printable(path)}: needs {printable(missing)}, which the system's libjpeg has "
            f"and pyfd's, of libjpeg-turbo {release}, does not: see docs/pipelines/drop-in.md",
            err=True,
        )
        context.exit(2)
    _warn_of_privileges(path)
    with tempfile.TemporaryDirectory(prefix="pyfd-") as name:
        folder = Path(name).absolute()
        try:
            report = Report(folder)
        except OSError as error:
            click.echo(
                f"pyfd: no named pipe in {printable(name)}: {error.strerror}; TMPDIR can name a "
                "folder on another file system",
                err=True,
            )
            context.exit(1)
        environment = {
            **os.environ,
            **_table_files(folder, {_DECODE: tables, _ENCODE: written}),
            **_limit_variables(limits, max_visits, arithmetic),
            REPORT: str(folder),
            "LD_PRELOAD": preloaded,
        }
        code = _run(path, program, environment)
        events = report.read()
    if code is None:
        context.exit(_NOT_RUNNABLE)
    wanted = [DECODED] * (tables is not None) + [ENCODED] * (written is not None)
    unused = _tell(path, events, wanted)
    context.exit(_UNUSED if require and unused else code)


def _unusable(library: Path) -> str | None:
    """Return the reason why the loader cannot take our library, or None if it can."""
    if not library.is_file():
        return "this build of pyfd has no libjpeg.so.62 (PYFD_SANITIZE leaves it out)"
    if re.search(r"[\s:$]", str(library)):
        return f"LD_PRELOAD cannot hold the name {printable(str(library))}: no space, colon or $"
    try:
        ctypes.CDLL(str(library))
    except OSError as error:  # the loader would go on without it
        return printable(str(error))
    return None


def _find(program: str) -> str:
    """Return the program's path, or exit with a shell's code."""
    path = shutil.which(program)
    if path is None:
        there = shutil.which(program, mode=os.F_OK)
        problem = "cannot be run" if there else "not found"
        click.echo(f"pyfd: {printable(program)}: {problem}", err=True)
        click.get_current_context().exit(_NOT_RUNNABLE if there else _NOT_FOUND)
    return path


def _missing_function(path: str, preloaded: str) -> str | None:
    """Return a function that the program finds in the system's libjpeg, but not in ours.

    libjpeg-turbo 3.x has more functions under the same library name.  A program that needs
    one of them would not start with our library.
    """
    missing = _undefined_functions(path, preloaded)
    if missing:
        missing -= _undefined_functions(path, os.environ.get("LD_PRELOAD", ""))
    return min(missing, default=None)


def _undefined_functions(path: str, preloaded: str) -> set[str]:
    """Ask the loader which functions a program would lack at its start, without running it.

    Of a file that the loader of this Python does not load, such as a script or a statically
    linked program, nothing is known, and the set is empty.
    """
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
        loader = re.search(r"(?m)/\S*/ld-[^/\s]+$", maps)
        if loader is None:
            return set()
        program = str(Path(path).absolute())
        # ld.so(8): --verify tells whether the loader can load the file, and the variables
        # make it report what is missing instead of running the program
        variables = {"LD_PRELOAD": preloaded, "LD_TRACE_LOADED_OBJECTS": "1", "LD_WARN": "1"}
        if _ask([loader[0], "--verify", program], {}).returncode:
            return set()
        answer = _ask([loader[0], program], variables)
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return set(re.findall(r"undefined symbol: ([^\s,]+)", answer.stdout))


def _ask(command: list[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **variables},
        timeout=10,
        check=False,
    )


def _warn_of_privileges(path: str) -> None:
    """Warn if the loader will ignore our library: plain decoding would look like a defence."""
    status = Path(path).stat()
    raised = (status.st_mode & stat.S_ISUID and status.st_uid != os.geteuid()) or (
        status.st_mode & stat.S_ISGID and status.st_gid != os.getegid()
    )
    if raised or (os.geteuid() and _has_capabilities(path)):
        click.echo(
            f"pyfd: warning: {printable(path)} raises its privileges (set-user-id or the like): "
            "it runs without the tables",
            err=True,
        )


def _has_capabilities(path: str) -> bool:
    try:
        return bool(os.getxattr(path, "security.capability"))
    except (OSError, AttributeError):  # only Linux has such capabilities
        return False


def _table_files(folder: Path, tables: Mapping[str, QTables | None]) -> dict[str, str]:
    """Write tables as text files in a folder; return variables that name them."""
    variables = {}
    for variable, given in tables.items():
        if given is not None:
            path = folder / f"{variable}.txt"
            path.write_text(given.to_text(), encoding="utf-8")
            variables[variable] = str(path)
    return variables


def _limit_variables(limits: Limits, visits: int | None, arithmetic: bool) -> dict[str, str]:
    """Return the variables from which the drop-in takes its limits."""
    unlimited: bool = click.get_current_context().params["no_limits"]
    if visits is None or not is_given("max_visits", visits, unlimited):
        visits = _NO_LIMIT if unlimited else _VISITS
    refused = "0" if arithmetic or unlimited else os.environ.get(_NO_ARITHMETIC) or "1"
    if refused not in ("0", "1"):
        raise click.UsageError(f"{_NO_ARITHMETIC} must be 0 or 1, not {refused!r}")
    values = {f"PYFD_{name.upper()}": str(getattr(limits, name)) for name in _LIMITS}
    return {**values, _MAX_VISITS: str(visits), _NO_ARITHMETIC: refused}


def _tell(path: str, events: Mapping[str, str], wanted: Collection[str]) -> bool:
    """Say what the program did not do with the drop-in; return whether it lacks what is wanted."""
    pass_on(events)
    unused = missing(events, wanted)
    said = [] if unused is None else [unused]
    if REFUSED in events:
        said.append(
            f"pyfd's libjpeg has refused a file: {printable(events[REFUSED])} "
            "(--no-limits accepts it)"
        )
    for text in said:
        click.echo(f"pyfd: {printable(path)}: {text}", err=True)
    return unused is not None


def _run(path: str, program: Sequence[str], environment: Mapping[str, str]) -> int | None:
    """Run the program, pass signals on, and return its exit code, or None if it cannot run."""
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if signum in _FROM_KEYBOARD and _in_foreground():
            return  # the terminal has sent it to the program too
        if child is None:
            early.append(signum)
        else:
            child.send_signal(signum)

    # signals that are ignored (nohup) stay ignored, and the program inherits that
    heeded = [signum for signum in _PASSED_ON if signal.getsignal(signum) != signal.SIG_IGN]
    previous = {signum: signal.signal(signum, pass_on) for signum in heeded}
    try:
        child = subprocess.Popen(program, executable=path, env=environment, close_fds=False)
        for signum in early:
            child.send_signal(signum)
        code = child.wait()
    except OSError as error:
        click.echo(f"pyfd: {printable(path)}: {error.strerror}", err=True)
        return None
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
    return code if code >= 0 else 128 - code


def _in_foreground() -> bool:
    """Return whether the terminal sends its signals to us, and so to the program."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
