"""QTables: the type, its constructors, its files, and tables named as text."""

import io
import json
import pickle
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import pyfd
from pyfd import QTables
from pyfd.qtables import parse_tables
from tests.jpegs import ZIGZAG, encode_with_pillow, picture


def test_one_table_serves_all_components():
    tables = QTables(np.full((8, 8), 9))
    assert len(tables) == 1
    assert all((tables[i] == 9).all() for i in range(4))
    with pytest.raises(IndexError):
        tables[4]


def test_last_table_serves_the_components_left_over():
    tables = QTables([np.full((8, 8), n) for n in (1, 2)])
    assert [tables[i][0, 0] for i in range(4)] == [1, 2, 2, 2]
    assert [table[0, 0] for table in tables] == [1, 2]


def test_cannot_be_changed():
    array = np.full((8, 8), 9)
    tables = QTables(array)
    array[0, 0] = 7
    assert tables[0][0, 0] == 9
    assert tables[0].dtype == np.uint16
    with pytest.raises(ValueError, match="read-only"):
        tables[0][0, 0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        tables[0].flags.writeable = True
    with pytest.raises(AttributeError):
        tables.name = "other"
    with pytest.raises(AttributeError):
        tables.array = array
    with pytest.raises(AttributeError):
        del tables.largest


def test_compare_and_hash_by_the_steps_alone():
    a, b = QTables(np.full((8, 8), 9), name="a"), QTables([np.full((8, 8), 9)], name="b")
    assert a == b
    assert hash(a) == hash(b)
    assert a != QTables.uniform(8)
    assert a != "a"
    assert pickle.loads(pickle.dumps(a)) == a
    assert pickle.loads(pickle.dumps(a)).name == "a"


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        (np.ones((8, 7), int), "8×8"),
        (np.ones(64, int), "8×8"),
        (np.ones((5, 8, 8), int), "1 to 4"),
        (np.ones((0, 8, 8), int), "1 to 4"),
        ([], "8×8"),
        ([[1, 2], [3]], "8×8"),
        (np.zeros((8, 8), int), r"1\.\.\.65535, not 0"),
        (np.full((8, 8), -3), "not -3"),
        (np.full((8, 8), 65536), "not 65536"),
        (np.ones((8, 8)), "integers, not float64"),
        (np.ones((8, 8), bool), "integers, not bool"),
    ],
)
def test_refuses(arrays, match):
    with pytest.raises(ValueError, match=match):
        QTables(arrays)


@pytest.mark.parametrize("arrays", ["fd-2018", b"x" * 64, {1: 2}, {1}, None, len])
def test_refuses_other_types(arrays):
    kind = type(arrays).__name__
    with pytest.raises(TypeError, match=f"^tables must be arrays of integers, not {kind}$"):
        QTables(arrays)


QUALITIES = range(1, 101)


@pytest.mark.parametrize("quality", QUALITIES)
def test_annex_k_is_pillows(quality):
    data = encode_with_pillow(picture(16, 16), quality=quality)
    theirs = Image.open(io.BytesIO(data)).quantization
    for table, steps in zip(QTables.annex_k(quality), theirs.values(), strict=True):
        assert table.ravel().tolist() == list(steps)


@pytest.mark.system
@pytest.mark.parametrize("baseline", [True, False])
def test_annex_k_is_cjpegs(baseline):
    ppm = b"P6 16 16 255\n" + picture(16, 16).tobytes()
    for quality in QUALITIES:
        command = ["cjpeg", "-quality", str(quality), *["-baseline"] * baseline]
        data = subprocess.run(command, input=ppm, capture_output=True, check=True).stdout
        found = pyfd.probe(data).qtables
        tables = QTables.annex_k(quality, baseline=baseline)
        assert [(found[i] == tables[i]).all() for i in range(3)] == [True] * 3, quality


