"""The search for a certified file with subsampled chroma.

A block holds a strength ε if all pixels within ±ε of the decoded ones are quantized to
its coefficients. With subsampled chroma, the decoded pixels depend on the blocks around,
so the search goes over the whole image in rounds: it decodes, checks all blocks exactly,
and changes the coefficients of those that do not hold, or, if need be, of blocks near
them. What it changes them to follows from models of the codec: `smoothing` for chroma,
`luma` for luma. Colors outside of RGB, which the decoder cuts off, are made paler. A
block that does not hold for long loses its high frequencies, then its contrast, and then
takes its neighbours with it: an image of nothing but level 128 always holds.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._core import binding, decoding
from pyfd._core.arithmetic import DCT, YCBCR
from pyfd._core.luma import Blocks, nearest
from pyfd._core.pixels import Pixels
from pyfd._core.planes import Places, Plane
from pyfd._core.reading import Mode, Reading
from pyfd._core.smoothing import Chroma, mend, response, spread
from pyfd.errors import CertificateError
from pyfd.limits import Limits

Floats: TypeAlias = npt.NDArray[np.float32]
Integers: TypeAlias = npt.NDArray[np.int32]
Bools: TypeAlias = npt.NDArray[np.bool_]

_ROUNDS = 100
_STEPS = 40  # rounds of `mend` for each of these

# After so many rounds in which a block did not hold, it is treated otherwise. A block that
# does not hold after more than `_LATE` rounds counts as if it had not held in all the others.
_LOW_PASS, _PALE, _FLAT, _SPREAD = 12, 16, 32, 40
_LATE = 20

# The numbers that follow were tuned on photographs, whose loss hardly depends on them
_PALER, _MUCH_PALER = 0.93, 0.8  # the contrast that a round leaves
_CUT = 1.0  # levels of a coefficient from which on cut colors are made paler
_PRICE, _WEIGHT = 0.1, 40.0  # the first of `Chroma.price` and of `Blocks.weight`

_ROUNDING = 3 / 8  # of a coefficient by the integer DCT, at most
_NOISE = 0.7  # what the rounding of pixels usually adds to the errors of chroma

_GAINS = np.outer(*(2 * [np.abs(DCT).sum(axis=1)])).ravel().astype(np.float32)
_FREQUENCIES = np.add.outer(np.arange(8), np.arange(8)).ravel()
_TO_RGB = np.linalg.inv(YCBCR)

# The decoder's conversion to RGB, times 2¹⁶: what Cb and Cr add to R, G and B
_SHIFTS = np.array([[0, -22554, 116130], [91881, -46802, 0]])

_TRUSTED = Limits.unlimited()
_PLAIN = binding.writing_how(False, False)


def encode(
    pixels: Pixels,
    factors: tuple[int, int],
    tables: npt.NDArray[np.uint16],
    epsilon: int,
    max_loss: float,
    how: Any,
    segments: bytes,
) -> bytes:
    """Encode RGB pixels so that every block of the file holds a strength.

    Args:
        pixels: The pixels.
        factors: The pixels per chroma sample, horizontally and vertically.
        tables: The tables, (tables, 8, 8); the last one also serves the components after it.
        epsilon: The strength, at which level 128 must hold with these tables.
        max_loss: The PSNR in dB that this may cost compared to a plain encoding.
        how: As `binding.writing_how` returns it.
        segments: The segments to insert.

    Raises:
        CertificateError: No such file was found, or it costs more.
    """
    image = _Image(pixels, factors, tables, epsilon)
    _search(image, max_loss)
    return image.file(how, segments)


def _search(image: _Image, max_loss: float) -> None:
    left, loss = image.check(), 0.0
    for _ in range(_ROUNDS):
        if not left or loss > 2 * max_loss:
            break
        image.mend()
        left, loss = image.check(), image.loss()
    if left and math.isinf(max_loss):
        image.flatten()
        left, loss = image.check(), image.loss()
    if left or loss > max_loss:
        raise CertificateError(_message(left, loss, image.epsilon, max_loss))


def _message(left: int, loss: float, epsilon: int, max_loss: float) -> str:
    advice = "larger steps for chroma cost less, and 4:4:4 always succeeds"
    blocks = f"{left} block{'s do' if left > 1 else ' does'} not hold it"
    if loss <= max_loss:
        return (
            f"with subsampled chroma, no file with radius {epsilon} was found: after {_ROUNDS} "
            f"rounds, {blocks}; max_loss=math.inf allows flat ones; {advice}"
        )
    so_far = f" so far, and {blocks}" if left else ""
    return (
        f"with subsampled chroma, radius {epsilon} costs {loss:.2f} dB{so_far}: more than "
        f"max_loss={max_loss:g}, which may be raised; {advice}"
    )


def _places(mask: Bools) -> Places:
    rows, columns = np.nonzero(mask)
    return rows, columns


class _State:
    """The luma or the chroma of an image: arrays of one or two components."""

    def __init__(self, planes: list[Plane], steps: Floats, epsilon: int) -> None:
        self.planes = planes
        self.shape = len(planes), *planes[0].shape
        self.steps = steps.reshape(-1, 64)
        self.margins = (self.steps / 2 - _GAINS * epsilon - _ROUNDING).clip(min=0)
        self.coefficients: Integers = np.zeros((*self.shape, 64), np.int32)
        self.failing: Bools = np.zeros(self.shape, np.bool_)
        self.tries = np.zeros(self.shape, np.int32)

    def transformed(self, image: Pixels, mask: Bools) -> Floats:
        """Return the coefficients of an image before quantization, zeros outside the mask."""
        found = np.zeros((*self.shape, 64), np.float32)
        for plane, where, out in zip(self.planes, mask, found, strict=True):
            out[where] = plane.coefficients(image, _places(where))
        return found

    def errors(self, decoded: Pixels, mask: Bools) -> Floats:
        """Return how far the decoded image is from the grid, zeros outside the mask."""
        found = self.transformed(decoded, mask)
        grid = self.coefficients * self.steps[:, np.newaxis, np.newaxis]
        found[mask] -= grid[mask]
        return found

    def rounded(self, values: Floats) -> Integers:
        """Return the quantized coefficients of all blocks."""
        sizes = np.floor(np.abs(values) / self.steps[:, np.newaxis, np.newaxis] + 0.5)
        return np.copysign(sizes, values).astype(np.int32)


class _Image:
    """An image during the search."""

    def __init__(
        self,
        pixels: Pixels,
        factors: tuple[int, int],
        tables: npt.NDArray[np.uint16],
        epsilon: int,
    ) -> None:
        height, width = pixels.shape[:2]
        self.pixels, self.factors, self.epsilon = pixels, factors, epsilon
        self.tables = tables[[min(i, len(tables) - 1) for i in range(3)]]
        self.tables.flags.writeable = False
        self.frame = width, height, "YCbCr", (factors, (1, 1), (1, 1))
        steps = self.tables.astype(np.float32)
        planes = [Plane(i, height, width, *(factors if i else (1, 1))) for i in range(3)]
        self.luma = _State(planes[:1], steps[:1], epsilon)
        self.chroma = _State(planes[1:], steps[1:], epsilon)
        self.original = self.chroma.transformed(pixels, np.ones(self.chroma.shape, np.bool_))
        self.blocks = [plane.shape for plane in planes]
        self.rounds = 0
        self.contrast = np.ones(self.chroma.shape, np.float32)
        self.response = response(height, width, factors)
        self.luma.coefficients[0], *self.chroma.coefficients[:] = self.quantized(pixels)
        self.plain_error = self.error(self.decode())

    def quantized(self, image: Pixels) -> list[Integers]:
        """Return the coefficients of a plain encoding, (high, wide, 64) for each component."""
        data = binding.encode(image, self.factors, self.tables, _PLAIN, b"")
        sizes = [64 * high * wide for high, wide in self.blocks]
        flat = np.empty(sum(sizes), np.int16)
        binding.read_coefficients(data, Reading(limits=_TRUSTED), flat, 3)
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        shapes = [(*blocks, 64) for blocks in self.blocks]
        return [
            part.reshape(shape).astype(np.int32) for part, shape in zip(parts, shapes, strict=True)
        ]

    def file(self, how: Any, segments: bytes) -> bytes:
        """Return a file of the coefficients."""
        parts = [*self.luma.coefficients, *self.chroma.coefficients]
        flat = np.concatenate([part.ravel() for part in parts]).astype(np.int16)
        return binding.write_coefficients(self.frame, flat, self.tables, how, segments)

    def decode(self, mode: Mode = "RGB") -> Pixels:
        """Decode the coefficients."""
        reading = Reading(limits=_TRUSTED, mode=mode)
        return decoding.decode(self.file(_PLAIN, b""), None, reading)

    def error(self, decoded: Pixels) -> float:
        """Return the mean squared error of a decoded image."""
        return float(np.mean((decoded.astype(np.float32) - self.pixels) ** 2))

    def loss(self) -> float:
        """Return the PSNR in dB that the coefficients cost compared to plain ones."""
        error = self.error(self.decoded)
        if error <= self.plain_error:
            return 0.0
        return 10 * math.log10(error / self.plain_error) if self.plain_error else math.inf

    def check(self) -> int:
        """Find the blocks that do not hold, and return their number."""
        self.decoded = self.decode()
        found = binding.certify(self.decoded, self.factors, self.tables, self.blocks, self.epsilon)
        moved = [
            (ours != theirs).any(axis=2)
            for ours, theirs in zip(
                (*self.luma.coefficients, *self.chroma.coefficients),
                self.quantized(self.decoded),
                strict=True,
            )
        ]
        failing = [(holds == 0) | other for holds, other in zip(found, moved, strict=True)]
        self.luma.failing[0], *self.chroma.failing[:] = failing
        return sum(int(part.sum()) for part in failing)

    def flatten(self) -> None:
        """Make everything level 128."""
        self.luma.coefficients[:] = self.chroma.coefficients[:] = 0

    def mend(self) -> None:
        """Change the coefficients of blocks that do not hold, and of those near them."""
        self.rounds += 1
        planes = self.decode("YCbCr")
        before = self.chroma.coefficients.copy()
        self._count(self.chroma, self.chroma.failing)
        if self.chroma.failing.any():
            self._mend_chroma(planes)
        # Luma that these pixels tell nothing about waits for the next round
        moved = (self.chroma.coefficients != before).any(axis=(0, 3))
        ready = self.luma.failing & ~self._over_luma(spread(moved))
        self._count(self.luma, ready)
        if ready.any():
            self._mend_luma(planes, ready[0])
        self._give_up()

    def _count(self, state: _State, failing: Bools) -> None:
        """Count the rounds in which a block did not hold."""
        state.tries[failing] = np.maximum(state.tries[failing] + 1, self.rounds - _LATE)

    # ---- chroma ---------------------------------------------------------------

    def _mend_chroma(self, planes: Pixels) -> None:
        chroma, tries = self.chroma, self.chroma.tries
        cut = self._cut(planes)
        pale = chroma.failing & (np.abs(cut).max(axis=3) > _CUT) & (tries % 4 != 0)
        self.contrast[pale] *= np.where(tries[pale] > _PALE, _MUCH_PALER, _PALER)
        wish = self.contrast[..., np.newaxis] * self.original
        errors = chroma.errors(self.decoded, spread(chroma.failing, 2)) - cut
        chroma.coefficients[pale] = chroma.rounded(wish)[pale]
        rest = chroma.failing & ~pale
        self._low_pass(rest & (tries > _LOW_PASS) & (tries % 3 == 0))
        margins = self._chroma_margins(errors)
        price = np.float32(_PRICE) * np.float32(0.5) ** tries
        mend(
            Chroma(chroma.coefficients, chroma.steps, wish, errors, margins, price),
            rest,
            self.response,
            _STEPS,
        )

    def _chroma_margins(self, errors: Floats) -> Floats:
        """Return the errors to aim at; blocks that hold may keep those that they have."""
        margins = self.chroma.margins[:, np.newaxis, np.newaxis]
        aim = np.maximum(margins - _NOISE, 0.7 * margins)
        kept = np.where(self.chroma.failing[..., np.newaxis], 0, np.abs(errors))
        allowed: Floats = np.maximum(aim, kept)
        return allowed

    def _cut(self, planes: Pixels) -> Floats:
        """Return what the cut to 0...255 in RGB adds to the coefficients of failing blocks."""
        found = np.zeros((*self.chroma.shape, 64), np.float32)
        for plane, where, out in zip(self.chroma.planes, self.chroma.failing, found, strict=True):
            levels = plane.pixels(planes, _places(where)) - np.array([0.0, 128, 128])
            colors = levels @ _TO_RGB.T
            cut = (colors.clip(-0.5, 255.5) - colors) @ YCBCR[plane.component]
            samples = plane.sums(cut) / (plane.across * plane.down)
            out[where] = (DCT @ samples @ DCT.T).reshape(-1, 64)
        return found

    def _low_pass(self, mask: Bools) -> None:
        """Take away the highest frequencies that are left, but not DC."""
        part = self.chroma.coefficients[mask]
        top = np.where(part, _FREQUENCIES, 0).max(axis=1, initial=0)[:, np.newaxis]
        part[(_FREQUENCIES > 0) & (top <= _FREQUENCIES)] = 0
        self.chroma.coefficients[mask] = part

    # ---- luma -----------------------------------------------------------------

    def _mend_luma(self, planes: Pixels, mask: Bools) -> None:
        places = _places(mask)
        blocks = self._luma_blocks(planes, places)
        luma = self.luma.coefficients[0]
        luma[mask] = nearest(blocks, luma[mask])

    def _luma_blocks(self, planes: Pixels, places: Places) -> Blocks:
        luma = self.luma
        (plane,), steps = luma.planes, luma.steps[0]
        chroma = plane.pixels(planes, places).reshape(-1, 64, 3)[..., 1:].astype(np.int32) - 128
        rows = np.minimum(np.arange(8), plane.height - 1 - 8 * places[0][:, np.newaxis])
        columns = np.minimum(np.arange(8), plane.width - 1 - 8 * places[1][:, np.newaxis])
        shown = 8 * rows[:, :, np.newaxis] + columns[:, np.newaxis]
        weight = _WEIGHT * (steps.max() / 24) ** 2 * 4.0 ** luma.tries[0][places].clip(max=12)
        return Blocks(
            chroma=((chroma @ _SHIFTS + (1 << 15)) >> 16).astype(np.float32),
            shown=shown.reshape(-1, 64),
            wish=plane.coefficients(self.pixels, places).astype(np.float32),
            steps=steps.astype(np.float32),
            margins=luma.margins[0].astype(np.float32),
            weight=weight.astype(np.float32),
        )

    # ---- last resorts ---------------------------------------------------------

    def _give_up(self) -> None:
        """Bring blocks that never hold closer to level 128, then those around them too."""
        for state in (self.luma, self.chroma):
            tired = self._tired(state)
            if state is self.chroma:
                tired = tired | self._over_chroma(self._tired(self.luma)[0])
            part = state.coefficients[tired]
            state.coefficients[tired] = np.trunc(0.8 * part).astype(np.int32)

    @staticmethod
    def _tired(state: _State) -> Bools:
        tries = np.where(state.failing, state.tries, 0)
        tired: Bools = tries > _FLAT
        for more in range(_SPREAD, int(tries.max()), 4):
            tired = tired | spread(tries > more, 2 ** ((more - _SPREAD) // 4))
        return tired

    def _over_luma(self, mask: Bools) -> Bools:
        """Return the luma blocks over some blocks of chroma."""
        across, down = self.factors
        _, high, wide = self.luma.shape
        found: Bools = mask.repeat(down, 0).repeat(across, 1)[:high, :wide]
        return found

    def _over_chroma(self, mask: Bools) -> Bools:
        """Return the chroma blocks under some blocks of luma."""
        across, down = self.factors
        _, high, wide = self.chroma.shape
        whole = np.zeros((high * down, wide * across), np.bool_)
        whole[: mask.shape[0], : mask.shape[1]] = mask
        parts = whole.reshape(high, down, wide, across)
        found: Bools = np.any(parts, axis=(1, 3))
        return found
