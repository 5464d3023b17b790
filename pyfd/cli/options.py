"""Click classes, arguments and options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

import pyfd
from pyfd._core.encoding import MOST_ROWS, SUBSAMPLING
from pyfd._core.extras import remedy
from pyfd._core.least_steps import check_holds
from pyfd._core.pixels import WHITE
from pyfd._core.reading import Reading
from pyfd.cli.messages import printable
from pyfd.limits import Limits
from pyfd.qtables import BASELINE_STEP, QTables, parse_tables

Decorated = Callable[..., None]

DEFAULT_TABLES = "fd-cvpr2019"


class Examples(click.Command):
    """A command whose epilog is examples, shown line by line."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the examples."""
        with formatter.section("Examples"):
            for line in (self.epilog or "").splitlines():
                formatter.write(f"  {line}\n")


class Group(Examples, click.Group):
    """A group with examples, whose commands exit with code 130 on Ctrl-C."""

    command_class = Examples

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(130)


# ---- files ----------------------------------------------------------------


class Folder(click.Path):
    """A folder to write to. Its name must not be empty: that would be the current directory."""

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or refuse it."""
        if not value:
            self.fail("the name of the folder is empty", param, ctx)
        return super().convert(value, param, ctx)


def check_names(
    _ctx: click.Context, _param: click.Parameter, names: tuple[str, ...]
) -> tuple[str, ...]:
    """Refuse an empty name, which as a path would be the current directory."""
    if "" in names:
        raise click.BadParameter("a name is empty")
    return names


inputs_argument = click.argument(
    "inputs", nargs=-1, required=True, metavar="FILE...", callback=check_names
)
follow_links_option = click.option(
    "--follow-links",
    is_flag=True,
    help="Search linked folders too, each folder once. Unless given, they are named and skipped.",
)
output_option = click.option(
    "-o",
    "--output",
    type=click.Path(readable=False),
    help="Where to write: a file, - for stdout, or a directory. Several inputs, or a directory, "
    "need a directory.",
)


workers_option = click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="The number of threads.  [default: one per core]",
)


def check_plot(_ctx: click.Context, _param: click.Parameter, path: str | None) -> str | None:
    """Refuse, before any work is done, a plot that could not be drawn."""
    if path is None:
        return None
    try:
        from pyfd import plots

        plots.check_suffix(path)
    except ImportError as error:
        raise click.UsageError(str(error)) from error
    except ValueError as error:
        raise click.BadParameter(printable(str(error))) from error
    return path


def plot_option(text: str) -> Callable[[Decorated], Decorated]:
    """Return the option `--plot`, whose help starts with `text`."""
    return click.option(
        "--plot",
        metavar="FILE",
        callback=check_plot,
        help=f"{text}: a .png, .svg or .pdf file. Needs matplotlib: {remedy('plots')}.",
    )


# ---- tables ---------------------------------------------------------------


_TABLE_FILES = "pyfd.table_files"  # a key of click's `Context.meta`


def table_files() -> list[str]:
    """Return what the command's options for tables name: files, if there are any so called."""
    found: list[str] = click.get_current_context().meta.get(_TABLE_FILES, [])
    return found


def _to_tables(ctx: click.Context, _param: click.Parameter, value: str | None) -> QTables | None:
    if value is None:
        return None
    ctx.meta.setdefault(_TABLE_FILES, []).append(value)
    try:
        return parse_tables(value)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(printable(str(error))) from error
    except OSError as error:
        raise click.BadParameter(printable(f"{value}: {error.strerror}")) from error


def tables_option(text: str, default: str | None, *names: str) -> Callable[[Decorated], Decorated]:
    """Return an option that takes tables.

    Args:
        text: The start of its help.
        default: The tables to use if the option is not given.
        names: The names of the option and its argument; by default `--qtables` and `tables`.
    """
    presets = [f"{name} (the default)" if name == default else name for name in pyfd.PRESETS]
    return click.option(
        *(names or ("-q", "--qtables", "tables")),
        metavar="T",
        callback=_to_tables,
        default=default,
        help=f"{text}: {', '.join(presets)}, one step (such as 16), annex-k:QUALITY, certified:E "
        "or certified-files:E (the finest tables that hold E levels), or a file with pyfd's JSON "
        "or cjpeg's text.",
    )


baseline_option = click.option(
    "--baseline/--no-baseline",
    default=True,
    help="Allow only steps up to 255, which every decoder reads, or larger ones too.",
)


def check_steps(tables: QTables, most: int, hint: str = "") -> None:
    """Refuse steps that are too large for every file."""
    largest = tables.array.max()
    if largest > most:
        raise click.UsageError(
            f"The largest step is {largest}, but at most {most} is allowed here{hint}."
        )


def check_written_steps(tables: QTables, baseline: bool, most: int) -> None:
    """Refuse steps that are too large to be written, with or without `--no-baseline`."""
    if baseline:
        check_steps(tables, BASELINE_STEP, "; --no-baseline allows more")
    else:
        check_steps(tables, most)


# ---- writing JPEG files ---------------------------------------------------


def subsampling_option(text: str) -> Callable[[Decorated], Decorated]:
    """Return the option `--subsampling`, whose help ends with `text`."""
    default, *others, last = SUBSAMPLING
    return click.option(
        "--subsampling",
        type=click.Choice(list(SUBSAMPLING)),
        metavar="S",
        default=default,
        help=f"The chroma subsampling: {default} (the default), {', '.join(others)} or {last}."
        f"{text}",
    )


