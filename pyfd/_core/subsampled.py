"""The search for coefficients of subsampled color that no perturbation within ε changes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pyfd._core import binding, decoding, intervals
from pyfd._core.arithmetic import BASIS, DCT, YCBCR
from pyfd._core.luma import Blocks, flipped, holding, nearest
from pyfd._core.pixels import Pixels
from pyfd._core.reading import Reading
from pyfd._core.smoothing import Chroma, mend, response, spread
from pyfd.errors import CertificateError
from pyfd.limits import Limits

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_ROUNDING = 3 / 8  # of the integer DCT
_ROUNDS = 100
WEIGHT = 10
_TRUSTED = Limits.unlimited()
GAINS = np.outer(*(2 * [np.abs(DCT).sum(axis=1)])).reshape(64)


class _Component:
    def __init__(self, pixels, component, epsilon, coefficients):
        self.component = component
        self.steps = component.steps.reshape(64)
        self.margins = (self.steps / 2 - GAINS * epsilon - _ROUNDING).clip(min=0)
        self.k = coefficients.reshape(*coefficients.shape[:2], 64).astype(np.int64)
        self.shape = self.k.shape[:2]
        self.height, self.width = pixels.shape[:2]
        every = np.ones(self.shape, bool)
        self.origin = self.analyse(pixels, every).reshape(*self.shape, 64)
        self.scale = np.ones(self.shape)
        self.tries = np.zeros(self.shape, int)
        self.failing = np.zeros(self.shape, bool)
        self.errors = np.zeros((*self.shape, 64))
        self.epsilon = epsilon

    def pixels_of(self, pixels, mask):
        c = self.component
        y, x = np.nonzero(mask)
        rows = np.minimum(8 * y[:, None] + np.arange(8), -(-self.height // c.down) - 1)
        rows = (rows[:, :, None] * c.down + np.arange(c.down)).reshape(len(y), 8 * c.down).clip(max=self.height - 1)
        wide = 8 * c.across
        columns = (wide * x[:, None] + np.arange(wide)).clip(max=self.width - 1)
        return pixels[rows[:, :, None], columns[:, None]]

    def analyse(self, pixels, mask):
        """The DCT's results: steps of 1/8 keep them as they are."""
        blocks = self.pixels_of(pixels, mask)
        exact = self.component._replace(steps=np.full((8, 8), 1 / 8))
        out = np.empty((len(blocks), 8, 8))
        for s in range(0, len(blocks), 256):
            part = blocks[s : s + 256]
            out[s : s + 256] = intervals.coefficient_bounds(part, np.zeros(len(part), np.int64), exact)[0]
        return out.reshape(-1, 64) / 8

    def check(self, pixels, mask):
        blocks, k = self.pixels_of(pixels, mask), self.k[mask].reshape(-1, 8, 8)
        ok = np.empty(len(blocks), bool)
        for s in range(0, len(blocks), 256):
            part = blocks[s : s + 256]
            low, high = intervals.coefficient_bounds(part, np.full(len(part), self.epsilon), self.component)
            ok[s : s + 256] = ((low == high) & (low == k[s : s + 256])).all(axis=(1, 2))
        self.failing[mask] = ~ok
        self.errors[mask] = self.analyse(pixels, mask) - self.k[mask] * self.steps

    @property
    def wish(self):
        return self.scale[:, :, None] * self.origin

    def rounded(self, mask):
        w = self.wish[mask]
        return (np.sign(w) * np.floor(np.abs(w) / self.steps + 0.5)).astype(np.int64)


