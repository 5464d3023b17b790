"""`pyfd requantize`: make defended .jpg files from .jpg files."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import click

import pyfd
from pyfd._core import binding, decoding
from pyfd._core.cores import usable_cores
from pyfd._core.files import JPEG_SUFFIXES, open_regular
from pyfd._core.metadata import NAMES, kept_of, names_of
from pyfd._core.turns import UPRIGHT
from pyfd.cli import jobs, journal
from pyfd.cli.messages import Messages, printable
from pyfd.cli.options import (
    DEFAULT_TABLES,
    Examples,
    baseline_option,
    check_radii,
    check_written_steps,
    follow_links_option,
    inputs_argument,
    optimize_option,
    output_option,
    progressive_option,
    radius_files_option,
    radius_option,
    reading_options,
    restart_rows_option,
    tables_option,
    workers_option,
)
from pyfd.cli.plan import goes_to_directory, is_directory, plan
from pyfd.limits import Limits
from pyfd.qtables import DECODER_STEP, ENCODER_STEP, QTables

_HEAD = 1 << 16  # bytes of a file that mostly hold its header


def _names(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> list[str] | None:
    """Return the names in a list with commas, in the order of `NAMES`."""
    if text is None:
        return None
    try:
        names = names_of([name.strip() for name in text.split(",")]) or ()
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return [name for name in NAMES if name in names]


@click.command(
    cls=Examples,
    epilog="""\
pyfd requantize upload.jpg -o defended.jpg
pyfd requantize uploads -o defended --keep icc,orientation
pyfd requantize uploads defended --engine ray
pyfd requantize camera -o certified --radius 1 --qtables certified:1
pyfd requantize camera -o upright --orient trim
pyfd requantize - < upload.jpg > defended.jpg""",
)
@inputs_argument
@follow_links_option
@output_option
@tables_option("The tables to write", DEFAULT_TABLES)
@progressive_option
@optimize_option
@restart_rows_option
@baseline_option
@radius_option
@radius_files_option
@click.option(
    "--metadata/--no-metadata",
    default=None,
    help="Keep EXIF (with the GPS position), ICC, XMP, IPTC and comments, which is the default, or "
    "drop them.",
)
@click.option(
    "--keep",
    metavar="NAMES",
    callback=_names,
    help=f"Keep only some metadata, such as icc,orientation: any of {', '.join(NAMES)}.",
)
@click.option(
    "--orient",
    type=click.Choice(["exact", "trim"]),
    callback=lambda _ctx, _param, value: {"exact": True, "trim": "trim"}.get(value, False),
    help="Turn the image as EXIF's orientation says, without loss. `exact` refuses files with an "
    "edge that cannot be turned, because it does not fill an MCU of 8 or 16 pixels or more; "
    "`trim` drops such edges.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Work in this process, or on Ray: on the cluster that RAY_ADDRESS names, or else on "
    "this machine's cores. Ray needs the extra `ray`, and a file system that all machines share.",
)
@workers_option
@click.option(
    "--verify",
    is_flag=True,
    help="In a resumed run, read every finished file and its source again and compare their "
    "digests, not only sizes and times.",
)
@reading_options("strict")
def requantize(
    inputs: tuple[str, ...],
    follow_links: bool,
    output: str | None,
    tables: QTables,
    baseline: bool,
    metadata: bool | None,
    keep: list[str] | None,
    engine: str,
    workers: int | None,
    verify: bool,
    reading: dict[str, Any],
    **options: Any,
) -> None:
    """Make defended .jpg files from .jpg files.

    Works on the coefficients, without decoding to pixels. The result holds the
    coefficients that decode would use, so any viewer or pipeline shows the
    defended image. Of the metadata, nothing is kept that may hold undefended
    pixels, such as EXIF's thumbnail.

    With --radius or --radius-files, it makes certified files, as "pyfd encode" does:
    decodes the file, and encodes the pixels in 4:4:4. The certificate is of the
    new file's pixels; it says nothing of what was done to the source before.

    Two directories without -o are source and target. A run into a directory
    resumes an earlier one: it skips the files that were done with the same
    tables and options and that still have these tables, unless they or their
    sources have changed since.
    """
    radii = options["radius"], options["radius_files"]
    certified = radii != (None, None)
    check_written_steps(tables, baseline, ENCODER_STEP if certified else DECODER_STEP)
    check_radii(tables, *radii)
    if keep is not None and metadata is not None:
        raise click.UsageError("--keep and --metadata/--no-metadata exclude each other.")
    options["metadata"] = keep if keep is not None else metadata is not False
    work = functools.partial(_work, qtables=tables, baseline=baseline, **reading, **options)
    limits = reading["limits"]
    inputs, output = _source_and_target(inputs, output)
    whole = options["progressive"] or options["optimize"]
    needs = functools.partial(
        _needs, limits=limits, whole=whole, certified=certified, turned=bool(options["orient"])
    )
    run = _engine(engine, workers, needs)
    messages = Messages()
    planned = plan(
        inputs,
        output,
        messages,
        suffixes=JPEG_SUFFIXES,
        suffix=".jpg",
        follow_links=follow_links,
    )
    if output is None or not goes_to_directory(inputs, output):
        if engine == "ray":
            raise click.UsageError("--engine ray writes to a directory: -o DIRECTORY.")
        if verify:
            raise click.UsageError("--verify is for a resumed run into a directory: -o DIRECTORY.")
        run(planned, work, limits, messages)
    elif planned:
        settings = _settings(tables, reading, options)
        with (
            messages.watching(output),
            journal.opened(output, "requantize", settings, planned) as log,
        ):
            left = [
                job
                for job in messages.progress(planned, len(planned), leave=False)
                if not (log.has(job, verify=verify) and _has_tables(job.target, tables))
            ]
            if len(left) < len(planned):
                done = len(planned) - len(left)
                messages.note(output, f"{done} of {len(planned)} are done already")
            run(left, work, limits, messages, log)
    messages.finish()


def _has_tables(path: str, tables: QTables) -> bool:
    """Return whether a .jpg file has these tables, and so no coefficient off their grid.

    That needs no trust in the journal: an undefended file has other tables.
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            data = file.read(_HEAD) or b""  # None, if it has no data now
            try:
                header = pyfd.probe(data, limits=Limits.unlimited())
            except pyfd.CorruptJPEGError:  # perhaps cut off, in much metadata
                data += file.read(Limits.max_bytes) or b""
                header = pyfd.probe(data, limits=Limits.unlimited())
    except (pyfd.JPEGError, OSError):
        return False
    return header.qtables == QTables([tables[i] for i in range(len(header.qtables))])


