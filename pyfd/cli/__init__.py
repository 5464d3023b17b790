"""The command line: a module for each command or group, and what they share.

A command turns its options into calls of the library, and its inputs into jobs:
`options` has the options that several commands take, `plan` decides which file
goes where, `jobs` reads and writes them, and `messages` says what happened.
"""

from __future__ import annotations

import click

import pyfd
from pyfd.cli import (
    calibrate,
    certify,
    decode,
    demo,
    encode,
    evaluate,
    exec,
    inspect,
    requantize,
    tables,
)
from pyfd.cli.options import Group


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
    epilog="""\
in the camera:      pyfd encode photo.png -o photo.jpg
at the classifier:  pyfd decode photo.jpg -o photo.png
any .jpg file:      pyfd requantize upload.jpg -o defended.jpg""",
)
@click.version_option(
    pyfd.__version__,
    message=f"pyfd %(version)s (libjpeg-turbo {pyfd.libjpeg_turbo_version()})",
)
def cli() -> None:
    """JPEG as a defence against adversarial examples.

    Puts quantization tables that erase small perturbations into JPEG's encoder
    and decoder, in place of tables that please the eye.

    The defence is strong if both sides use the same tables. In the decoder
    alone it is worth about as much as a recompression at quality 50, and an
    attacker who knows about it gets around it.

    The exit code is 0 on success; 1 if an input was refused (a line on stderr
    says which and why; the other inputs are processed); 2 for a usage error.
    """


cli.add_command(calibrate.calibrate)
cli.add_command(certify.certify)
cli.add_command(decode.decode)
cli.add_command(demo.demo)
cli.add_command(encode.encode)
cli.add_command(evaluate.evaluate)
cli.add_command(exec.exec_)
cli.add_command(inspect.inspect)
cli.add_command(requantize.requantize)
cli.add_command(tables.tables)
