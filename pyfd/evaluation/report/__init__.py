"""The report of an evaluation: the reading of report.json, and the page made from it."""

from pyfd.evaluation.report.data import FORMAT, VERSION, load
from pyfd.evaluation.report.page import page, text

__all__ = ["FORMAT", "VERSION", "load", "page", "text"]
