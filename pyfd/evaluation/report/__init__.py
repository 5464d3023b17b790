"""The report of an evaluation: report.json is read and checked, and made into a page."""

from pyfd.evaluation.report.data import FORMAT, VERSION, load
from pyfd.evaluation.report.page import page, text

__all__ = ["FORMAT", "VERSION", "load", "page", "text"]
