"""The public keys of an issuer of ID tokens: fetched when they are needed, kept for a while, and then renewed.

An unknown key id causes the keys to be fetched again, because issuers change them without notice. A pause between
two fetches prevents a sender of forged tokens from causing a fetch with each token.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from logging import Logger, getLogger
from typing import Any

import anyio
from anyio.lowlevel import RunVar

from huks_async.access.authenticator import AuthHost
from huks_async.model.errors import BusinessError
from huks_async.model.showing import type_name
from huks_async.runtime.closing import stop_if_abandoned

logger: Logger = getLogger("huks_async")

Fetch = Callable[[str], Awaitable[bytes | str | Mapping[str, Any]]]
# several times what large issuers publish; a document of this size is parsed within milliseconds, whatever it holds
_LARGEST = 1 << 17
_RETRY = 2.0


class IssuerKeys:
    """Keys by their id.

    Args:
        issuer: its name, as its own description has it.
        fetch: gets the document at an address.
        keys_url: the address of the keys; None: the one in the issuer's own description.
        clock: gives seconds, monotonic.
        keep: seconds after which keys are fetched again.
        pause: seconds between a fetch and the next one for an unknown key id; `keep` where that is less.
        patience: seconds that a fetch may take.
    """

    def __init__(
        self,
        issuer: str,
        fetch: Fetch,
        *,
        keys_url: str | None,
        clock: Callable[[], float],
        keep: float,
        pause: float,
        patience: float,
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._keys_url = keys_url
        self._clock = clock
        self._keep = keep
        self._pause = pause
        self._patience = patience
        self._keys: list[tuple[Mapping[str, Any], Any]] = []
        self._fetched: float | None = None
        self._not_before = float("-inf")
        # one lock per event loop, because this object may serve several and a lock belongs to one
        self._lock: RunVar[anyio.Lock] = RunVar("keys of an issuer")

    async def find(self, host: AuthHost, key_id: str | None, kind: str) -> tuple[Mapping[str, Any], Any]:
        """Return a key, both as its JWK and as an object of the JOSE library.

        Args:
            host: of the keystore, which lends a thread.
            key_id: the token's `kid`; None: the token names none, so there must be exactly one key of this kind.
            kind: the `kty` that the token's algorithm needs.

        Raises:
            BusinessError: 12000008 for an unknown key; 12000015 if the keys cannot be fetched.
        """
        found = self._look(key_id, kind)
        if found is None:
            stop_if_abandoned()
            lock = self._lock.get(None)
            if lock is None:
                lock = anyio.Lock()
                self._lock.set(lock)
            async with lock:
                # another task may have fetched the keys while this one waited for the lock
                found = self._look(key_id, kind)
                if found is None and self._clock() >= self._not_before:
                    await self._renew(host)
                    found = self._look(key_id, kind)
        if found is None:
            if self._is_old():
                raise BusinessError(
                    12000015, f"the keys of {self._issuer} could not be fetched a moment ago; try again"
                )
            what = "is missing, and the issuer has several keys or none" if key_id is None else "is unknown"
            raise BusinessError(
                12000008,
                f"the ID token's key id {what}: no such key of {self._issuer}",
                data={"refused": "kid"},
            )
        return found

    def _is_old(self) -> bool:
        return self._fetched is None or not 0 <= self._clock() - self._fetched < self._keep

    def _look(self, key_id: str | None, kind: str) -> tuple[Mapping[str, Any], Any] | None:
        if self._is_old():
            return None
        fitting = [
            one
            for one in self._keys
            if one[0]["kty"] == kind and (key_id is None or one[0].get("kid") == key_id)
        ]
        return fitting[0] if len(fitting) == 1 else None

    async def _renew(self, host: AuthHost) -> None:
        try:
            with anyio.fail_after(self._patience):
                url = self._keys_url
                if url is None:
                    place = self._issuer.removesuffix("/") + "/.well-known/openid-configuration"
                    described = _document(await self._fetch(place))
                    if described.get("issuer") != self._issuer:
                        raise ValueError("the issuer describes itself by another name")
                    url = described.get("jwks_uri")
                    if not isinstance(url, str) or not url.startswith("https://"):
                        raise ValueError("the issuer's description has no jwks_uri with https")
                document = _document(await self._fetch(url))
                keys = await host.run(_public_keys, document)
        except Exception as error:
            self._not_before = self._clock() + min(_RETRY, self._pause)
            reason = str(error) if type(error) is ValueError else type_name(error)
            # logged, because what follows a credential leaves the keystore without its cause
            logger.warning("the keys of %s could not be fetched", self._issuer, exc_info=error)
            raise BusinessError(
                12000015, f"the keys of {self._issuer} could not be fetched ({reason}); nobody was let in"
            ) from error
        except BaseException:
            # A fetch that was cancelled, or whose keystore was closed, tells nothing of the issuer. While there are no
            # keys, the next one is begun at once, because others wait for it, perhaps in another keystore. With keys
            # at hand it was for an unknown key id, and a sender of forged tokens must not begin a fetch with each.
            if self._fetched is not None and not self._is_old():
                self._not_before = min(self._clock() + min(_RETRY, self._pause), self._fetched + self._keep)
            raise
        self._keys, self._fetched = keys, self._clock()
        # no longer than these keys are kept: without any, nobody would be let in
        self._not_before = self._fetched + min(self._pause, self._keep)


def _document(given: object) -> Mapping[str, Any]:
    if isinstance(given, (bytes, str)):
        if len(given) > _LARGEST:
            raise ValueError("the document is larger than 128 KiB")
        given = json.loads(given)
    if not isinstance(given, Mapping):
        raise ValueError("the document is no JSON object")
    return given


def _public_keys(document: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Any]]:
    """The signature keys that can be read. Others are skipped, because issuers also publish kinds that are new."""
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    listed = document.get("keys")
    if not isinstance(listed, list):
        raise ValueError("the document has no list of keys")
    keys: list[tuple[Mapping[str, Any], Any]] = []
    for one in listed:
        # Symmetric keys are skipped: anyone could forge tokens with one that an issuer has published.
        if not isinstance(one, dict) or one.get("kty") not in ("RSA", "EC", "OKP"):
            continue
        uses = one.get("key_ops", ["verify"])
        if one.get("use", "sig") != "sig" or not isinstance(uses, list) or "verify" not in uses:
            continue
        try:
            keys.append((one, import_key(dict(one))))
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    return keys
