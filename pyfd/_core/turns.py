"""EXIF's orientations 1...8 (TIFF 6.0, tag 274), and what makes an image upright."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

Orient: TypeAlias = bool | Literal["trim"]
"""Whether a file is turned: not, without loss of any edge, or without the edges that cannot."""

UPRIGHT = 1

#: The orientations whose rows become columns. Then columns go from right to left and rows from
#: bottom to top with these:
TRANSPOSED = frozenset({5, 6, 7, 8})
LEFT_RIGHT = frozenset({2, 3, 6, 7})
TOP_BOTTOM = frozenset({3, 4, 7, 8})


def turns(orient: object) -> bool:
    """Check an option of type `Orient`, and return whether to turn.

    Raises:
        TypeError: It is neither a bool nor a text.
        ValueError: It is another text than "trim".
    """
    if orient is False:  # as a rule, so be fast
        return False
    if isinstance(orient, bool | np.bool_):
        return bool(orient)
    if not isinstance(orient, str):
        raise TypeError(f'orient must be True, False or "trim", not {orient!r}')
    if orient != "trim":
        raise ValueError(f'orient must be True, False or "trim", not {orient!r}')
    return True
