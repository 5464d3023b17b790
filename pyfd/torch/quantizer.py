"""The codec's twin with steps that a gradient can move."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyfd._core.arithmetic import BASIS
from pyfd._core.encoding import SUBSAMPLING, check_subsampling
from pyfd._core.steps import ENCODER_STEP
from pyfd.codec import Subsampling
from pyfd.qtables import QTables, QTablesLike, as_qtables, steps_within
from pyfd.torch import stages
from pyfd.torch.distillation import FeatureDistillation

_COMPONENTS = 3
_LEAST = 0.25  # above the smallest steps: rounds to them, and leaves softplus a slope


class SoftQuantizer(nn.Module):
    """The defence with steps that are parameters, for a search by gradients.

    In forward, its images are those of ``FeatureDistillation(self.qtables)``, pixel for pixel.
    In backward, rounding has the slope 1. So for a coefficient x and a step Q, the restored
    coefficient Q·round(x/Q) has the slope 1 by x, and round(x/Q) - x/Q by Q, as in learned
    step size quantization (Esser et al., 2020). On average over x, this is the exact slope of
    the squared error.

    The steps are `smallest` + softplus(`raw`). They never fall below `smallest`: with
    ``QTables.certified(ε)``, whatever the search finds holds ε.

    Args:
        qtables: The tables to start from. Steps below `smallest` are raised to it.
        smallest: The smallest steps that are allowed, frequency by frequency; 1 without it.
        subsampling: The chroma subsampling: "4:4:4", "4:2:2", "4:2:0" or "4:4:0".

    Attributes:
        raw: The parameter, T×8×8 for T tables: as many as the longer one of `qtables` and
            `smallest` has, at most 3.

    Raises:
        ValueError: Here, a step is beyond 8191 or the subsampling is unknown. In forward, as
            in `FeatureDistillation`.
        TypeError: In forward, the tensor holds no floats, or is sparse.
    """

    floor: Tensor
    basis: Tensor

    def __init__(
        self,
        qtables: QTablesLike,
        *,
        smallest: QTablesLike | None = None,
        subsampling: Subsampling = "4:4:4",
    ) -> None:
        super().__init__()
        start = as_qtables(qtables)
        floor = QTables.uniform(1) if smallest is None else as_qtables(smallest)
        for tables in (start, floor):
            steps_within(tables, ENCODER_STEP)
        check_subsampling(subsampling)
        self.subsampling = subsampling
        count = min(_COMPONENTS, max(len(start), len(floor)))
        self.register_buffer("floor", _stacked(floor, count), persistent=False)
        self.register_buffer("basis", torch.tensor(BASIS.astype(np.int32)), persistent=False)
        above = (_stacked(start, count) - self.floor).clamp(min=_LEAST)
        self.raw = nn.Parameter(above + torch.log(-torch.expm1(-above)))

    @property
    def qtables(self) -> QTables:
        """The steps as they are now, rounded to whole ones."""
        return QTables(self._rounded().cpu().numpy().astype(np.int64))

    def forward(self, images: Tensor) -> Tensor:
        """Return defended images, of the same shape, dtype and device as N×3×H×W `images`."""
        twin = FeatureDistillation(self.qtables, subsampling=self.subsampling, gradient="none")
        defended: Tensor = twin.to(images.device)(images)
        if images.dim() != 4 or images.shape[1] != _COMPONENTS:
            shape = "×".join(map(str, images.shape))
            raise ValueError(f"images must be N×3×H×W, not {shape}")
        wide = images.to(torch.promote_types(images.dtype, torch.float32))
        steps = self._steps()
        steps = steps + (self._rounded() - steps).detach()
        steps = steps[[min(i, len(steps) - 1) for i in range(_COMPONENTS)]]
        factors = SUBSAMPLING[self.subsampling]
        smooth = stages.by_integer_dct(wide * 255, steps, self.basis, factors, stages.LEARNED) / 255
        return defended + (smooth - smooth.detach()).to(images.dtype)

    def extra_repr(self) -> str:
        """Return the options, for ``print(module)``."""
        return f"{self.qtables!r}, subsampling={self.subsampling}"

    def _steps(self) -> Tensor:
        return self.floor + softplus(self.raw)

    @torch.no_grad()
    def _rounded(self) -> Tensor:
        return self._steps().round().clamp(max=ENCODER_STEP)


def _stacked(tables: QTables, count: int) -> Tensor:
    return torch.tensor(np.stack([tables[i] for i in range(count)]).astype(np.float32))
