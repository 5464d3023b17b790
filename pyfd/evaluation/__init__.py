"""What the defence is worth: attacks, baselines, and a report that tells the truth.

`evaluate` is the whole of it. Needs ``pip install 'pyfd-jpeg[evaluate]'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyfd.evaluation.run import evaluate as evaluate

__all__ = ["evaluate"]


def __getattr__(name: str) -> Any:
    """Import torch and ART, which takes seconds, only for those who attack."""
    if name == "evaluate":
        from pyfd.evaluation.run import evaluate

        return evaluate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
