"""Remembering what a provider said about a failure, for `getErrorInfo`."""

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from huks_async.keystore.open_state import OpenState
from huks_async.model.errors import BusinessError
from huks_async.runtime.closing import stop_if_abandoned

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Function = Callable[Concatenate[OpenState, _P], Coroutine[Any, Any, _R]]


def noting_failures(function: _Function[_P, _R]) -> _Function[_P, _R]:
    """Have a function remember, for its caller, what a provider said about the error that it raises.

    Failures that it does not raise, such as of a clean-up, leave what is remembered. In a coroutine that may not wait, the
    function is not called (GeneratorExit).
    """

    @functools.wraps(function)
    async def noting(state: OpenState, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        stop_if_abandoned()
        try:
            return await function(state, *args, **kwargs)
        except BusinessError as error:
            state.providers.note_failure(state.session_owner, error)
            raise

    return noting
