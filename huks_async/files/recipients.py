"""How a key of the keystore hides the key of a file, in one ordinary session: the ways, and which way a key uses.

    way  session                                           body
    1    encrypt with GCM (AES, SM4)                       nonce, 12 bytes; file key sealed, 32; tag, 16
    2    encrypt with CCM (AES)                            the same
    3    encrypt with RSA, OAEP with the digest            the ciphertext of RSA
    4    encrypt with SM2                                  the ciphertext of SM2, DER
    5    derive with HKDF and the digest                   salt, 32 bytes; file key sealed, 32; tag, 16
    6    mac with HMAC or SM3 and the digest               the same

Ways 1 and 2 authenticate `LABEL` and the file's salt. Ways 5 and 6 derive 32 bytes from `LABEL`, the file's salt and
the body's salt. These are an AES-256-GCM key that seals only the file's key: with a nonce of 12 zero bytes, and the
same data authenticated. No other ciphertext that an application makes with its key can pass for one of these.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from huks_async.crypto.rules.matrix import ALGORITHMS, usage_of
from huks_async.files.header import FILE_KEY_BYTES, Recipient
from huks_async.model.enums import (
    HuksCipherMode,
    HuksKeyAlg,
    HuksKeyDigest,
    HuksKeyPadding,
    HuksKeyPurpose,
    HuksKeyStorageType,
)
from huks_async.model.errors import BusinessError
from huks_async.model.params import HuksParam
from huks_async.model.tags import HuksTag
from huks_async.runtime.randomness import random_bytes

GCM, CCM, OAEP, SM2, HKDF, HMAC = range(1, 7)

LABEL = b"huks_async file 2 key"
NONCE_BYTES, TAG_BYTES, SALT_BYTES = 12, 16, 32
_SEALED_BYTES = FILE_KEY_BYTES + TAG_BYTES

_T, _P = HuksTag, HuksKeyPurpose
_ENCRYPT, _DECRYPT = int(_P.HUKS_KEY_PURPOSE_ENCRYPT), int(_P.HUKS_KEY_PURPOSE_DECRYPT)
_DERIVE, _MAC = int(_P.HUKS_KEY_PURPOSE_DERIVE), int(_P.HUKS_KEY_PURPOSE_MAC)
_SHA256, _SM3 = int(HuksKeyDigest.HUKS_DIGEST_SHA256), int(HuksKeyDigest.HUKS_DIGEST_SM3)
# the digests that have at least the 32 bytes of a key, and no known collisions
_WIDE = frozenset(
    {
        _SHA256,
        _SM3,
        int(HuksKeyDigest.HUKS_DIGEST_SHA384),
        int(HuksKeyDigest.HUKS_DIGEST_SHA512),
    }
)
_OAEP = frozenset(range(int(HuksKeyDigest.HUKS_DIGEST_SHA1), int(HuksKeyDigest.HUKS_DIGEST_SHA512) + 1))
_STORED_FLAG = int(_T.HUKS_TAG_DERIVED_AGREED_KEY_STORAGE_FLAG)
_CIPHER_MODES = {int(HuksCipherMode.HUKS_MODE_GCM): GCM, int(HuksCipherMode.HUKS_MODE_CCM): CCM}


@dataclass(frozen=True, slots=True)
class Session:
    """A session to run on the key.

    Attributes:
        properties: for `initSession`.
        data: for one `updateSession`; None: there is no such call.
        last: for `finishSession`.
    """

    properties: list[HuksParam]
    data: bytes | None
    last: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Way:
    """The way that one key uses.

    Attributes:
        number: 1 to 6.
        digest: of the session; 0 for none.
        algorithm: the algorithm that the session names.
        key: the number parameters of the key.
        digests: the digests that a recipient of the key may name.
    """

    number: int
    digest: int
    algorithm: int
    key: Mapping[int, int]
    digests: frozenset[int]

    @property
    def derives(self) -> bool:
        """Whether the session derives a key that hides the file's key, instead of hiding the file's key itself."""
        return self.number in (HKDF, HMAC)

    @property
    def _makes_nonce(self) -> bool:
        """Whether the key accepts no nonce, because a key with HUKS_TAG_KEY_AUTH_PURPOSE makes its own."""
        return self.number == GCM and _T.HUKS_TAG_KEY_AUTH_PURPOSE in self.key

    def hiding(self, file_key: bytes, file_salt: bytes, secret_salt: bytes) -> Session:
        """The session that hides a file key; `hidden` turns its output into a body."""
        if self.derives:
            return self._deriving(file_salt, secret_salt)
        nonce = b"" if self._makes_nonce else secret_salt[:NONCE_BYTES]
        return Session(self._cipher(_ENCRYPT, file_salt, nonce, b""), None, file_key)

    def hidden(self, file_key: bytes, file_salt: bytes, secret_salt: bytes, output: bytes) -> bytes:
        """The body, made from the output of the session of `hiding`."""
        if self.derives:
            sealed = AESGCM(output[:32]).encrypt(bytes(NONCE_BYTES), file_key, LABEL + file_salt)
            return secret_salt + sealed
        if self._makes_nonce:
            return output[-NONCE_BYTES:] + output[:-NONCE_BYTES]
        if self.number in (GCM, CCM):
            return secret_salt[:NONCE_BYTES] + output
        return output

    def fits(self, recipient: Recipient) -> bool:
        """Whether a recipient may belong to this key."""
        body = len(recipient.body)
        if recipient.way != self.number or recipient.digest not in self.digests:
            return False
        if self.derives:
            return body == SALT_BYTES + _SEALED_BYTES
        if self.number in (GCM, CCM):
            return body == NONCE_BYTES + _SEALED_BYTES
        if self.number == OAEP:
            return body == self.key.get(_T.HUKS_TAG_KEY_SIZE, 0) // 8
        return body > 0

    def finding(self, recipient: Recipient, file_salt: bytes) -> Session:
        """The session that recovers the file key; `found` takes its output."""
        body = recipient.body
        way = replace(self, digest=recipient.digest)
        if self.derives:
            return way._deriving(file_salt, body[:SALT_BYTES])
        if self.number in (GCM, CCM):
            tag = body[-TAG_BYTES:]
            properties = way._cipher(_DECRYPT, file_salt, body[:NONCE_BYTES], tag)
            return Session(properties, None, body[NONCE_BYTES:-TAG_BYTES])
        return Session(way._cipher(_DECRYPT, file_salt, b"", b""), None, body)

    def found(self, recipient: Recipient, file_salt: bytes, output: bytes) -> bytes | None:
        """The file key, from the output of the session of `finding`; None if the recipient belongs to another key."""
        if self.derives:
            try:
                output = AESGCM(output[:32]).decrypt(
                    bytes(NONCE_BYTES), recipient.body[SALT_BYTES:], LABEL + file_salt
                )
            except InvalidTag:
                return None
        return output if len(output) == FILE_KEY_BYTES else None

    def _deriving(self, file_salt: bytes, salt: bytes) -> Session:
        info = LABEL + file_salt
        if self.number == HMAC:
            return Session(self._tags(PURPOSE=_MAC, DIGEST=self.digest), info + salt, b"")
        tags = self._tags(PURPOSE=_DERIVE, DIGEST=self.digest, DERIVE_KEY_SIZE=32, SALT=salt, INFO=info)
        return Session(tags, b"", b"")

    def _cipher(self, purpose: int, file_salt: bytes, nonce: bytes, tag: bytes) -> list[HuksParam]:
        size = self.key.get(_T.HUKS_TAG_KEY_SIZE)
        sized = {} if size is None else {"KEY_SIZE": size}
        if self.number == OAEP:
            padding = int(HuksKeyPadding.HUKS_PADDING_OAEP)
            return self._tags(PURPOSE=purpose, PADDING=padding, DIGEST=self.digest, **sized)
        if self.number == SM2:
            # A session must say every value that its key fixes; SM2 needs no padding unless the key names one.
            fixed = self.key.get(_T.HUKS_TAG_PADDING)
            padded = {} if fixed is None else {"PADDING": fixed}
            return self._tags(PURPOSE=purpose, DIGEST=self.digest, **padded, **sized)
        mode = next(mode for mode, way in _CIPHER_MODES.items() if way == self.number)
        tags: dict[str, int | bytes] = {"PURPOSE": purpose, "PADDING": 0, "BLOCK_MODE": mode, **sized}
        tags["ASSOCIATED_DATA"] = LABEL + file_salt
        if nonce:
            tags["NONCE"] = nonce
        if tag:
            tags["AE_TAG"] = tag
        return self._tags(**tags)

    def _tags(self, **tags: int | bytes) -> list[HuksParam]:
        named = {"ALGORITHM": self.algorithm} | tags
        return [HuksParam(_T[f"HUKS_TAG_{name}"], value) for name, value in named.items()]


def new_salt() -> bytes:
    """Random bytes for the salts of `Way.hiding`."""
    return random_bytes(SALT_BYTES)


def way_of(alias: str, key: Mapping[int, int]) -> Way:
    """The way that a key uses, from the number parameters it was made with.

    Raises:
        BusinessError: 12000001 for a key that cannot hide another; the message says which keys can. 12000012 for a
            key to derive whose results are only stored as keys.
    """
    purposes = key.get(_T.HUKS_TAG_PURPOSE, 0)
    digest = key.get(_T.HUKS_TAG_DIGEST)
    for purpose in (_ENCRYPT | _DECRYPT, _DERIVE, _MAC):
        usage = usage_of(ALGORITHMS[key[_T.HUKS_TAG_ALGORITHM]], purpose)
        if not purposes & purpose or usage is None or not usage.sessions:
            continue
        algorithm = int(usage.sessions[0])
        if purpose in (_DERIVE, _MAC):
            wanted = _SM3 if algorithm == HuksKeyAlg.HUKS_ALG_SM3 else _SHA256
            chosen = wanted if digest is None else digest
            if chosen in _WIDE and chosen in usage.digests:
                if (
                    purpose == _DERIVE
                    and key.get(_STORED_FLAG) == HuksKeyStorageType.HUKS_STORAGE_ONLY_USED_IN_HUKS
                ):
                    raise BusinessError(
                        12000012,
                        f"the key {alias!r} seals no files: it was made with HUKS_STORAGE_ONLY_USED_IN_HUKS, so what "
                        "is derived with it is only stored as a key; use a key made without it",
                    )
                digests = _WIDE.intersection(usage.digests if digest is None else (chosen,))
                return Way(HKDF if purpose == _DERIVE else HMAC, chosen, algorithm, key, digests)
        elif algorithm == HuksKeyAlg.HUKS_ALG_RSA:
            oaep = int(HuksKeyPadding.HUKS_PADDING_OAEP)
            if key.get(_T.HUKS_TAG_PADDING, oaep) == oaep:
                chosen = _SHA256 if digest is None else digest
                digests = _OAEP if digest is None else frozenset({digest})
                return Way(OAEP, chosen, algorithm, key, digests)
        elif algorithm == HuksKeyAlg.HUKS_ALG_SM2:
            return Way(SM2, _SM3, algorithm, key, frozenset({_SM3}))
        else:
            mode = key.get(_T.HUKS_TAG_BLOCK_MODE, int(HuksCipherMode.HUKS_MODE_GCM))
            if mode in _CIPHER_MODES and mode in usage.modes:
                return Way(_CIPHER_MODES[mode], 0, algorithm, key, frozenset({0}))
    raise BusinessError(
        12000001,
        f"the key {alias!r} cannot seal files: that takes a key to encrypt with AES or SM4 in GCM, AES in CCM, RSA "
        "with OAEP, or SM2, to derive with HKDF, or for HMAC with SHA-256 or a longer digest; make one: "
        "huks keys generate ALIAS --kind aes-256-gcm",
    )
