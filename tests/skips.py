"""Tests of what this machine may lack."""

from typing import NoReturn

import pytest

from huks_async import BusinessError

_NOT_SUPPORTED = 12000001


def skip_unsupported(error: BusinessError) -> NoReturn:
    """Skip a test whose algorithm needs a library that is not installed; any other error is a failure."""
    if error.code != _NOT_SUPPORTED:
        raise error
    pytest.skip(error.message)
