"""Documented functions that are not built yet: each answers with the documented code for 'not supported'.

The list is read by a test and by the documentation; nothing else pretends to be here.
"""

from huks_async.keystore.parts import HasParts
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, Options
from huks_async.model.results import HuksReturnResult

UNBUILT: dict[str, str] = {
    "wrapKeyItem": "wrapping under an operator's key",
    "unwrapKeyItem": "wrapping under an operator's key",
}
"""Function → what it waits for. All answer 801."""


def _unbuilt(name: str) -> BusinessError:
    return BusinessError(801, f"{name} is not supported yet: {UNBUILT[name]} is not built")


class UnbuiltFunctions(HasParts):
    """Functions that answer 801."""

    async def wrapKeyItem(self, keyAlias: str, params: Options) -> HuksReturnResult:
        """Not supported yet (801)."""
        raise _unbuilt("wrapKeyItem")

    async def unwrapKeyItem(self, keyAlias: str, params: Options, wrappedKey: BytesLike) -> HuksReturnResult:
        """Not supported yet (801)."""
        raise _unbuilt("unwrapKeyItem")
