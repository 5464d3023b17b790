"""What several commands of the command line take: tables, inputs, limits."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

import pyfd
from pyfd.cli.jobs import printable
from pyfd.limits import Limits
from pyfd.qtables import QTables, parse_tables

Decorated = Callable[..., None]


class Examples(click.Command):
    """A command whose epilog is examples, shown line by line."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Examples"):
            for line in (self.epilog or "").splitlines():
                formatter.write(f"  {line}\n")


class Group(Examples, click.Group):
    command_class = Examples

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(130)


# ---- options that several commands have -----------------------------------


def _to_tables(_ctx: click.Context, _param: click.Parameter, value: str | None) -> QTables | None:
    try:
        return None if value is None else parse_tables(value)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(printable(str(error))) from error
    except OSError as error:
        raise click.BadParameter(printable(f"{value}: {error.strerror}")) from error


def tables_option(text: str, default: str | None, *names: str) -> Callable[[Decorated], Decorated]:
    """Tables T; `--qtables` and the argument `tables`, unless `names` say otherwise."""
    presets = [f"{name} (the default)" if name == default else name for name in pyfd.PRESETS]
    return click.option(
        *(names or ("-q", "--qtables", "tables")),
        metavar="T",
        callback=_to_tables,
        default=default,
        help=f"{text}: {', '.join(presets)}, one step (16), annex-k:QUALITY, or a file with "
        "pyfd's JSON or cjpeg's text.",
    )


def named(_ctx: click.Context, _param: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    if "" in names:  # as a path it would be the current directory
        raise click.BadParameter("a name is empty")
    return names


inputs_argument = click.argument(
    "inputs", nargs=-1, required=True, metavar="FILE...", callback=named
)
baseline_option = click.option(
    "--baseline/--no-baseline",
    default=True,
    help="Steps of at most 255, as every decoder takes them, or larger ones too.",
)

_LIMITS = {
    "max_bytes": "of more than N bytes",
    "max_pixels": "of more than N pixels",
    "max_memory": "that take more than N bytes of memory for coefficients",
    "max_scans": "of more than N scans",
}


def limits_options(command: Decorated) -> Decorated:
    """What a file may ask for, as one `limits` argument."""

    @functools.wraps(command)
    def with_limits(*args: Any, no_limits: bool, **options: Any) -> None:
        given = {name: options.pop(name) for name in _LIMITS}
        given = {name: value for name, value in given.items() if value is not None}
        try:
            limits = replace(Limits.unlimited() if no_limits else Limits(), **given)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        command(*args, limits=limits, **options)

    result = click.option("--no-limits", is_flag=True, help="For files you trust.")(with_limits)
    for name, which in reversed(_LIMITS.items()):
        text = f"Refuse files {which}.  [default: {getattr(Limits, name)}]"
        flag = f"--{name.replace('_', '-')}"
        result = click.option(flag, type=int, metavar="N", help=text)(result)
    return result


def _check_plot(_ctx: click.Context, _param: click.Parameter, path: str | None) -> str | None:
    """Refuse what could not be drawn before anything is done."""
    if path is None:
        return None
    try:
        from pyfd import plots

        plots.check_suffix(path)
    except ImportError as error:
        raise click.UsageError(f"--plot: {error}") from error
    except ValueError as error:
        raise click.BadParameter(printable(str(error))) from error
    return path


def plot_option(text: str) -> Callable[[Decorated], Decorated]:
    return click.option(
        "--plot",
        metavar="FILE",
        callback=_check_plot,
        help=f"{text}: a .png or .svg file. Needs 'pyfd-jpeg[plots]'.",
    )


def check_steps(tables: QTables, most: int, hint: str = "") -> None:
    """Refuse steps that cannot be used with any file."""
    largest = tables.array.max()
    if largest > most:
        raise click.UsageError(f"The largest step is {largest}, and {most} is the most here{hint}.")


def check_written_steps(tables: QTables, baseline: bool, most: int) -> None:
    if baseline:
        check_steps(tables, 255, "; --no-baseline allows more")
    else:
        check_steps(tables, most)
