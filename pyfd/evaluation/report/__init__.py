"""The report of an evaluation: the reading of report.json, its page and its figures."""

from pyfd.evaluation.report.data import FORMAT, VERSION, load
from pyfd.evaluation.report.page import page, text
from pyfd.evaluation.report.plots import figures

__all__ = ["FORMAT", "VERSION", "figures", "load", "page", "text"]
