"""JPEG as a defence against adversarial examples.

Feature distillation (Liu et al., CVPR 2019) with a real codec: a fork of
libjpeg-turbo injects quantization tables on encode and on decode.
"""

from pyfd import analysis
from pyfd._core.binding import libjpeg_turbo_version
from pyfd.calibration import FrequencyStatistics, calibrate
from pyfd.certificate import Certificate, certify, holds
from pyfd.codec import (
    decode,
    encode,
    probe,
    read_coefficients,
    requantize,
    snap,
    write_coefficients,
)
from pyfd.coefficients import Coefficients
from pyfd.coverage import why_uncovered
from pyfd.errors import (
    CertificateError,
    CorruptJPEGError,
    JPEGError,
    JPEGWarning,
    LimitExceededError,
    UnsupportedJPEGError,
)
from pyfd.header import Header
from pyfd.limits import Limits
from pyfd.many import decode_many, encode_many
from pyfd.qtables import PRESETS, QTables
from pyfd.refinement import Refinement, refine

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "Certificate",
    "CertificateError",
    "Coefficients",
    "CorruptJPEGError",
    "FrequencyStatistics",
    "Header",
    "JPEGError",
    "JPEGWarning",
    "LimitExceededError",
    "Limits",
    "QTables",
    "Refinement",
    "UnsupportedJPEGError",
    "analysis",
    "calibrate",
    "certify",
    "decode",
    "decode_many",
    "encode",
    "encode_many",
    "holds",
    "libjpeg_turbo_version",
    "probe",
    "read_coefficients",
    "refine",
    "requantize",
    "snap",
    "why_uncovered",
    "write_coefficients",
]
