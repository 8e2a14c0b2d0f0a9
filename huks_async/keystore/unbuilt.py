"""Documented functions that are not built yet: each answers with the documented code for 'not supported'.

The list is read by a test and by the documentation; nothing else pretends to be here.
"""

from collections.abc import Sequence

from huks_async.keystore.parts import HasParts
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, HuksParam, Options
from huks_async.model.results import HuksReturnResult

UNBUILT: dict[str, str] = {
    "importWrappedKeyItem": "wrapped import",
    "attestKeyItem": "attestation",
    "anonAttestKeyItem": "attestation",
    "anonAttestKeyItemOffline": "attestation",
    "wrapKeyItem": "wrapping under an operator's key",
    "unwrapKeyItem": "wrapping under an operator's key",
    "encapsulate": "key encapsulation",
    "decapsulate": "key encapsulation",
}
"""Function → what it waits for. All answer 801."""


def _unbuilt(name: str) -> BusinessError:
    return BusinessError(801, f"{name} is not supported yet: {UNBUILT[name]} is not built")


class UnbuiltFunctions(HasParts):
    """Functions that answer 801."""

    async def importWrappedKeyItem(self, keyAlias: str, wrappingKeyAlias: str, options: Options) -> None:
        """Not supported yet (801)."""
        raise _unbuilt("importWrappedKeyItem")

    async def attestKeyItem(self, keyAlias: str, options: Options) -> HuksReturnResult:
        """Not supported yet (801)."""
        raise _unbuilt("attestKeyItem")

    async def anonAttestKeyItem(self, keyAlias: str, options: Options) -> HuksReturnResult:
        """Not supported yet (801)."""
        raise _unbuilt("anonAttestKeyItem")

    async def anonAttestKeyItemOffline(self, keyAlias: str, params: Sequence[HuksParam]) -> HuksReturnResult:
        """Not supported yet (801)."""
        raise _unbuilt("anonAttestKeyItemOffline")

    async def wrapKeyItem(self, keyAlias: str, params: Options) -> HuksReturnResult:
        """Not supported yet (801)."""
        raise _unbuilt("wrapKeyItem")

    async def unwrapKeyItem(self, keyAlias: str, params: Options, wrappedKey: BytesLike) -> HuksReturnResult:
        """Not supported yet (801)."""
        raise _unbuilt("unwrapKeyItem")

    async def encapsulate(
        self,
        keyAlias: str,
        params: Sequence[HuksParam],
        sharedKeyAlias: str | None = None,
        sharedKeyParams: Sequence[HuksParam] | None = None,
    ) -> HuksReturnResult:
        """Not supported yet (801)."""
        raise _unbuilt("encapsulate")

    async def decapsulate(
        self,
        keyAlias: str,
        params: Sequence[HuksParam],
        encapData: BytesLike,
        sharedKeyAlias: str | None = None,
        sharedKeyParams: Sequence[HuksParam] | None = None,
    ) -> HuksReturnResult:
        """Not supported yet (801)."""
        raise _unbuilt("decapsulate")
