"""The report of an evaluation: report.json, and the page and the figures made from it."""

from pyfd.evaluation.report.data import FORMAT, VERSION, load
from pyfd.evaluation.report.page import page, text
from pyfd.evaluation.report.paper import check_suffix, figures, save

__all__ = ["FORMAT", "VERSION", "check_suffix", "figures", "load", "page", "save", "text"]
