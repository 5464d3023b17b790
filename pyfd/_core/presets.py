"""Published quantization tables, as data: 8×8 rows in natural order.

A new preset is a new entry of `PRESETS`; no other place lists the names.
"""

from __future__ import annotations

from typing import TypeAlias

Table: TypeAlias = tuple[tuple[int, ...], ...]

#: The example tables of ITU-T T.81, Annex K: K.1 (luminance) and K.2 (chrominance).
ANNEX_K: tuple[Table, Table] = (
    (
        (16, 11, 10, 16, 24, 40, 51, 61),
        (12, 12, 14, 19, 26, 58, 60, 55),
        (14, 13, 16, 24, 40, 57, 69, 56),
        (14, 17, 22, 29, 51, 87, 80, 62),
        (18, 22, 37, 56, 68, 109, 103, 77),
        (24, 35, 55, 64, 81, 104, 113, 92),
        (49, 64, 78, 87, 103, 121, 120, 101),
        (72, 92, 95, 98, 112, 100, 103, 99),
    ),
    (
        (17, 18, 24, 47, 99, 99, 99, 99),
        (18, 21, 26, 66, 99, 99, 99, 99),
        (24, 26, 56, 99, 99, 99, 99, 99),
        (47, 66, 99, 99, 99, 99, 99, 99),
        *(((99,) * 8,) * 4),
    ),
)

#: The defensive tables by name; each serves all components.
PRESETS: dict[str, Table] = {
    # Liu et al., arXiv 1803.05787, version 1: step 40, but 1 for the 15 lowest frequencies
    "fd-2018": (
        (1, 1, 1, 1, 1, 40, 40, 40),
        (1, 1, 1, 1, 40, 40, 40, 40),
        (1, 1, 1, 40, 40, 40, 40, 40),
        (1, 1, 40, 40, 40, 40, 40, 40),
        (1, 40, 40, 40, 40, 40, 40, 40),
        *(((40,) * 8,) * 3),
    ),
    # The reference code of CVPR 2019: step 30, but 25 in the corner of lowest frequencies
    "fd-cvpr2019": (
        *(((25,) * 4 + (30,) * 4,) * 4),
        *(((30,) * 8,) * 4),
    ),
}