def test_annex_k_beyond_baseline():
    """Qualities below 24 have steps beyond 255; all others are the same either way."""
    for quality in QUALITIES:
        capped, free = QTables.annex_k(quality), QTables.annex_k(quality, baseline=False)
        assert np.array_equal(capped.array, np.minimum(free.array, 255))
        assert (capped == free) == (capped.name == free.name) == (quality >= 24)
        assert free.origin["quality"] == quality
        assert parse_tables(f"annex-k:{quality}") == capped
    assert QTables.annex_k(1, baseline=False).largest == 6050
    assert QTables.annex_k(23, baseline=False).origin["baseline"] is False


@pytest.mark.parametrize("quality", [0, 101, -1])
def test_annex_k_refuses(quality):
    with pytest.raises(ValueError, match="quality"):
        QTables.annex_k(quality)


def test_fd_2018_is_step_1_on_the_first_15_in_zigzag():
    expected = np.full(64, 40)
    expected[ZIGZAG[:15]] = 1
    (table,) = QTables.preset("fd-2018")
    assert table.ravel().tolist() == expected.tolist()
    rows, columns = np.nonzero(table == 1)
    assert (rows + columns).max() == 4


def test_fd_cvpr2019_is_25_in_the_corner():
    (table,) = QTables.preset("fd-cvpr2019")
    assert (table[:4, :4] == 25).all()
    assert (table == 30).sum() == 48


def test_presets():
    assert {"fd-2018", "fd-cvpr2019"} <= set(pyfd.PRESETS)
    for name in pyfd.PRESETS:
        assert QTables.preset(name).name == name
    with pytest.raises(ValueError, match=r"no preset named 'nope'.*fd-2018"):
        QTables.preset("nope")


def test_two_band_protects_the_largest():
    importance = np.arange(64).reshape(8, 8)
    tables = QTables.two_band(importance, step=40, protected_step=1, protected=10)
    assert tables[0].ravel().tolist() == [40] * 54 + [1] * 10


def test_two_band_takes_one_importance_per_component():
    tables = QTables.two_band(
        np.random.default_rng(0).random((3, 8, 8)), step=9, protected_step=2, protected=20
    )
    assert len(tables) == 3
    assert all((table == 2).sum() == 20 for table in tables)


@pytest.mark.parametrize(
    ("importance", "protected", "match"),
    [
        (np.ones((8, 9)), 3, "8×8"),
        (np.ones((8, 8)), 65, "protected"),
        (np.ones((8, 8)), -1, "protected"),
        (np.full((8, 8), np.nan), 3, "NaN"),
    ],
)
def test_two_band_refuses(importance, protected, match):
    with pytest.raises(ValueError, match=match):
        QTables.two_band(importance, step=9, protected_step=2, protected=protected)


def random_tables(count: int, most: int = 65535) -> QTables:
    rng = np.random.default_rng(count)
    return QTables(rng.integers(1, most, (count, 8, 8)), name=f"random {count}")


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_files_come_back(tmp_path, count):
    tables = random_tables(count)
    tables.save(tmp_path / "t.json")
    assert QTables.load(tmp_path / "t.json") == tables
    assert QTables.load(tmp_path / "t.json").name == tables.name
    assert QTables.from_text(tables.to_text()) == tables
    assert [p.name for p in tmp_path.iterdir()] == ["t.json"]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "nonsense", '{"format": "pyfd-qtables", "version": 2}', "[" * 9999]
)
def test_load_refuses_other_files(tmp_path, content):
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(ValueError, match=r"t\.json"):
        QTables.load(tmp_path / "t.json")


@pytest.mark.parametrize(
    "name",
    [
        "x" * 300_000,
        "\U0001f600" * 9999,
        "\ud800" * 9999,
        "\U000e0001" * 9999,
        "a\x00\n\x1b[2J\u202e5",
    ],
)
def test_text_form_holds_any_name(name):
    """A JSON file may have it; the drop-in takes text of up to 16 KiB in UTF-8."""
    item = QTables(np.full((4, 8, 8), 65535), name)
    data = item.to_text().encode()
    assert len(data) < 16384
    assert data.decode().replace("\n", "").isprintable()
    assert QTables.from_text(data.decode()) == item


def test_text_form_has_comments():
    assert QTables.from_text("# a comment\n" + "3 " * 63 + "4 # end").array[0, 7, 7] == 4