class Search:
    def __init__(self, pixels, factors, tables, epsilon):
        self.pixels, self.factors = pixels, factors
        self.height, self.width = pixels.shape[:2]
        self.tables = np.ascontiguousarray(np.stack([tables[min(i, len(tables) - 1)] for i in range(3)]))
        self.how = binding.writing(False, False)
        data = binding.encode(pixels, factors, tables, self.how, b"")
        frame = binding.probe(data, _TRUSTED)
        sizes = [64 * h * w for h, w in frame.blocks]
        flat = np.empty(sum(sizes), np.int16)
        binding.read_coefficients(data, Reading(limits=_TRUSTED), flat, 3)
        parts = [p.reshape(*b, 8, 8) for p, b in zip(np.split(flat, np.cumsum(sizes)[:-1]), frame.blocks)]
        comps = intervals.components(3, list(self.tables), factors)
        self.parts = [_Component(pixels, c, epsilon, p) for c, p in zip(comps, parts)]
        self.frame = (self.width, self.height, "YCbCr", (factors, (1, 1), (1, 1)))
        self.response = response(self.height, self.width, factors)
        self.plain = self.decode()

    def file(self):
        flat = np.concatenate([p.k.ravel() for p in self.parts]).astype(np.int16)
        return binding.write_coefficients(self.frame, flat, self.tables, self.how, b"")

    def decode(self, mode="RGB"):
        return decoding.decode(self.file(), None, Reading(limits=_TRUSTED, mode=mode))

    def loss(self, p):
        e = lambda a: np.mean((a.astype(float) - self.pixels) ** 2)
        return 10 * np.log10(max(e(p), 1e-9) / max(e(self.plain), 1e-9))

    def luma_mask(self, mask):
        a, d = self.factors
        h, w = self.parts[0].shape
        return mask.repeat(d, 0).repeat(a, 1)[:h, :w]

    def chroma_mask(self, mask):
        a, d = self.factors
        h, w = self.parts[1].shape
        full = np.zeros((h * d, w * a), bool)
        full[: mask.shape[0], : mask.shape[1]] = mask
        return full.reshape(h, d, w, a).any((1, 3))

    def run(self, rounds=_ROUNDS, verbose=False, max_loss=np.inf):
        Y, *C = self.parts
        dirty = np.ones(C[0].shape, bool)
        for c in self.parts:
            c.base = c.k.copy()
            c.last = np.zeros(c.shape, int)
        self.padded = np.zeros(Y.shape, bool)
        if self.height % 8: self.padded[-1] = True
        if self.width % 8: self.padded[:, -1] = True
        self.luma_response = response(self.height, self.width, (1, 1))
        self.log = []
        for r in range(rounds):
            p = self.decode()
            Y.check(p, self.luma_mask(dirty))
            for c in C:
                c.check(p, dirty)
            left = [int(x.failing.sum()) for x in self.parts]
            self.log.append((left, self.loss(p)))
            if verbose and (r % 5 == 0 or not any(left)):
                print(r, left, "pad", int((Y.failing&self.padded).sum()), "loss", round(self.loss(p), 2))
            if not any(left) or self.loss(p) > 2 * max_loss:
                break
            for c in C:
                c.tries += c.failing
            before = [c.k.copy() for c in self.parts]
            ycc = self.decode("YCbCr")
            cuts = self.unclip(ycc)
            self.mend_chroma(cuts[1:])
            moved = spread(np.any([(c.k != b).any(2) for c, b in zip(C, before[1:])], axis=0))
            self.mend_luma(ycc, ~self.luma_mask(moved))
            self.give_up()
            ch = [(c.k != b).any(2) for c, b in zip(self.parts, before)]
            dirty = self.chroma_mask(ch[0]) | spread(ch[1] | ch[2])
        return left, r, self.loss(p), p

    def unclip(self, ycc):
        Y, *C = self.parts
        a, d = self.factors
        mcu = self.chroma_mask(Y.failing) | C[0].failing | C[1].failing
        cuts = [np.zeros(c.k.shape) for c in self.parts]
        y, x = np.nonzero(mcu)
        n = len(y)
        ycc = C[0].pixels_of(ycc, mcu).astype(float) - 128
        h, w = Y.shape
        yy = d * y[:, None, None] + np.arange(d)[:, None]
        xx = a * x[:, None, None] + np.arange(a)
        inside = (yy < h) & (xx < w)
        k = Y.k[yy.clip(max=h - 1), xx.clip(max=w - 1)] * Y.steps
        luma = (DCT.T @ k.reshape(n, d, a, 8, 8) @ DCT).swapaxes(2, 3).reshape(n, 8 * d, 8 * a)
        rr = np.minimum(np.arange(8 * d), self.height - 1 - 8 * d * y[:, None])
        cc = np.minimum(np.arange(8 * a), self.width - 1 - 8 * a * x[:, None])
        ycc[..., 0] = luma[np.arange(n)[:, None, None], rr[:, :, None], cc[:, None, :]]
        rgb = ycc @ np.linalg.inv(YCBCR).T
        cut = (rgb.clip(-128.5, 127.5) - rgb) @ YCBCR.T
        luma = DCT @ cut[..., 0].reshape(n, d, 8, a, 8).swapaxes(2, 3) @ DCT.T
        luma = luma.reshape(n, d, a, 64)
        both = cut[..., 1:].reshape(n, 8, d, 8, a, 2).mean((2, 4))
        both = (DCT @ both.transpose(3, 0, 1, 2) @ DCT.T).reshape(2, n, 64)
        I = np.broadcast_to(np.arange(n)[:, None, None], inside.shape)
        by, bx = np.broadcast_arrays(yy, xx)
        cuts[0][by[inside], bx[inside]] = luma[inside]
        for c, part, cutm in zip(C, both, cuts[1:]):
            cutm[y, x] = part
        return cuts

    def mcu_tries(self):
        Y, *C = self.parts
        a, d = self.factors
        h, w = C[0].shape
        full = np.zeros((h * d, w * a), int)
        full[: Y.shape[0], : Y.shape[1]] = Y.tries
        return np.maximum(full.reshape(h, d, w, a).max((1, 3)), np.maximum(C[0].tries, C[1].tries))

    def mend_luma(self, ycc, ready):
        Y = self.parts[0]
        bad = Y.failing & ready
        y, x = np.nonzero(bad)
        if not len(y):
            return
        _, cb, cr = np.moveaxis(Y.pixels_of(ycc, bad).astype(np.int64).reshape(len(y), 64, 3) - 128, 2, 0)
        shifts = np.stack([91881 * cr, -22554 * cb - 46802 * cr, 116130 * cb], axis=2)
        shifts = ((shifts + (1 << 15)) >> 16).astype(np.float32)
        rows = np.minimum(np.arange(8), self.height - 1 - 8 * y[:, None])
        cols = np.minimum(np.arange(8), self.width - 1 - 8 * x[:, None])
        shown = (8 * rows[:, :, None] + cols[:, None]).reshape(-1, 64)
        blocks = Blocks(shifts, shown, Y.origin[bad].astype(np.float32), Y.steps.astype(np.float32), Y.margins.astype(np.float32), (WEIGHT * (Y.steps.max() / 24)**2 * 4.0**Y.tries[bad].clip(max=12)).astype(np.float32))
        Y.tries[bad] += 1
        k = Y.k[bad]
        own = holding(blocks, k)
        rank = Y.last[bad]
        noisy = np.flatnonzero(own)
        base = np.where(rank[:, None] > 0, Y.base[bad], k)
        Y.base[bad] = base
        if len(noisy):
            k[noisy] = flipped(blocks.some(noisy), base[noisy], rank[noisy])
        rank[noisy] += 1
        rest = np.flatnonzero(~own)
        if len(rest):
            k[rest] = nearest(blocks.some(rest), k[rest])
        rank[rest] = 0
        Y.last[bad] = rank
        Y.k[bad] = k

    def mend(self, C, cuts, fail, resp):
        k = np.stack([c.k for c in C])
        errors = np.stack([c.errors - cut for c, cut in zip(C, cuts)])
        margins = np.stack([np.broadcast_to(c.margins, c.errors.shape) for c in C])
        ok = ~np.stack([c.failing for c in C])
        margins = np.where(ok[..., None], np.maximum(margins, np.abs(errors)), margins)
        tries = np.stack([c.tries for c in C])
        ch = Chroma(k, np.stack([c.steps for c in C])[:, None, None], np.stack([c.origin for c in C]), errors, margins, 0.1 * 0.5**tries)
        mend(ch, fail, resp, 40)
        for i, c in enumerate(C):
            c.k = k[i]

    def mend_chroma(self, cuts):
        C = self.parts[1:]
        fail = np.stack([c.failing for c in C])
        if not fail.any():
            return
        for i, (c, cut) in enumerate(zip(C, cuts)):
            clip = c.failing & (np.abs(cut).max(2) > 1) & (c.tries % 4 != 0)
            c.scale[clip] *= np.where(c.tries[clip] > 16, 0.8, 0.93)
            c.k[clip] = c.rounded(clip)
            fail[i] &= ~clip
            self.low_pass(c, fail[i] & (c.tries > 12) & (c.tries % 3 == 0))
        self.mend(C, cuts, fail, self.response)

    def low_pass(self, c, mask):
        f = np.add.outer(np.arange(8), np.arange(8)).ravel()
        k = c.k[mask]
        top = np.where(k != 0, f, 0).max(1, keepdims=True)
        k[(f >= top) & (f > 0)] = 0
        c.k[mask] = k

    def give_up(self):
        t = self.mcu_tries()
        for i, c in enumerate(self.parts):
            tired = c.failing & (c.tries > 32)
            for lim in range(40, 100, 4):
                more = c.failing & (c.tries > lim)
                if more.any():
                    tired |= spread(more, 2 ** ((lim - 40) // 4))
            c.k[tired] = np.trunc(c.k[tired] * 0.8).astype(np.int64)
