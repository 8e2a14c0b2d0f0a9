"""The warning for algorithms that work as documented and that nobody should choose today."""

import warnings

from huks_async.model.errors import HuksLegacyWarning


def warn_legacy(what: str) -> None:
    """Warn the caller that `what` (an algorithm, digest or key size) is weak today."""
    warnings.warn(f"{what} is weak today; it works as documented", HuksLegacyWarning, stacklevel=2)
