"""Measuring what the defence is worth: attacks, baselines, and a report with its warnings.

`evaluate` is the entry point. It needs the extra `evaluate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyfd.evaluation.proof import BrokenCertificateError

if TYPE_CHECKING:
    from pyfd.evaluation.run import evaluate as evaluate

__all__ = ["BrokenCertificateError", "evaluate"]


def __getattr__(name: str) -> Any:
    """Import torch, which takes seconds, only when `evaluate` is used."""
    if name == "evaluate":
        from pyfd.evaluation.run import evaluate

        return evaluate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
