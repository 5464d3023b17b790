"""The report of an evaluation: report.json read and checked, and the page that is made of it."""

from pyfd.evaluation.report.data import FORMAT, VERSION, load
from pyfd.evaluation.report.page import page, text

__all__ = ["FORMAT", "VERSION", "load", "page", "text"]
