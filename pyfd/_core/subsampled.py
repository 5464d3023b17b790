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
from typing import TypeAlias

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

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

_ROUNDS = 100
_STEPS = 40  # rounds of `mend` for each of these

# After so many rounds in which a block did not hold, it is treated otherwise
_LOW_PASS, _PALE, _FLAT, _SPREAD = 12, 16, 32, 40

_PALER = 0.93, 0.8
_NOISE = 0.7
_LATE = 20

_ROUNDING = 3 / 8  # what the integer DCT rounds at most
_CUT = 1.0  # from here on, what is cut off matters
_PRICE, _WEIGHT = 0.1, 10.0  # see `Chroma.price` and `Blocks.weight`; tuned on photographs

_GAINS = np.outer(*(2 * [np.abs(DCT).sum(axis=1)])).ravel()
_FREQUENCIES = np.add.outer(np.arange(8), np.arange(8)).ravel()
_TO_RGB = np.linalg.inv(YCBCR)

# The decoder's conversion to RGB, times 2¹⁶: what Cb and Cr add to R, G and B
_SHIFTS = np.array([[0, -22554, 116130], [91881, -46802, 0]])

_TRUSTED = Limits.unlimited()
_PLAIN = binding.writing(False, False)


def search(
    pixels: Pixels,
    factors: tuple[int, int],
    tables: npt.NDArray[np.uint16],
    epsilon: int,
    max_loss: float,
) -> list[npt.NDArray[np.int16]]:
    """Find coefficients close to those of a plain encoding that hold a strength everywhere.

    Args:
        pixels: RGB pixels.
        factors: The pixels per chroma sample, horizontally and vertically.
        tables: The tables, (tables, 8, 8); the last one also serves the components after it.
        epsilon: The strength, with which level 128 must hold.
        max_loss: The PSNR in dB that this may cost compared to a plain encoding.

    Returns:
        The coefficients of Y, Cb and Cr: (high, wide, 8, 8).

    Raises:
        CertificateError: None were found, or they cost more.
    """
    image = _Image(pixels, factors, tables, epsilon)
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
        raise CertificateError(_message(left, loss, epsilon, max_loss))
    return image.coefficients()


def _message(left: int, loss: float, epsilon: int, max_loss: float) -> str:
    advice = "larger steps for chroma cost less, and 4:4:4 always succeeds"
    if loss <= max_loss:
        return (
            f"with subsampled chroma, {left} blocks still do not hold radius {epsilon} after "
            f"{_ROUNDS} rounds; max_loss=math.inf makes them flat; {advice}"
        )
    so_far = f" so far, with {left} blocks left" if left else ""
    return (
        f"with subsampled chroma, radius {epsilon} costs {loss:.2f} dB{so_far}, more than "
        f"max_loss={max_loss:g}: a larger max_loss allows it; {advice}"
    )


