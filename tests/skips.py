"""Tests of what this machine may lack."""

import os
import shutil
from typing import NoReturn

import pytest

from huks_async import BusinessError

_NOT_SUPPORTED = 12000001


def need(program: str) -> None:
    """Skip a test that uses a program which is not installed."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def need_pressure_file() -> None:
    """Skip a test that registers a trigger where the kernel lets this process write none.

    The rights of the file do not tell: kernels before 6.4 ask for CAP_SYS_RESOURCE when it is opened.
    """
    try:
        os.close(os.open("/proc/pressure/memory", os.O_RDWR))
    except OSError as error:
        pytest.skip(f"no memory stall information that may be watched here: {error}")


def skip_unsupported(error: BusinessError) -> NoReturn:
    """Skip a test whose algorithm needs a library that is not installed; any other error is a failure."""
    if error.code != _NOT_SUPPORTED:
        raise error
    pytest.skip(error.message)
