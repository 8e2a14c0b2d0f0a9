"""The documented functions for another user's keys.

Who may act for whom is decided by a policy; without one, nobody may: the answer is 201, and 202 in
the device profile, where these functions are for system applications.
"""

from collections.abc import Sequence

from huks_async.keystore.parts import HasParts, other_user_refused
from huks_async.model.errors import BusinessError
from huks_async.model.params import HuksParam, Options
from huks_async.model.results import HuksReturnResult, HuksSessionHandle


class OtherUserFunctions(HasParts):
    """The forms with a user id; each refuses as its documentation says."""

    def _refuse_user(self, user: object) -> BusinessError:
        parts = self._open_parts()
        if isinstance(user, bool) or not isinstance(user, int):
            return BusinessError(401, f"userId must be an int, got {type(user).__name__}")
        if not -(2**31) <= user < 2**31:
            return BusinessError(401, f"userId: got {user}, accepted are 32-bit numbers, -2^31 … 2^31 - 1")
        return other_user_refused(device=parts.device)

    async def generateKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> None:
        """Do what `generateKeyItem` does for keys of user `userId`; refused (201, 202)."""
        raise self._refuse_user(userId)

    async def deleteKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> None:
        """Do what `deleteKeyItem` does for keys of user `userId`; refused (201, 202)."""
        raise self._refuse_user(userId)

    async def importKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> None:
        """Do what `importKeyItem` does for keys of user `userId`; refused (201, 202)."""
        raise self._refuse_user(userId)

    async def importWrappedKeyItemAsUser(
        self, userId: int, keyAlias: str, wrappingKeyAlias: str, huksOptions: Options
    ) -> None:
        """Do what `importWrappedKeyItem` does for keys of user `userId`; refused (201, 202)."""
        raise self._refuse_user(userId)

    async def exportKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> HuksReturnResult:
        """Do what `exportKeyItem` does for keys of user `userId`; refused (201, 202)."""
        raise self._refuse_user(userId)

    async def getKeyItemPropertiesAsUser(
        self, userId: int, keyAlias: str, huksOptions: Options
    ) -> HuksReturnResult:
        """Do what `getKeyItemProperties` does for keys of user `userId`; refused (201, 202)."""
        raise self._refuse_user(userId)

    async def hasKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> bool:
        """Do what `hasKeyItem` does for keys of user `userId`; refused (201, 202)."""
        raise self._refuse_user(userId)

    async def initSessionAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> HuksSessionHandle:
        """Do what `initSession` does for keys of user `userId`; refused (201, 202)."""
        raise self._refuse_user(userId)

    async def attestKeyItemAsUser(self, userId: int, keyAlias: str, huksOptions: Options) -> HuksReturnResult:
        """Do what `attestKeyItem` does for keys of user `userId`; refused (201, 202)."""
        raise self._refuse_user(userId)

    async def anonAttestKeyItemAsUser(
        self, userId: int, keyAlias: str, huksOptions: Options
    ) -> HuksReturnResult:
        """Do what `anonAttestKeyItem` does for keys of user `userId`; refused (201, 202)."""
        raise self._refuse_user(userId)

    async def anonAttestKeyItemOfflineAsUser(
        self, userId: int, keyAlias: str, params: Sequence[HuksParam]
    ) -> HuksReturnResult:
        """Do what `anonAttestKeyItemOffline` does for keys of user `userId`; refused (201, 202)."""
        raise self._refuse_user(userId)