@pytest.mark.parametrize(
    "text", ["", "1 2 3", "1 " * 65, "1 " * 320, "x " * 64, "1.5 " * 64, "0 " * 64, "-1 " * 64]
)
def test_text_form_refuses(text):
    with pytest.raises(ValueError, match=r"steps?"):
        QTables.from_text(text)


def test_pillow_takes_the_same_order():
    """Pillow's qtables are in natural order too: we read the tables that it writes."""
    tables = random_tables(2, 256)
    data = encode_with_pillow(picture(16, 16), qtables=[t.ravel().tolist() for t in tables])
    found = pyfd.probe(data).qtables
    assert (found[0] == tables[0]).all()
    assert (found[1] == tables[1]).all()


# ---- as text that a user types ----------------------------------------------


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("fd-2018", QTables.preset("fd-2018")),
        ("16", QTables.uniform(16)),
        ("annex-k:50", QTables.annex_k(50)),
    ],
)
def test_parse_tables(text, tables):
    assert parse_tables(text) == tables


def test_parse_tables_reads_files(tmp_path):
    tables = QTables(np.arange(1, 129).reshape(2, 8, 8), name="mine")
    tables.save(tmp_path / "t.json")
    (tmp_path / "t.txt").write_text(tables.to_text())
    read = parse_tables(str(tmp_path / "t.json"))
    assert (read, read.name) == (tables, "mine")
    read = parse_tables(str(tmp_path / "t.txt"))
    assert (read, read.name) == (tables, "t.txt")


@pytest.mark.parametrize("text", ["fd-1999", "-16", "1.5", "annex-k:x", "annex-k:", "²"])
def test_parse_tables_refuses(text):
    with pytest.raises(ValueError, match=r"is neither a preset .*fd-cvpr2019"):
        parse_tables(text)


# ---- for a threat ---------------------------------------------------------


def statistics(std: np.ndarray | None = None) -> SimpleNamespace:
    """Return a substitute for `pyfd.FrequencyStatistics` whose deviations grow with the index."""
    return SimpleNamespace(
        std=np.arange(192.0).reshape(3, 8, 8) if std is None else std, digest="d"
    )


@pytest.mark.parametrize(("epsilon", "step", "name"), [(1, 8, "1"), (2, 16, "2"), (0.5, 4, "0.5")])
def test_for_threat(epsilon, step, name):
    tables = QTables.for_threat(epsilon)
    assert tables == QTables.uniform(step)
    assert tables.name == f"threat-{name}"


def test_for_threat_protects_the_lowest_without_statistics():
    tables = QTables.for_threat(2, protected=15)
    assert len(tables) == 1
    assert ((tables[0] == 1) == (QTables.preset("fd-2018")[0] == 1)).all()
    assert set(tables[0].ravel().tolist()) == {1, 16}
    assert tables.name == "threat-2-protected-15"


def test_for_threat_protects_by_statistics():
    tables = QTables.for_threat(4, statistics(), protected=10, protected_step=3)
    assert len(tables) == 3
    assert all(table.ravel().tolist() == [32] * 54 + [3] * 10 for table in tables)
    assert QTables.for_threat(4, statistics()) == QTables.uniform(32)


def test_for_threat_with_statistics_of_grayscale_images():
    std = statistics().std
    std[1:] = np.nan
    assert len(QTables.for_threat(4, statistics(std), protected=10)) == 1
    with pytest.raises(ValueError, match="no blocks"):
        QTables.for_threat(4, statistics(std * np.nan), protected=10)


def test_for_threat_takes_what_calibrate_finds():
    found = pyfd.calibrate([picture(64, 48)])
    tables = QTables.for_threat(2, found, protected=15)
    assert tables == found.two_band(step=16, protected_step=1, protected=15)
    assert tables.origin["statistics"] == found.digest


