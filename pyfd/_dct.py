"""The codec's accurate integer DCT, as matrices.

libjpeg's "islow" DCT is a sequence of 13-bit fixed-point operations whose sums
are exact until a pass ends: each pass is one product with an integer matrix and
one rounding shift, whatever order the additions are done in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Bits of the constants, and of what the first pass keeps beyond an integer.
CONSTANT_BITS, PASS1_BITS = 13, 2


def _basis() -> npt.NDArray[np.int64]:
    """Rows are frequencies, columns places: 2¹³·√8 times the orthonormal 1-D DCT, in integers.

    The rotations are those of Loeffler, Ligtenberg and Moschytz (ICASSP 1989),
    with their constants rounded one by one, as libjpeg has them.
    """
    one = 1 << CONSTANT_BITS
    c6, c2_minus_c6, c2_plus_c6 = (round(one * c) for c in (0.541196100, 0.765366865, 1.847759065))
    basis = np.zeros((8, 8), np.int64)
    basis[0, :4] = one
    basis[4, :4] = one, -one, -one, one
    basis[2, :4] = c6 + c2_minus_c6, c6, -c6, -c6 - c2_minus_c6
    basis[6, :4] = c6, c6 - c2_plus_c6, c2_plus_c6 - c6, -c6
    basis[::2, 4:] = basis[::2, 3::-1]
    # The odd frequencies 7, 5, 3, 1 of the differences at places 3, 2, 1, 0
    own = [round(one * c) for c in (0.298631336, 2.053119869, 3.072711026, 1.501321110)]
    pairs = [round(one * c) for c in (-0.899976223, -2.562915447, -1.961570560, -0.390180644)]
    odd = np.diag(own) + round(one * 1.175875602)
    for members, value in zip(((0, 3), (1, 2), (0, 2), (1, 3)), pairs, strict=True):
        odd[np.ix_(members, members)] += value
    basis[7::-2, 3::-1] = odd
    basis[1::2, 4:] = -basis[1::2, 3::-1]
    return basis


#: `_basis`, 8×8 ``int64``, read-only.
BASIS = _basis()
BASIS.flags.writeable = False
