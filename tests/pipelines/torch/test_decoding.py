"""decode, decode_many and Decode: the decoder's pixels as tensors."""

import io
import pickle

import numpy as np
import pytest
import torch

import pyfd
from pyfd.torch import Decode, JPEGFolder, decode, decode_many
from tests.jpegs import encode_with_pillow, picture
from tests.pipelines.torch.files import TABLES, as_chw, jpeg


def test_decode_gives_a_view_in_chw():
    data = pyfd.encode(picture(40, 24), "fd-2018")
    tensor = decode(data, "fd-2018")
    assert tensor.dtype == torch.uint8
    assert tensor.shape == (3, 24, 40)
    assert tensor[None].is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(tensor.permute(1, 2, 0).numpy(), pyfd.decode(data, "fd-2018"))
    assert decode(data, mode="L", scale=2).shape == (1, 12, 20)


def test_decode_many_keeps_order_and_errors():
    data = [pyfd.encode(picture(8 * (i + 1), 8), "fd-2018") for i in range(3)]
    found = decode_many([data[0], b"no jpeg", data[2]], "fd-2018", errors="return")
    assert found[0].shape == (3, 8, 8)
    assert isinstance(found[1], pyfd.CorruptJPEGError)
    assert found[2].shape == (3, 8, 24)


def test_decode_takes_bytes_paths_and_files(tmp_path):
    file = tmp_path / "1.jpg"
    file.write_bytes(jpeg())
    decode = Decode(TABLES)
    expected = as_chw(pyfd.decode(file, TABLES))
    for source in (jpeg(), bytearray(jpeg()), file, str(file), io.BytesIO(jpeg())):
        assert torch.equal(decode(source), expected)
    assert decode(jpeg()).permute(1, 2, 0).is_contiguous()  # a view of the decoder's pixels


def test_decode_survives_pickling():
    limits = pyfd.Limits(max_pixels=1000)
    decode = Decode([[[7] * 8] * 8], mode="L", scale=2, strict=False, limits=limits)
    again = pickle.loads(pickle.dumps(decode))
    assert again == decode
    assert torch.equal(again(jpeg()), decode(jpeg()))
    assert decode(jpeg()).shape == (1, 12, 16)


def test_decode_passes_options_on():
    with pytest.raises(pyfd.LimitExceededError):
        Decode(limits=pyfd.Limits(max_pixels=10))(jpeg())
    with pytest.raises(pyfd.CorruptJPEGError):
        Decode()(jpeg()[:-50])
    with pytest.warns(pyfd.JPEGWarning):
        Decode(strict=False)(jpeg()[:-50])


def test_decode_says_what_is_not_the_default():
    assert repr(Decode()) == "Decode()"
    assert "'fd-2018'" in repr(Decode("fd-2018"))
    assert repr(Decode(mode=None, scale=4)) == "Decode(mode=None, scale=4)"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"qtables": "fd"}, ValueError),
        ({"qtables": pyfd.QTables.uniform(40000)}, ValueError),
        ({"mode": "rgb"}, ValueError),
        ({"scale": 3}, ValueError),
        ({"limits": 10}, TypeError),
        ({"out": np.zeros((1, 1, 3), np.uint8)}, TypeError),
    ],
)
def test_bad_options_are_refused_before_there_are_workers(options, error, folder):
    with pytest.raises(error):
        Decode(**options)
    with pytest.raises(error):
        JPEGFolder(folder, **options)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_decode_many_into_one_tensor(mode, memory_format):
    channels = {"L": 1, "CMYK": 4}.get(mode, 3)
    data = [encode_with_pillow(picture(40, 24, i, channels)) for i in range(3)]
    shape = (4, channels, 24, 40)
    out = torch.full(shape, 9, dtype=torch.uint8).to(memory_format=memory_format)
    found = decode_many([*data[:2], b"no jpeg"], TABLES, errors="return", out=out, mode=mode)
    for i in range(2):
        assert torch.equal(out[i], decode(data[i], TABLES, mode=mode))
        assert found[i].data_ptr() == out[i].data_ptr()
        assert found[i].shape == shape[1:]
    assert isinstance(found[2], pyfd.CorruptJPEGError)
    assert not out[2].any()
    assert (out[3] == 9).all()


def test_tensors_that_are_no_places_for_files():
    data = [jpeg()]
    height, width = pyfd.decode(data[0]).shape[:2]
    good = torch.zeros(2, 3, height, width, dtype=torch.uint8)
    for out, message in [
        (good.numpy(), "out must be a tensor of uint8"),
        (good.float(), "out must be a tensor of uint8"),
        (good.to("meta"), "out must be in the CPU's memory, not on meta"),
        (good.permute(0, 2, 3, 1), 'did you mean layout="HWC"'),
        (good[0], "out must be N×3×H×W"),
        (good[:, :, ::2], "must lie in memory"),
        (good[:1].expand(2, -1, -1, -1), "must not overlap"),
        (good[:0], "out has 0 places"),
        (good[:, :, :-1], "must lie in memory"),
        (good[:, :, :-1].contiguous(), "the image has the shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            decode_many(data, TABLES, out=out)