@pytest.mark.parametrize(
    ("epsilon", "options", "match"),
    [
        (0, {}, "epsilon must be above 0"),
        (-1, {}, "epsilon must be above 0"),
        (float("nan"), {}, "epsilon must be above 0"),
        (40, {}, "for epsilon 40 have a step of 312, beyond 255; baseline=False"),
        (2, {"protected": 3, "protected_step": 256}, "a step of 256, beyond 255"),
        (2, {"protected": 3, "protected_step": 0}, "not 0"),
        (2, {"protected": 65}, "protected must be in"),
        (2, {"protected": -1}, "protected must be in"),
    ],
)
def test_for_threat_refuses(epsilon, options, match):
    with pytest.raises(ValueError, match=match):
        QTables.for_threat(epsilon, **options)


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (3, 8, 7), (3, 64)])
def test_for_threat_refuses_statistics_of_another_shape(shape):
    with pytest.raises(ValueError, match="the statistics must be 3×8×8"):
        QTables.for_threat(2, statistics(np.ones(shape)), protected=3)


def test_for_threat_beyond_baseline():
    assert QTables.for_threat(40, baseline=False) == QTables.uniform(312)


# ---- origin ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("tables", "origin"),
    [
        (QTables.uniform(9), {"method": "uniform", "step": 9}),
        (QTables.annex_k(50), {"method": "annex_k", "quality": 50}),
        (QTables.preset("fd-2018"), {"method": "preset", "preset": "fd-2018"}),
        (QTables.preset("fd-cvpr2019"), {"method": "preset", "preset": "fd-cvpr2019"}),
        (
            QTables.two_band(np.ones((8, 8)), step=40, protected_step=2, protected=np.int64(9)),
            {"method": "two_band", "step": 40, "protected_step": 2, "protected": 9},
        ),
        (
            QTables.for_threat(np.float32(2), statistics(), protected=9),
            {
                "method": "for_threat",
                "epsilon": 2.0,
                "survival": 1e-4,
                "step": 16,
                "protected": 9,
                "protected_step": 1,
                "statistics": "d",
            },
        ),
        (QTables(np.full((8, 8), 9)), None),
    ],
)
def test_origin(tables, origin, tmp_path):
    assert tables.origin == origin
    tables.save(tmp_path / "t.json")
    assert QTables.load(tmp_path / "t.json").origin == origin
    assert pickle.loads(pickle.dumps(tables)).origin == origin


def test_origin_plays_no_part_in_comparisons():
    a, b = QTables.uniform(9), QTables(np.full((8, 8), 9), origin={"method": "other"})
    assert a == b
    assert hash(a) == hash(b)


def test_origin_cannot_be_changed():
    given = {"method": "mine", "deep": {"list": [1]}}
    tables = QTables(np.full((8, 8), 9), origin=given)
    given["deep"]["list"].append(2)
    tables.origin["deep"]["list"].append(3)
    assert tables.origin == {"method": "mine", "deep": {"list": [1]}}
    with pytest.raises(AttributeError):
        tables.origin = None


CIRCLE: dict = {}
CIRCLE["self"] = CIRCLE


@pytest.mark.parametrize(
    ("origin", "kind"),
    [
        ("text", TypeError),
        ([1], TypeError),
        ({"a": object()}, TypeError),
        ({(1, 2): 3}, TypeError),
        ({"a": float("nan")}, ValueError),
        (CIRCLE, ValueError),
    ],
)
def test_origin_is_what_json_can_hold(origin, kind):
    with pytest.raises(kind, match="origin must be"):
        QTables(np.full((8, 8), 9), origin=origin)


def test_files_without_an_origin_load(tmp_path):
    path = tmp_path / "t.json"
    tables = [np.full((8, 8), 9).tolist()]
    file = {"format": "pyfd-qtables", "version": 1, "name": None, "tables": tables}
    path.write_text(json.dumps(file))
    assert QTables.load(path) == QTables.uniform(9)
    assert QTables.load(path).origin is None
    for wrong in ("text", [1], 3, {"a": float("nan")}):
        path.write_text(json.dumps({**file, "origin": wrong}))
        with pytest.raises(ValueError, match="origin"):
            QTables.load(path)


def test_the_largest_step_is_known():
    assert QTables.uniform(7).largest == 7
    assert QTables([np.full((8, 8), 3), np.full((8, 8), 65535)]).largest == 65535
