"""The warning for algorithms that work as documented but are weak today."""

import warnings

from huks_async.model.errors import HuksLegacyWarning


def warn_legacy(what: str, instead: str) -> None:
    """Say once per place that `what` is weak and that `instead` is the way out."""
    warnings.warn(
        f"{what} works as documented but is weak today; use {instead}", HuksLegacyWarning, stacklevel=3
    )
