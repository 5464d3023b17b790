"""accuracy and predict, with a model whose answers are known."""

import functools

import numpy as np
import pytest
import torch

import pyfd
from pyfd import QTables
from pyfd.torch import accuracy, predict
from pyfd.torch.scoring import predict_named
from tests.jpegs import picture


def by_codec(image: np.ndarray, tables: QTables) -> np.ndarray:
    return pyfd.decode(pyfd.encode(image, tables, baseline=False), tables)


class BrightOrDark(torch.nn.Module):
    """A model that predicts class 1 for images whose mean is above a half."""

    def forward(self, batch):
        mean = batch.mean((1, 2, 3)) - 0.5
        return torch.stack([-mean, mean], 1)


def test_accuracy_is_the_share_that_is_right():
    images = [
        np.full((8, 8 + 8 * (i % 2), 3), level, np.uint8)
        for i, level in enumerate((20, 240, 130, 125))
    ]
    model = BrightOrDark()
    assert accuracy(model, images, [0, 1, 1, 0]) == 1
    assert accuracy(model, images, [0, 1, 0, 0]) == 0.75
    assert model.training
    # A step of 255 at every frequency makes all four gray or extreme
    expected = [int(by_codec(i, QTables.uniform(255)).mean() > 127.5) for i in images]
    assert predict(model, [by_codec(i, QTables.uniform(255)) for i in images]).tolist() == expected
    found = accuracy(model, images, [0, 1, 1, 0], QTables.uniform(255))
    assert found == np.mean(np.array(expected) == [0, 1, 1, 0])


def test_each_module_gets_its_own_mode_back():
    """Fine-tuning often keeps normalization layers in evaluation mode."""
    frozen = torch.nn.BatchNorm2d(3).eval()
    model = torch.nn.Sequential(frozen, torch.nn.Dropout(0), BrightOrDark())
    modes = [module.training for module in model.modules()]
    predict(model, [picture(8, 8)])
    assert [module.training for module in model.modules()] == modes == [True, False, True, True]


def test_accuracy_is_what_refine_takes():
    images = [np.full((8, 8, 3), level, np.uint8) for level in (20, 240, 120, 150)]
    score = functools.partial(accuracy, BrightOrDark(), images, [0, 1, 0, 1])
    found = pyfd.refine(score, budget=0)
    assert found.accuracy == 1
    assert found.qtables[0][0, 0] < 255


@pytest.mark.parametrize(("count", "labels"), [(0, []), (2, [1]), (1, 3)])
def test_accuracy_needs_a_label_per_image(count, labels):
    with pytest.raises(ValueError, match="labels"):
        accuracy(BrightOrDark(), [picture(8, 8)] * count, labels)


class Odd(BrightOrDark):
    """A model whose answer is changed."""

    def __init__(self, change, dtype=torch.float32):
        super().__init__()
        self.change = change
        self.weight = torch.nn.Linear(3, 2, dtype=dtype)

    def forward(self, batch):
        return self.change(super().forward(batch) + 0 * self.weight(batch.mean((2, 3))))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Odd(lambda x: {"preds": x}), "not a dict with the keys 'preds': pyfd.*as_classifier"),
        (Odd(lambda x: (x, None)), "not a tuple of 2: a tensor of 2×2, an object of type None"),
        (Odd(lambda x: x.numpy()), "not an object of type ndarray"),
        (Odd(lambda x: x[:, 0]), "must return N×K logits, not 2 for 2 images"),
        (Odd(lambda x: x[:1]), "must return N×K logits, not 1×2 for 2 images"),
        (Odd(lambda x: x, torch.float16), r"parameters are float16, but .* use model\.float\(\)"),
        (Odd(lambda x: x, torch.float64), r"parameters are float64, but .* use model\.float\(\)"),
    ],
)
def test_models_that_return_no_logits(model, message):
    with pytest.raises(TypeError, match=message):
        accuracy(model, [picture(8, 8)] * 2, [0, 0])
    assert model.training


def test_half_precision_counts():
    found = predict(Odd(lambda x: x.bfloat16()), [np.full((8, 8, 3), 240, np.uint8)])
    assert found.tolist() == [1]


def test_other_errors_of_a_model_remain():
    with pytest.raises(RuntimeError, match="shape"):
        predict(Odd(lambda x: x.view(7)), [picture(8, 8)])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_answers_that_are_no_class(value):
    """An argmax would make class 0 of them."""

    class Dark(BrightOrDark):
        def forward(self, batch):
            dark = batch.mean((1, 2, 3)) < 0.25
            return torch.where(dark[:, None], value, super().forward(batch))

    images = [np.full((8, 8, 3), level, np.uint8) for level in (90, 240, 20)]
    assert accuracy(Dark(), images[:2], [0, 1]) == 1
    with pytest.raises(ValueError, match=r"^the model returned logits .* for image 2: "):
        accuracy(Dark(), images, [0, 1, 0])
    with pytest.raises(ValueError, match="for the dark one: are its weights whole"):
        predict_named(Dark(), images, ["gray", "bright", "the dark one"], batch_size=1)
