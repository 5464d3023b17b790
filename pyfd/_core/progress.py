"""Progress bars on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyfd._core.extras import missing

if TYPE_CHECKING:
    from tqdm import tqdm


def bar(*args: Any, **options: Any) -> tqdm[Any]:
    """Return a progress bar of tqdm, which gets all arguments.

    Raises:
        ImportError: tqdm is missing.
    """
    try:
        from tqdm import tqdm
    except ModuleNotFoundError as error:
        raise missing("tqdm", "cli") from error
    return tqdm(*args, **options)
