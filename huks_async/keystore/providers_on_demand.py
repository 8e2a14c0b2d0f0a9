"""The external providers of a keystore, made when the first call asks for them: few services have any."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huks_async.model.errors import BusinessError
    from huks_async.providers.service import ExternalProviders


class ProvidersOnDemand:
    """Makes the providers once.

    Args:
        abilities: as for `ExternalProviders`.
        timeout: likewise.
    """

    def __init__(self, abilities: Mapping[str, Any], timeout: float) -> None:
        self._abilities = abilities
        self._timeout = timeout
        self._made: ExternalProviders | None = None

    def get(self) -> "ExternalProviders":
        """The providers."""
        if self._made is None:
            from huks_async.providers.service import ExternalProviders

            self._made = ExternalProviders(self._abilities, self._timeout)
        return self._made

    @property
    def made(self) -> "ExternalProviders | None":
        """The providers, if anybody has asked for them."""
        return self._made

    def note_refusal(self, caller: str, error: "BusinessError") -> None:
        """Have `getErrorInfo` forget an older failure: a call was refused, and no provider was asked about it."""
        if self._made is not None:
            self._made.note_failure(caller, error)

    async def aclose(self) -> None:
        """Close all of their resources."""
        if self._made is not None:
            await self._made.aclose()