progressive_option = click.option("--progressive", is_flag=True, help="Write a progressive file.")
optimize_option = click.option(
    "--optimize", is_flag=True, help="Optimize the Huffman codes: smaller files, but slower."
)
restart_rows_option = click.option(
    "--restart-rows",
    type=click.IntRange(1, MOST_ROWS),
    metavar="N",
    help="Write a restart marker after every N rows of MCUs, of 8 or 16 pixels, so that several "
    "threads can decode the file at once.",
)


radius_option = click.option(
    "--radius",
    type=click.IntRange(0, WHITE),
    metavar="E",
    help="Write a file that no perturbation of its decoded pixels within E levels can move "
    "(0...255).",
)
radius_files_option = click.option(
    "--radius-files",
    type=click.IntRange(0, WHITE),
    metavar="E",
    help="Write a file that no other .jpg file can move whose plainly decoded pixels lie within E "
    "levels of this one's: decoded with the tables, both give the same image. For 4:4:4 and sides "
    "that are multiples of 8.",
)


def check_radii(tables: QTables, radius: int | None, radius_files: int | None) -> None:
    """Refuse radii that no image has with these tables."""
    for levels, files in ((radius, False), (radius_files, True)):
        if levels is None:
            continue
        try:
            check_holds(tables.array, levels, 1, files=files)  # the first serves all images
        except ValueError as error:
            in_python = f"QTables.certified({levels}{', files=True' if files else ''})"
            here = f"-q certified{'-files' if files else ''}:{levels}"
            raise click.UsageError(str(error).replace(in_python, here)) from error


# ---- reading JPEG files ---------------------------------------------------

_LIMITS = {
    "max_bytes": "of more than N bytes",
    "max_pixels": "of more than N pixels",
    "max_memory": "that take more than N bytes of memory for coefficients or, in formats other "
    "than JPEG, for pixels",
    "max_scans": "of more than N scans",
    "max_work": "that take more than N units of work: blocks in scans, and bytes",
}


def some_limits_options(*names: str, environment: bool = False) -> Callable[[Decorated], Decorated]:
    """Add options for some of `pyfd.Limits`, which the command gets as the argument `limits`.

    Args:
        names: The limits to add options for.
        environment: Whether a variable such as ``PYFD_MAX_PIXELS`` changes the default.
    """

    def decorate(command: Decorated) -> Decorated:
        @functools.wraps(command)
        def with_limits(*args: Any, no_limits: bool, **options: Any) -> None:
            given = {name: options.pop(name) for name in names}
            given = {n: v for n, v in given.items() if is_given(n, v, no_limits)}
            try:
                limits = replace(Limits.unlimited() if no_limits else Limits(), **given)
            except ValueError as error:
                raise click.UsageError(str(error)) from error
            command(*args, limits=limits, **options)

        result = click.option("--no-limits", is_flag=True, help="For files you trust.")(with_limits)
        for name in reversed(names):
            text = f"Refuse files {_LIMITS[name]}.  [default: {getattr(Limits, name)}]"
            variable = f"PYFD_{name.upper()}" if environment else None
            option = click.option(_flag(name), type=int, metavar="N", envvar=variable, help=text)
            result = option(result)
        return result

    return decorate


limits_options = some_limits_options(*_LIMITS)


def is_given(name: str, value: int | None, no_limits: bool) -> bool:
    """Return whether an option is given; `--no-limits` overrides the environment."""
    source = click.get_current_context().get_parameter_source(name)
    return value is not None and not (no_limits and source is ParameterSource.ENVIRONMENT)


def reading_options(*names: str) -> Callable[[Decorated], Decorated]:
    """Add the options for `Reading`, whose keywords the command gets as the argument `reading`.

    Args:
        names: The fields to add options for; unless given, all that have a help text.
            The options for `limits` are always added.
    """
    chosen = [f for f in fields(Reading) if "help" in f.metadata and f.name in (names or {f.name})]

    def decorate(command: Decorated) -> Decorated:
        @functools.wraps(command)
        def with_reading(*args: Any, limits: Limits, **options: Any) -> None:
            reading = {field.name: options.pop(field.name) for field in chosen}
            try:
                Reading(**reading, limits=limits)
            except ValueError as error:
                raise click.UsageError(printable(str(error))) from error
            command(*args, reading={**reading, "limits": limits}, **options)

        result = limits_options(with_reading)
        for field in reversed(chosen):
            result = _reading_option(field)(result)
        return result

    return decorate


def _reading_option(field: Field[Any]) -> Callable[[Decorated], Decorated]:
    text, default = field.metadata["help"], field.default
    if off := field.metadata.get("off"):
        return click.option(off, field.name, is_flag=True, callback=_negated, help=text)
    if choices := field.metadata.get("choices"):
        by_text = {str(choice): choice for choice in choices}
        return click.option(
            _flag(field.name),
            type=click.Choice(list(by_text)),
            default=str(default),
            show_default=True,
            callback=lambda _ctx, _param, value: by_text[value],
            help=text,
        )
    if parse := field.metadata.get("parse"):
        metavar = field.metadata.get("metavar")
        return click.option(_flag(field.name), metavar=metavar, callback=_parsed(parse), help=text)
    is_flag = isinstance(default, bool)
    return click.option(
        _flag(field.name),
        default=default,
        is_flag=is_flag or None,
        show_default=default is not None and not is_flag,
        help=text,
    )


def _parsed(parse: Callable[[str], Any]) -> Callable[..., Any]:
    """Return a click callback that parses an option's text, if it is given."""

    def callback(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(printable(str(error))) from error

    return callback


def _negated(_ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
    return not value


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