class _State:
    """The luma or the chroma of an image: arrays of one or two components."""

    def __init__(self, planes: list[Plane], steps: Floats, epsilon: int, image: Pixels) -> None:
        self.planes = planes
        self.shape = len(planes), *planes[0].shape
        self.steps = steps.reshape(-1, 64)
        self.margins = (self.steps / 2 - _GAINS * epsilon - _ROUNDING).clip(min=0)
        self.coefficients: Integers = np.zeros((*self.shape, 64), np.int64)
        self.failing: Bools = np.zeros(self.shape, np.bool_)
        self.tries: Integers = np.zeros(self.shape, np.int64)
        self.errors: Floats = np.zeros((*self.shape, 64))
        self.original: Floats = np.zeros((*self.shape, 64))
        self.transform(image, np.ones(self.shape, np.bool_), self.original)

    def transform(self, image: Pixels, mask: Bools, out: Floats) -> None:
        """Put the coefficients of some blocks of an image, before quantization, into `out`."""
        for plane, where, found in zip(self.planes, mask, out, strict=True):
            found[where] = plane.coefficients(image, np.nonzero(where))

    def rounded(self, values: Floats) -> Integers:
        """Return the quantized coefficients of all blocks."""
        sizes = np.floor(np.abs(values) / self.steps[:, np.newaxis, np.newaxis] + 0.5)
        return np.copysign(sizes, values).astype(np.int64)


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
        self.frame = width, height, "YCbCr", (factors, (1, 1), (1, 1))
        steps = self.tables.astype(np.float64)
        planes = [Plane(i, height, width, *(factors if i else (1, 1))) for i in range(3)]
        self.luma = _State(planes[:1], steps[:1], epsilon, pixels)
        self.chroma = _State(planes[1:], steps[1:], epsilon, pixels)
        self.blocks = [plane.shape for plane in planes]
        self.rounds = 0
        self.contrast = np.ones(self.chroma.shape)
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
            part.reshape(shape).astype(np.int64)
            for part, shape in zip(parts, shapes, strict=True)
        ]

    def coefficients(self) -> list[npt.NDArray[np.int16]]:
        """Return the coefficients, (high, wide, 8, 8) for each component."""
        parts = [*self.luma.coefficients, *self.chroma.coefficients]
        return [part.reshape(*part.shape[:2], 8, 8).astype(np.int16) for part in parts]

    def decode(self, mode: Mode = "RGB") -> Pixels:
        """Decode the coefficients."""
        flat = np.concatenate([part.ravel() for part in self.coefficients()])
        data = binding.write_coefficients(self.frame, flat, self.tables, _PLAIN, b"")
        return decoding.decode(data, None, Reading(limits=_TRUSTED, mode=mode))

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
        found = binding.certify(
            self.decoded, self.factors, self.tables, self.blocks, self.epsilon
        )
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
        planes = self.decode("YCbCr")
        before = self.chroma.coefficients.copy()
        self.rounds += 1
        self.chroma.tries += self.chroma.failing
        late = np.where(self.chroma.failing, self.rounds - _LATE, 0)
        np.maximum(self.chroma.tries, late, out=self.chroma.tries)
        if self.chroma.failing.any():
            self._mend_chroma(planes)
        moved = (self.chroma.coefficients != before).any(axis=(0, 3))
        ready = self.luma.failing[0] & ~self._over_luma(spread(moved))
        self.luma.tries[0] += ready
        if ready.any():
            self._mend_luma(planes, ready)
        self._give_up()

    # ---- chroma ---------------------------------------------------------------

    def _mend_chroma(self, planes: Pixels) -> None:
        chroma, tries = self.chroma, self.chroma.tries
        chroma.transform(self.decoded, spread(chroma.failing, 2), chroma.errors)
        near = spread(chroma.failing, 2)
        grid = chroma.coefficients * chroma.steps[:, np.newaxis, np.newaxis]
        chroma.errors[near] -= grid[near]
        errors = chroma.errors - self._cut(planes)
        pale = chroma.failing & (np.abs(chroma.errors - errors).max(axis=3) > _CUT) & (tries % 4 != 0)
        self.contrast[pale] *= np.where(tries[pale] > _PALE, *_PALER[::-1])
        wish = self.contrast[..., np.newaxis] * chroma.original
        chroma.coefficients[pale] = chroma.rounded(wish)[pale]
        rest = chroma.failing & ~pale
        self._low_pass(rest & (tries > _LOW_PASS) & (tries % 3 == 0))
        margins = np.broadcast_to(chroma.margins[:, np.newaxis, np.newaxis], errors.shape)
        margins = np.maximum(margins - _NOISE, margins * 0.7)
        holding = ~chroma.failing[..., np.newaxis]
        margins = np.where(holding, np.maximum(margins, np.abs(errors)), margins)
        state = Chroma(
            chroma.coefficients,
            *(
                array.astype(np.float32)
                for array in (chroma.steps, wish, errors, margins, _PRICE * 0.5**tries)
            ),
        )
        mend(state, rest, self.response, _STEPS)

    def _cut(self, planes: Pixels) -> Floats:
        """Return what the cut to 0...255 in RGB adds to the coefficients of failing blocks."""
        found = np.zeros(self.chroma.errors.shape)
        for plane, where, out in zip(self.chroma.planes, self.chroma.failing, found, strict=True):
            levels = plane.pixels(planes, np.nonzero(where)) - np.array([0.0, 128, 128])
            colors = levels @ _TO_RGB.T
            cut = (colors.clip(-0.5, 255.5) - colors) @ YCBCR[plane.component]
            samples = plane.averages(cut) / (plane.across * plane.down)
            out[where] = (DCT @ samples @ DCT.T).reshape(-1, 64)
        return found

    def _low_pass(self, mask: Bools) -> None:
        """Take away the highest frequencies that are left, but not DC."""
        part = self.chroma.coefficients[mask]
        top = np.where(part, _FREQUENCIES, 0).max(axis=1, initial=0)[:, np.newaxis]
        part[(_FREQUENCIES >= top) & (_FREQUENCIES > 0)] = 0
        self.chroma.coefficients[mask] = part

    # ---- luma -----------------------------------------------------------------

    def _mend_luma(self, planes: Pixels, mask: Bools) -> None:
        places = np.nonzero(mask)
        blocks = self._luma_blocks(planes, places)
        luma = self.luma.coefficients[0]
        luma[mask] = nearest(blocks, luma[mask])

    def _luma_blocks(self, planes: Pixels, places: Places) -> Blocks:
        luma = self.luma
        (plane,), steps = luma.planes, luma.steps[0]
        chroma = plane.pixels(planes, places).reshape(-1, 64, 3)[..., 1:].astype(np.int64) - 128
        rows = np.minimum(np.arange(8), plane.height - 1 - 8 * places[0][:, np.newaxis])
        columns = np.minimum(np.arange(8), plane.width - 1 - 8 * places[1][:, np.newaxis])
        shown = 8 * rows[:, :, np.newaxis] + columns[:, np.newaxis]
        weight = _WEIGHT * (steps.max() / 24) ** 2 * 4.0 ** luma.tries[0][places].clip(max=12)
        return Blocks(
            chroma=((chroma @ _SHIFTS + (1 << 15)) >> 16).astype(np.float32),
            shown=shown.reshape(-1, 64),
            wish=luma.original[0][places].astype(np.float32),
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
            state.coefficients[tired] = np.trunc(0.8 * part).astype(np.int64)

    @staticmethod
    def _tired(state: _State) -> Bools:
        tries = np.where(state.failing, state.tries, 0)
        tired: Bools = tries > _FLAT
        for more in range(_SPREAD, int(tries.max()), 4):
            tired = tired | spread(tries > more, 2 ** ((more - _SPREAD) // 4))
        return tired

    def _over_luma(self, mask: Bools) -> Bools:
        """Return the luma blocks of some blocks of chroma."""
        across, down = self.factors
        _, high, wide = self.luma.shape
        found: Bools = mask.repeat(down, 0).repeat(across, 1)[:high, :wide]
        return found

    def _over_chroma(self, mask: Bools) -> Bools:
        """Return the chroma blocks of some blocks of luma."""
        across, down = self.factors
        _, high, wide = self.chroma.shape
        whole = np.zeros((high * down, wide * across), np.bool_)
        whole[: mask.shape[0], : mask.shape[1]] = mask
        found: Bools = whole.reshape(high, down, wide, across).any(axis=(1, 3))
        return found
