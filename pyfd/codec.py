"""The codec: `encode`, `decode`, `requantize`, `probe` and the coefficients.

Data flows one way: bytes → probe → limits → C → array.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyfd._core import binding, decoding, encoding, opencv_exif
from pyfd._core import metadata as _metadata
from pyfd._core.cores import worker_count
from pyfd._core.encoding import Subsampling
from pyfd._core.files import Source, read_source
from pyfd._core.memory import check_memory
from pyfd._core.pixels import Layout, PixelMode, Pixels
from pyfd._core.radii import least_radii
from pyfd._core.reading import (
    DEFAULT_LIMITS,
    Mode,
    Reading,
    Region,
    Scale,
    Size,
    reading_with,
)
from pyfd._core.turns import UPRIGHT, Orient, turns
from pyfd._core.yuv import Planes
from pyfd.coefficients import Coefficients
from pyfd.header import Header
from pyfd.limits import Limits
from pyfd.many import decode_many, encode_many
from pyfd.qtables import (
    BASELINE_STEP,
    DECODER_STEP,
    ENCODER_STEP,
    QTables,
    QTablesLike,
    as_qtables,
    decoder_steps,
    steps_within,
)

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "Layout",
    "Mode",
    "PixelMode",
    "Planes",
    "Subsampling",
    "decode",
    "decode_many",
    "encode",
    "encode_many",
    "probe",
    "read_coefficients",
    "requantize",
    "snap",
    "write_coefficients",
]


# ---- reading --------------------------------------------------------------


def probe(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> Header:
    """Read a file's header and metadata, up to its first scan.

    It allocates no memory that grows with the image's size.

    Args:
        source: Bytes-like, a path, or a binary file object.
        limits: The limits on the file. `Limits.max_bytes`, `max_pixels`,
            `max_segments` and `max_metadata` are checked for the part that is read.

    Raises:
        JPEGError: The file is corrupt, unsupported or beyond a limit.
        OSError: The file cannot be opened.
    """
    data = read_source(source, limits)
    frame, segments = binding.probe_segments(data, limits)
    metadata = _metadata.read(_metadata.payloads(data, segments))
    return Header(
        width=frame.width,
        height=frame.height,
        color_space=frame.color_space,
        sampling=frame.sampling,
        progressive=frame.progressive,
        qtables=QTables(frame.qtables),
        orientation=_metadata.orientation(metadata.exif),
        exif=metadata.exif,
        icc_profile=metadata.icc_profile,
        comment=metadata.comment,
    )


def decode(
    source: Source,
    qtables: QTablesLike | None = None,
    *,
    mode: Mode | None = "RGB",
    scale: Scale = 1,
    fit: Size | None = None,
    orient: bool = False,
    region: Region | None = None,
    strict: bool = True,
    limits: Limits = DEFAULT_LIMITS,
    out: Pixels | None = None,
    workers: int | None = 1,
) -> Pixels:
    """Decode a JPEG file onto defensive tables.

    With tables, a coefficient that the file stores as k with the step q becomes
    k' = sign(k)·⌊(2·|k|·q + d) / (2·d)⌋, d being the table's step, and the inverse
    DCT takes k'·d. The pixels are those of a plain decode of
    ``requantize(source, qtables)``. Without tables it is a plain decode, byte for
    byte that of libjpeg-turbo 2.1.5. A progressive file that ends before its last
    scan is smoothed as libjpeg-turbo 3 does it, which differs from 2.1.5 at the
    edges.

    Args:
        source: Bytes-like, a path, or a binary file object.
        qtables: Tables with steps of 1...32767, or None for a plain decode.
        mode: The color of the pixels: "RGB", "BGR", "L" (the Y plane of a YCbCr
            file), "YCbCr" or "CMYK"; None for the file's own color: "L", "RGB" or
            "CMYK". Files of four components are converted as Pillow converts them.
        scale: 1, 2, 4 or 8 divides the size, in the DCT domain.
        fit: (width, height) takes the largest of these scales whose result is still at
            least that wide and high, or 1 if none is. It excludes `scale` and `region`.
        orient: Turn and mirror the pixels as EXIF's orientation says, which is read as
            OpenCV reads it.
        region: (left, top, width, height) decodes a part, in pixels of the result of
            all other options. The pixels are those of the whole, bit for bit, but not
            all of the file is read: what is left out may be damaged (see
            docs/security.md).
        strict: Refuse a file that makes the decoder warn. Otherwise return the
            pixels that could be decoded, with one `JPEGWarning`.
        limits: The limits on the file.
        out: An array for the pixels: ``uint8``, of the result's shape, C-contiguous
            and writable. It is returned.
        workers: The number of threads for this file, at most; None is the number of
            usable cores. More than one decode a file of one scan with restart markers
            (`encode` writes them with `restart_rows`) in strips, if it has 131,072 pixels
            or more and `strict` is set. Two decode one without markers, of 2,097,152 pixels
            or more, whole and in color: one reads symbols, the other makes pixels. The
            result is the same, and so is every error. The threads are shared by all calls
            of the process.

    Returns:
        C-contiguous ``uint8`` pixels, H×W for "L", else H×W×3 or H×W×4. EXIF's
        orientation is not applied unless `orient` is set.

    Raises:
        JPEGError: The file is corrupt, unsupported or beyond a limit.
        OSError: The file cannot be opened.
        TypeError: An argument has a wrong type.
        ValueError: The file cannot be converted to the mode, a step or an option is
            out of range, options exclude each other, the region does not lie inside
            the image, or `out` does not fit.
    """
    tables = decoder_steps(qtables)
    if orient is False and fit is None and region is None:  # as a rule, and faster so
        reading = reading_with(mode, scale, False, strict, limits)
    else:
        reading = Reading(
            mode=mode,
            scale=scale,
            fit=fit,
            orient=orient,
            region=region,
            strict=strict,
            limits=limits,
        )
    return decoding.decode(source, tables, reading, out, workers=worker_count(workers))


def snap(
    source: Source,
    qtables: QTablesLike,
    *,
    strict: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> Pixels:
    """Decode a JPEG file, encode the pixels onto tables, and decode them again.

    The result is ``decode(encode(decode(source), qtables), qtables)``, byte for byte, in
    less time. Unlike ``decode(source, qtables)``, it depends on nothing but the pixels:
    what `Certificate.radii` promises of the pixels that an attacker can reach is
    true of files of every kind, of any sampling, color space and completeness.

    Args:
        source: Bytes-like, a path, or a binary file object.
        qtables: Tables with steps of 1...8191.
        strict: As in `decode`.
        limits: The limits on the file.

    Returns:
        C-contiguous ``uint8`` pixels, H×W×3 (RGB), also of gray files.

    Raises:
        JPEGError: The file is corrupt, unsupported or beyond a limit.
        OSError: The file cannot be opened.
        TypeError: An argument has a wrong type.
        ValueError: A step is out of range.
    """
    tables = steps_within(qtables, ENCODER_STEP)
    reading = reading_with("RGB", 1, False, strict, limits)
    data = read_source(source, limits)
    frame = binding.probe(data, limits)
    shape = (frame.height, frame.width, 3)
    if frame.multiscan:
        held = frame.coefficient_bytes + len(data) + math.prod(shape)
        check_memory(limits, held)
    pixels = np.empty(shape, np.uint8)
    binding.snap(data, reading, tables, pixels, stacklevel=2)
    return pixels


def read_coefficients(
    source: Source, *, strict: bool = True, limits: Limits = DEFAULT_LIMITS
) -> Coefficients:
    """Read a file's quantized DCT coefficients.

    Args:
        source: Bytes-like, a path, or a binary file object.
        strict: As in `decode`.
        limits: The limits on the file.

    Raises:
        JPEGError: The file is corrupt, unsupported or beyond a limit.
        OSError: The file cannot be opened.
    """
    reading = reading_with("RGB", 1, False, strict, limits)
    data = read_source(source, limits)
    frame = binding.probe(data, limits)
    sizes = [64 * high * wide for high, wide in frame.blocks]
    check_memory(limits, len(data) + frame.coefficient_bytes + 2 * sum(sizes))
    flat = np.empty(sum(sizes), np.int16)
    tables = binding.read_coefficients(data, reading, flat, len(sizes))
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return Coefficients(
        components=tuple(
            part.reshape(*blocks, 8, 8) for part, blocks in zip(parts, frame.blocks, strict=True)
        ),
        qtables=QTables(tables),
        sampling=frame.sampling,
        width=frame.width,
        height=frame.height,
        color_space=frame.color_space,
    )


# ---- writing --------------------------------------------------------------


def encode(
    image: npt.ArrayLike | Image | Planes,
    qtables: QTablesLike,
    *,
    mode: PixelMode | None = None,
    layout: Layout = "HWC",
    subsampling: Subsampling = "4:4:4",
    progressive: bool = False,
    optimize: bool = False,
    baseline: bool = True,
    exif: bytes | None = None,
    icc_profile: bytes | None = None,
    comment: bytes | str | None = None,
    radius: int | None = None,
    radius_files: int | None = None,
    max_loss: float = 1.0,
    restart_rows: int | None = None,
    workers: int | None = 1,
) -> bytes:
    r"""Encode an image with exactly the given tables.

    Args:
        image: ``uint8`` pixels, H×W×3 or H×W (grayscale), with any strides: an array, or a
            tensor in the CPU's memory; or a `PIL.Image` of mode "RGB" or "L". With
            ``mode="YCbCr"`` also a tuple of planes, (Y, Cb, Cr) or (Y, CbCr), whose chroma
            is subsampled already: Y is H×W, and Cb and Cr have the rows and columns that
            cover it, in 4:2:0 ⌈H/2⌉×⌈W/2⌉; or CbCr is an array of pairs, ⌈H/2⌉×⌈W/2⌉×2 or
            ⌈H/2⌉×2⌈W/2⌉ (NV12). They are neither converted nor resampled.
        qtables: Tables with steps of 1...255, or 1...8191 with
            ``baseline=False``. They are never rescaled.
        mode: The color of the pixels, which is never guessed: "RGB", "BGR", "L", or
            "YCbCr" (as `decode` gives it, also as a PIL image); None for RGB or, without
            an axis of channels, gray. B, G, R and Y, Cb, Cr are encoded as they are,
            without a conversion to R, G, B in between.
        layout: The order of the axes, which is never guessed: "HWC", or "CHW" for 3×H×W,
            1×H×W or H×W.
        subsampling: The subsampling of the chroma: "4:4:4", "4:2:2", "4:2:0" or
            "4:4:0". It has no effect on grayscale. With subsampled chroma, some
            coefficients do not return to the grid, even in an image that was not
            perturbed.
        progressive: Write a progressive file.
        optimize: Write Huffman tables made for this image: smaller, slower.
        baseline: Refuse steps that a baseline decoder does not have to support.
        exif: An EXIF block, with or without its leading ``Exif\0\0``.
        icc_profile: An ICC profile.
        comment: A comment; text is written as UTF-8.
        radius: A strength ε in whole 8-bit levels, 0...255, to certify the file for: its
            decoded pixels p have a radius beyond ε in every block (`certify`), and for all
            integers e with |e| ≤ ε and p + e in 0...255, ``encode(p + e, qtables)`` has the
            file's coefficients. Blocks that hold anyway keep the coefficients of a plain
            encoding. Others are replaced with the closest ones found that hold, in the
            last resort flat ones. p and e are in RGB, whatever `mode` is. With subsampled
            chroma, `mode` must not be "YCbCr". `QTables.certified` makes tables for it.
        radius_files: A strength in whole levels, 0...126, to certify the file for against
            other files (`Certificate.file_radius`). It is a promise of its own; ask for
            both radii to have both. The sides must be multiples of 8, and the chroma not
            subsampled.
        max_loss: The PSNR in dB, of the decoded image against `image`, that a radius may
            cost compared to a plain encoding. It counts for subsampled chroma only, where
            the search is for the whole image and may fail.
        restart_rows: Write a restart marker after every so many rows of MCUs (of 8 pixels,
            or 16 with chroma that is subsampled vertically), 1...65535; fewer if these are
            more than 65535 MCUs. A marker takes about 4 bytes, but at these places a decoder can
            start: with `workers`, in a `region`, and behind damage.
        workers: The number of threads for this image, at most, as in `decode`. More than
            one encode the pixels of a baseline file with `restart_rows`, without
            `optimize`, in strips. The file is the same, byte for byte.

    Returns:
        A JFIF file, which any decoder can read.

    Raises:
        CertificateError: With subsampled chroma, no file with this radius was found, or
            it costs more than `max_loss`.
        TypeError: The image is a file or cannot be an array, the metadata are not bytes,
            or a radius is not a whole number.
        ValueError: The image's shape, dtype or mode, a step or the metadata do not fit, or
            a step is too small for a radius; the message says which it takes.
    """
    tables = steps_within(qtables, BASELINE_STEP if baseline else ENCODER_STEP)
    options = None
    if (
        exif is None
        and icc_profile is None
        and comment is None
        and radius is None
        and radius_files is None
        and restart_rows is None
        and isinstance(max_loss, (int, float))
        and max_loss == 1.0
    ):
        options = encoding.plain(mode, layout, subsampling, progressive, optimize)
    if options is None:
        options = encoding.Encoding(
            mode=mode,
            layout=layout,
            subsampling=subsampling,
            progressive=progressive,
            optimize=optimize,
            exif=exif,
            icc_profile=icc_profile,
            comment=comment,
            radius=radius,
            radius_files=radius_files,
            max_loss=max_loss,
            restart_rows=restart_rows,
        )
    return encoding.encode(image, tables, options, worker_count(workers))


def write_coefficients(
    coefficients: Coefficients,
    *,
    progressive: bool = False,
    optimize: bool = False,
    exif: bytes | None = None,
    icc_profile: bytes | None = None,
    comment: bytes | str | None = None,
) -> bytes:
    """Write quantized DCT coefficients as a JPEG file, without loss.

    Steps are 1...65535, and are written unchanged.

    Args:
        coefficients: The coefficients, tables, size, sampling and color space.
        progressive: As in `encode`.
        optimize: As in `encode`.
        exif: As in `encode`.
        icc_profile: As in `encode`.
        comment: As in `encode`.

    Raises:
        ValueError: The blocks do not fit the stated size, or a coefficient is outside
            the range of Huffman coding.
    """
    checked = coefficients.checked()
    qtables = as_qtables(coefficients.qtables)
    tables = np.stack([qtables[i] for i in range(len(coefficients.sampling))])
    frame = (
        coefficients.width,
        coefficients.height,
        coefficients.color_space,
        coefficients.sampling,
    )
    segments = _metadata.build(exif, icc_profile, comment)
    how = binding.writing_how(bool(progressive), bool(optimize))
    return binding.write_coefficients(frame, checked, tables, how, segments)


def requantize(
    source: Source,
    qtables: QTablesLike,
    *,
    progressive: bool = False,
    optimize: bool = False,
    metadata: bool | Collection[str] = True,
    baseline: bool = True,
    radius: int | None = None,
    radius_files: int | None = None,
    orient: Orient = False,
    strict: bool = True,
    limits: Limits = DEFAULT_LIMITS,
    restart_rows: int | None = None,
    workers: int | None = 1,
) -> bytes:
    """Make a defended JPEG from a JPEG, without leaving the coefficient domain.

    The output has the given tables, and the coefficients that
    ``decode(source, qtables)`` uses. Multi-picture data and bytes after the end of
    the image are dropped. A single-scan file is re-quantized block by block as it
    is read. All coefficients are held in memory if the input or the output is
    progressive, or with ``optimize=True``; twice, if the image is turned.

    With a radius, it makes a certified file. A certificate is about pixels, so this
    one leaves the coefficient domain: the file is decoded without tables, and its
    pixels are encoded in 4:4:4, as ``encode(decode(source, mode), qtables, radius=…)``
    does, "L" being the mode of gray files. The certificate is of the new file's
    decoded pixels; of what was done to the source before, it says nothing. A file
    that has the radius already keeps its coefficients.

    Args:
        source: Bytes-like, a path, or a binary file object.
        qtables: Tables with steps of 1...255, or with ``baseline=False`` of 1...32767,
            or of 1...8191 for a radius.
        progressive: Write a progressive file.
        optimize: Write Huffman tables made for this image: smaller, slower.
        metadata: What to keep of it: True for all that has an allow-list, position and
            all; False for nothing; or some of the names "icc", "orientation", "exif"
            (with the orientation, without the position), "gps", "iptc", "xmp" and
            "comment". ``{"icc", "orientation"}`` is what a service needs to show the
            image as it was meant, and says nothing of who took it where. The lists have
            no field that holds or may hold undefended pixels. All but False keep the
            JFIF density. Damaged fields are left out; with ``strict=False`` the
            `JPEGWarning` names them.
        baseline: Refuse steps that a baseline decoder does not have to support.
        radius: A strength in whole levels to certify the file for, as in `encode`. It
            holds input, pixels, output and coefficients, as far as they must be in
            memory, to `Limits.max_memory`.
        radius_files: A strength to certify the file for against other files, as in
            `encode`: the sides must be multiples of 8.
        orient: Make the image upright, as EXIF's orientation says (read as by `decode`),
            before it is re-quantized: without loss, by transposing blocks, tables and
            sampling factors and changing signs of coefficients. True refuses a file with
            an edge that would have to move and does not fill an MCU, of 8 or 16 pixels
            or more; "trim" drops such edges. What is kept of the metadata describes the
            turned image, with the orientation 1. No certificate of the source holds for
            the turned image. With a radius, it is the pixels that are turned, whole, and
            the certificate is of the turned image.
        strict: As in `decode`.
        limits: The limits on the file.
        restart_rows: Write restart markers, as in `encode`. Those of the source are not
            kept.
        workers: The number of threads for this file, at most, as in `decode`. More than
            one re-quantize a file with restart markers to one with `restart_rows` in
            strips, unless it is turned, progressive, optimized or gets a radius.

    Raises:
        UnsupportedJPEGError: With `orient`, an edge cannot move without loss.
        JPEGError: The file is corrupt, unsupported or beyond a limit.
        OSError: The file cannot be opened.
        TypeError: `metadata` is neither a bool nor a collection of names, `orient` is
            neither a bool nor a text, or a radius is not a whole number.
        ValueError: A step is out of range, `metadata` has an unknown name, `orient` is
            another text than "trim", a step is too small for a radius (the message says
            which it takes), or a radius is asked of a file of four components.
    """
    most = DECODER_STEP if radius is radius_files is None else ENCODER_STEP
    tables = steps_within(qtables, BASELINE_STEP if baseline else most)
    names = _metadata.names_of(metadata)
    to_turn = turns(orient)
    count = worker_count(workers)
    reading = reading_with("RGB", 1, False, strict, limits)
    data = read_source(source, limits)
    frame, segments = binding.probe_segments(data, limits)
    found = _metadata.payloads(data, segments)
    turned = opencv_exif.orientation(found) if to_turn else None
    kept = _metadata.kept(found, names or (), turned)
    least, least_file = least_radii(frame, tables, radius, radius_files)
    rows = encoding.checked_restart_rows(restart_rows) or 0
    density, trim = names is not None, orient == "trim"
    how = binding.writing_how(
        bool(progressive), bool(optimize), "L", rows, 1, density, least, least_file, trim
    )
    left_out = "" if strict else kept.left_out
    return binding.requantize(
        data, reading, tables, how, kept.segments, left_out, turned or UPRIGHT, frame, count
    )
