"""The page in Chromium."""

import html
import json
import re
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyfd.evaluation import report
from tests.evaluation.report.reports import DEFENCES, make


def chromium(tmp_path: Path, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--force-color-profile=srgb", "--enable-logging=stderr"),
        *(f"--user-data-dir={tmp_path / 'profile'}", *options, page.as_uri()),
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)


def console(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.system
def test_the_browser_shows_the_page_and_has_nothing_to_complain_of(tmp_path):
    page = tmp_path / "report.html"
    page.write_text(report.page(make()))
    shot = tmp_path / "page.png"
    done = chromium(tmp_path, page, "--window-size=1280,5000", f"--screenshot={shot}")
    assert console(done) == []
    pixels = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    assert pixels.shape == (5000, 1280, 3)
    ink = (pixels < 128).all(axis=2)
    assert 0.005 < ink.mean() < 0.3
    assert not ink[:, :20].any()  # margins
    assert not ink[:, -20:].any()
    red = (pixels == (0x9C, 0x1C, 0x00)).all(axis=2)
    assert red[:400].sum() > 1000  # the warnings' frame is at the top
    shade = (pixels == (0xF3, 0xB4, 0x8F)).all(axis=2)
    assert shade.sum() > 1000  # the tables' worst cells
    curves = (pixels == (0x0B, 0x4F, 0x8A)).all(axis=2)
    assert curves.sum() > 1000


@pytest.mark.system
def test_the_console_would_tell(tmp_path):
    """The browser's log shows errors, for which the test above looks, and the policy works."""
    page = tmp_path / "report.html"
    intruder = '<img src="other.png"><script>alert(1)</script>'
    page.write_text(report.page(make()).replace("</main>", f"{intruder}</main>"))
    said = console(chromium(tmp_path, page, f"--screenshot={tmp_path / 'page.png'}"))
    assert len(said) == 2
    assert all("Content Security Policy" in line for line in said)


@pytest.mark.system
def test_no_width_makes_the_page_scroll_sideways(tmp_path):
    """Names that are longer than a line do not widen it: the table scrolls in its own frame."""
    long = make({**DEFENCES, f"two-pass:/{'directory' * 12}/tables.json": "two-pass"})
    long["warnings"] = ["w" * 300]
    long["setting"]["model"] = "m" * 100
    widths, pages = (360, 390, 700, 1280), (report.page(make()), report.page(long))
    frames = "".join(
        f'<iframe width="{width}" height="900" style="border:0" srcdoc="{html.escape(page)}">'
        "</iframe>"
        for page, width in product(pages, widths)
    )
    script = """<script>addEventListener("load", () => {
      const sizes = [...document.querySelectorAll("iframe")].map(frame => {
        const root = frame.contentDocument.documentElement;
        const tables = [...root.querySelectorAll(".wide")];
        const scrolls = tables.some(table => table.scrollWidth > table.clientWidth);
        return [frame.clientWidth, root.clientWidth, root.scrollWidth, scrolls];
      });
      document.body.textContent = `sizes=${JSON.stringify(sizes)};`;
    });</script>"""
    outer = tmp_path / "frames.html"
    outer.write_text(f"<!doctype html><meta charset=utf-8><body>{frames}{script}")
    found = re.search(r"sizes=([^;]+);", chromium(tmp_path, outer, "--dump-dom").stdout)
    assert found
    sizes = json.loads(found[1])
    assert [size[0] for size in sizes] == [*widths, *widths]
    for _, client, scroll, _ in sizes:
        assert scroll == client
    assert [size[3] for size in sizes[:4]] == [True, True, True, False]