def _work(
    data: bytes, *, metadata: bool | list[str], strict: bool, limits: Limits, **options: Any
) -> bytes:
    """Do what `pyfd.requantize` does; warn of metadata that are left out in strict mode, too."""
    made = pyfd.requantize(data, metadata=metadata, strict=strict, limits=limits, **options)
    left_out = kept_of(data, names_of(metadata) or (), limits).left_out if strict else ""
    if left_out:
        warnings.warn(left_out, stacklevel=2)
    return made


def _settings(
    tables: QTables, reading: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything that determines the output of a source, for the journal.

    Limits are not among it: they determine only which sources are refused, and refused
    sources are not in the journal.
    """
    return {
        "pyfd": pyfd.__version__,
        "libjpeg_turbo": pyfd.libjpeg_turbo_version(),
        "qtables": tables.array.tolist(),
        "reading": {name: value for name, value in reading.items() if name != "limits"},
        "writing": dict(options),
    }


def _source_and_target(
    inputs: tuple[str, ...], output: str | None
) -> tuple[tuple[str, ...], str | None]:
    """Return inputs and output; two directories without `-o` are an input and the output."""
    if output is not None or len(inputs) != 2 or not is_directory(inputs[0]):
        return inputs, output
    source, target = inputs
    if is_directory(target) and not journal.path_in(target, "requantize").is_file():
        try:
            empty = not os.listdir(target)  # noqa: PTH208
        except OSError:
            empty = False
        if not empty:  # more likely two sources, and the target was forgotten
            name = printable(target)
            raise click.UsageError(f"{name} has files of its own: to write there, give -o {name}.")
    return (source,), target


def _needs(
    data: bytes, *, limits: Limits, whole: bool, certified: bool, turned: bool = False
) -> int:
    """Return the bytes that work on a file takes, apart from its output.

    Args:
        data: The file.
        limits: The limits on it.
        whole: Whether all coefficients of the output must be in memory.
        certified: Whether the pixels are.
        turned: Whether the image becomes upright, for which it is in memory twice.
    """
    try:
        frame = binding.probe(data, limits)
        turned = turned and decoding.orientation_of(data, limits) != UPRIGHT
    except pyfd.JPEGError:  # the work says why
        return len(data)
    coefficients = frame.coefficient_bytes
    if not certified and turned:
        return len(data) + 2 * coefficients
    if not whole and not frame.multiscan:
        coefficients = 0
    if not certified:
        return len(data) + coefficients
    blocks = -(-frame.height // 8) * -(-frame.width // 8)
    samples = 64 * blocks * (1 if frame.color_space == "L" else 3)
    return len(data) + samples + max(coefficients, 2 * samples if whole else 0)


def _engine(name: str, workers: int | None, needs: Callable[[bytes], int]) -> Callable[..., None]:
    """Return the function that runs the jobs: in this process, or on a cluster."""
    if name == "local":
        return functools.partial(jobs.run, workers=workers or usable_cores(), needs=needs)
    if workers is not None:
        raise click.UsageError("--workers is for this process: with --engine ray, Ray decides.")
    try:
        from pyfd.cli import ray_engine
    except ImportError as error:
        raise click.ClickException(str(error)) from error
    return ray_engine.run
