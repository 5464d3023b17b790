"""Color conversion and DCT as matrices: in real numbers, and in the codec's integers.

libjpeg's "islow" DCT is a sequence of 13-bit fixed-point operations whose sums
are exact until a pass ends. So each pass is one product with an integer matrix and
one rounding shift, whatever the order of the additions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: The conversion of R, G, B to Y, Cb, Cr (ITU-T T.871, 7): fixed-point weights of `COLOR_BITS`
#: fraction bits, and the offsets that are added before the shift.
COLOR_BITS = 16
TO_YCC = ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329))
TO_YCC_OFFSETS = (1 << 15, (128 << 16) + (1 << 15) - 1, (128 << 16) + (1 << 15) - 1)

#: Fraction bits of the DCT's constants, and of the results of its first pass.
CONSTANT_BITS, PASS1_BITS = 13, 2


def _basis() -> npt.NDArray[np.int64]:
    """Return 2¹³·√8 times the orthonormal 8-point DCT, in libjpeg's integers.

    A row is a frequency, a column a sample. The rotations are those of Loeffler,
    Ligtenberg and Moschytz (ICASSP 1989), with their constants rounded one by one,
    as in libjpeg.
    """
    one = 1 << CONSTANT_BITS
    c6, c2_minus_c6, c2_plus_c6 = (round(one * c) for c in (0.541196100, 0.765366865, 1.847759065))
    basis = np.zeros((8, 8), np.int64)
    basis[0, :4] = one
    basis[4, :4] = one, -one, -one, one
    basis[2, :4] = c6 + c2_minus_c6, c6, -c6, -c6 - c2_minus_c6
    basis[6, :4] = c6, c6 - c2_plus_c6, c2_plus_c6 - c6, -c6
    basis[::2, 4:] = basis[::2, 3::-1]
    # The odd frequencies 7, 5, 3, 1 of the differences of samples 3, 2, 1, 0
    own = [round(one * c) for c in (0.298631336, 2.053119869, 3.072711026, 1.501321110)]
    pairs = [round(one * c) for c in (-0.899976223, -2.562915447, -1.961570560, -0.390180644)]
    odd = np.diag(own) + round(one * 1.175875602)
    for members, value in zip(((0, 3), (1, 2), (0, 2), (1, 3)), pairs, strict=True):
        odd[np.ix_(members, members)] += value
    basis[7::-2, 3::-1] = odd
    basis[1::2, 4:] = -basis[1::2, 3::-1]
    return basis


#: The DCT in libjpeg's integers: 2¹³·√8 times `DCT`, with rounded constants; 8×8 ``int64``,
#: read-only.
BASIS = _basis()
BASIS.flags.writeable = False


def _orthonormal() -> npt.NDArray[np.float64]:
    frequency, place = np.mgrid[0:8, 0:8]
    matrix: npt.NDArray[np.float64] = 0.5 * np.cos((2 * place + 1) * frequency * np.pi / 16)
    matrix[0] /= np.sqrt(2)
    return matrix


#: The orthonormal 8-point DCT in real numbers (ITU-T T.81, A.3.3): row u is basis function u;
#: 8×8 ``float64``, read-only.
DCT = _orthonormal()
DCT.flags.writeable = False

#: The conversion of R, G and B to Y, Cb and Cr in real numbers (JFIF 1.02), without
#: chroma's offset of 128; 3×3 ``float64``, read-only.
YCBCR = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.168735892, -0.331264108, 0.5],
        [0.5, -0.418687589, -0.081312411],
    ]
)
YCBCR.flags.writeable = False
