"""The documented functions on attestation."""

from huks_async.keystore.parts import HasParts
from huks_async.model.errors import BusinessError
from huks_async.model.params import Options, Properties
from huks_async.model.results import HuksReturnResult


class AttestationFunctions(HasParts):
    """Not built yet."""

    async def attestKeyItem(self, keyAlias: str, options: Options) -> HuksReturnResult:
        """Not supported yet (801)."""
        raise BusinessError(801, "attestation is not built")

    async def anonAttestKeyItem(self, keyAlias: str, options: Options) -> HuksReturnResult:
        """Not supported yet (801)."""
        raise BusinessError(801, "attestation is not built")

    async def anonAttestKeyItemOffline(self, keyAlias: str, params: Properties) -> HuksReturnResult:
        """Not supported yet (801)."""
        raise BusinessError(801, "attestation is not built")
