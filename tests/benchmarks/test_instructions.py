"""Counting instructions: callgrind's file, stages, and the C program."""

from __future__ import annotations

import subprocess
from collections import Counter

import pytest

from benchmarks import instructions
from pyfd._core import native
from tests.jpegs import encode_with_pillow, picture

CALLGRIND = """\
# callgrind format
events: Ir
fl=(unknown)
fn=decode_mcu.part.0
0 600
calls=2 0
0 5000
0 50
fn=jsimd_idct_islow_avx2
0 200
fn=jsimd_idct_islow_avx2.columnloop
+3 30
fn=pyfd_decode
0 7
cfn=decode_mcu.part.0
calls=1 0
0 5850

totals: 887
"""


def test_callees_are_not_counted_twice():
    costs = instructions.by_function(CALLGRIND.splitlines())
    assert costs == {"decode_mcu": 650, "jsimd_idct_islow_avx2": 230, "pyfd_decode": 7}
    assert instructions.by_stage(costs) == {
        "entropy decoding": 650,
        "re-quantization and inverse DCT": 230,
        "upsampling and color": 0,
        "the rest": 7,
    }


@pytest.mark.parametrize(
    ("function", "stage"),
    [
        ("decode_mcu_AC_refine", "entropy decoding"),
        ("jpeg_fill_bit_buffer", "entropy decoding"),
        ("requant_idct_avx2", "re-quantization and inverse DCT"),
        ("jsimd_h2v2_fancy_upsample_avx2", "upsampling and color"),
        ("jsimd_ycc_extrgb_convert_avx2", "upsampling and color"),
        ("jpeg_idct_islow", "re-quantization and inverse DCT"),
        ("decompress_onepass", "the rest"),
        ("pyfd_decode", "the rest"),
        ("__memset_avx2_unaligned_erms", "the rest"),
    ],
)
def test_stages(function, stage):
    assert instructions.stage_of(function) == stage


def test_driver_does_each_operation(tmp_path):
    if not native.FOLDER.is_dir():
        return  # `make asan` builds no libraries
    program = instructions.build(native.FOLDER, tmp_path)
    file = tmp_path / "file.jpg"
    file.write_bytes(encode_with_pillow(picture(40, 24), quality=75))
    for operation in instructions.OPERATIONS:
        subprocess.run([program, operation, file, file], check=True)
    file.write_bytes(b"not a JPEG")
    assert subprocess.run([program, "plain", file], check=False).returncode == 1
    done = subprocess.run([program, "no-such", file], check=False, capture_output=True)
    assert done.returncode == 2
    nm = subprocess.run(["nm", program], check=True, capture_output=True, text=True)
    (address,) = (line.split()[0] for line in nm.stdout.splitlines() if line.endswith(" measured"))
    costs = Counter({f"0x{address}": 5, "measured": 2, "other": 1})
    assert instructions.named(costs, program) == {"measured": 7, "other": 1}


def test_blocks_of_all_components():
    assert instructions.blocks(encode_with_pillow(picture(33, 17), subsampling=2)) == 15 + 2 * 6
