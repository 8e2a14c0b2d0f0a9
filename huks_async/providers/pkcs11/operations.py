"""The operations of sessions on keys in tokens.

Between two calls of a session, no state of it is in the token. Messages are hashed here and the token signs the
digest; block ciphers continue from their last block; data that a token can only process as a whole is collected
here. So any number of sessions share one session of the token, and a removed token holds no unfinished work.

Longer than other files: one short class for each kind of operation, and the functions that several of them use.
"""

import importlib
import struct
from abc import ABC, abstractmethod
from typing import Any

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from huks_async.model.enums import (
    HuksCipherMode,
    HuksKeyAlg,
    HuksKeyDigest,
    HuksKeyPadding,
    HuksKeyPurpose,
    HuksRsaPssSaltLenType,
)
from huks_async.model.errors import BusinessError
from huks_async.model.limits import MIB
from huks_async.model.tags import HuksTag, InnerTag
from huks_async.providers.pkcs11.locators import Locator
from huks_async.providers.pkcs11.objects import (
    Numbers,
    asks_each_time,
    export_public,
    find_key,
    look_at_token,
)
from huks_async.rootkeys.pkcs11_library import python_pkcs11

MAX_COLLECTED = 16 * MIB
_BLOCK = 16
_TAG = 16
_COUNTERS = 1 << _BLOCK * 8
_A, _D, _M, _P, _W = HuksKeyAlg, HuksKeyDigest, HuksCipherMode, HuksKeyPadding, HuksKeyPurpose
_T = HuksTag
_KINDS: dict[int, str] = {_A.HUKS_ALG_RSA: "RSA", _A.HUKS_ALG_ECC: "EC", _A.HUKS_ALG_AES: "AES"}
_DIGESTS: dict[int, tuple[str, hashes.HashAlgorithm]] = {
    _D.HUKS_DIGEST_SHA1: ("SHA_1", hashes.SHA1()),  # noqa: S303  # documented, and what many tokens have for OAEP
    _D.HUKS_DIGEST_SHA224: ("SHA224", hashes.SHA224()),
    _D.HUKS_DIGEST_SHA256: ("SHA256", hashes.SHA256()),
    _D.HUKS_DIGEST_SHA384: ("SHA384", hashes.SHA384()),
    _D.HUKS_DIGEST_SHA512: ("SHA512", hashes.SHA512()),
}


class Operation(ABC):
    """One session's work on one key. Its methods run in the token's thread."""

    kinds: tuple[str, ...] = ("PRIVATE_KEY",)
    """Which kinds of objects in the token it uses."""
    use: str = "sign"
    """What the key must be able to do: the name of python-pkcs11's method, which a key has that was made for it."""

    def __init__(self, locator: Locator, algorithm: int) -> None:
        self.locator = locator
        self._algorithm = algorithm

    @property
    def needs_pin(self) -> bool:
        """Whether the caller must have proved the PIN."""
        return self.kinds != ("PUBLIC_KEY",)

    def key(self, session: Any) -> Any:
        """The key in the token.

        Raises:
            BusinessError: 12000011 if there is no such key; 401 for one of another algorithm, or that was not made
                for this purpose; 12000001 for one that asks for the PIN at each use.
        """
        key = find_key(session, self.locator, *self.kinds)
        # Some tokens give errors for a wrong kind of key that look like those of a token that is gone.
        kind = _KINDS.get(self._algorithm)
        if kind and getattr(key.key_type, "name", "") != kind:
            raise BusinessError(
                401,
                f"HUKS_TAG_ALGORITHM: the token's key {self.locator} is not of this kind, {kind}",
            )
        if not hasattr(key, self.use):
            raise BusinessError(
                401,
                f"HUKS_TAG_PURPOSE: the token's key {self.locator} was not made for it (it has no "
                f"CKA_{self.use.upper()})",
            )
        if asks_each_time(key):
            raise BusinessError(
                12000001,
                f"the token's key {self.locator} asks for the PIN at each use (CKA_ALWAYS_AUTHENTICATE), which is "
                "kept nowhere here; use a key without it, such as another slot of a PIV card",
            )
        return key

    @abstractmethod
    def update(self, session: Any, data: bytes) -> bytes:
        """Take data, return output."""

    @abstractmethod
    def finish(self, session: Any, data: bytes) -> bytes:
        """Take the last data, return the rest. May be called again if the token has refused for want of a PIN."""


class _Hashing(Operation):
    """Hashes the message as it comes."""

    def __init__(self, locator: Locator, numbers: Numbers) -> None:
        super().__init__(locator, numbers[_T.HUKS_TAG_ALGORITHM])
        name, algorithm = _digest(numbers)
        self.name: str = name
        self.algorithm: hashes.HashAlgorithm = algorithm
        self._hash = hashes.Hash(self.algorithm)

    def update(self, session: Any, data: bytes) -> bytes:
        """See `Operation`."""
        self._hash.update(data)
        return b""


class Sign(_Hashing):
    """RSA and ECDSA signatures over a message."""

    def __init__(self, locator: Locator, numbers: Numbers) -> None:
        super().__init__(locator, numbers)
        self._numbers = numbers

    def finish(self, session: Any, data: bytes) -> bytes:
        """See `Operation`."""
        message = self._hash.copy()
        message.update(data)
        key = self.key(session)
        kind, mechanism, parameter = _signature(self._numbers, key, self.algorithm)
        signature = bytes(
            key.sign(kind(message.finalize(), self.algorithm), mechanism=mechanism, mechanism_param=parameter)
        )
        if _is_ecc(self._numbers):
            half = len(signature) // 2
            return encode_dss_signature(
                int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
            )
        return signature


class Verify(Sign):
    """Verification of RSA and ECDSA signatures; `finish` takes the signature."""

    kinds: tuple[str, ...] = ("PUBLIC_KEY",)
    use: str = "verify"

    def finish(self, session: Any, data: bytes) -> bytes:
        """See `Operation`."""
        key = self.key(session)
        kind, mechanism, parameter = _signature(self._numbers, key, self.algorithm)
        if _is_ecc(self._numbers):
            curve: Any = load_der_public_key(export_public(session, self.locator))
            size = (curve.key_size + 7) // 8
            try:
                data = b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(data))
            except (ValueError, OverflowError):
                raise _wrong("the signature is no ECDSA signature (DER) of this key") from None
        digest = kind(self._hash.copy().finalize(), self.algorithm)
        if not key.verify(digest, data, mechanism=mechanism, mechanism_param=parameter):
            raise _wrong("the signature does not match the data")
        return b""


class Mac(Operation):
    """HMAC, over data that is collected."""

    kinds: tuple[str, ...] = ("SECRET_KEY",)

    def __init__(self, locator: Locator, numbers: Numbers) -> None:
        super().__init__(locator, _A.HUKS_ALG_HMAC)
        self._mechanism = f"{_digest(numbers)[0]}_HMAC"
        self._data = bytearray()

    def update(self, session: Any, data: bytes) -> bytes:
        """See `Operation`."""
        _collect(self._data, data)
        return b""

    def finish(self, session: Any, data: bytes) -> bytes:
        """See `Operation`."""
        mechanism = python_pkcs11().Mechanism[self._mechanism]
        return bytes(self.key(session).sign(bytes(self._data) + data, mechanism=mechanism))


class RsaCipher(Operation):
    """RSA encryption of one block."""

    def __init__(self, locator: Locator, numbers: Numbers, *, encrypts: bool) -> None:
        super().__init__(locator, _A.HUKS_ALG_RSA)
        self.kinds: tuple[str, ...] = ("PUBLIC_KEY",) if encrypts else ("PRIVATE_KEY",)
        self._encrypts = encrypts
        self.use = "encrypt" if encrypts else "decrypt"
        self._mechanism = _rsa_cipher(numbers)
        self._data = bytearray()

    def update(self, session: Any, data: bytes) -> bytes:
        """See `Operation`."""
        _collect(self._data, data)
        return b""

    def finish(self, session: Any, data: bytes) -> bytes:
        """See `Operation`."""
        mechanism, parameter = self._mechanism
        key = self.key(session)
        work = getattr(key, self.use)
        return _cipher(session, work, bytes(self._data) + data, mechanism, parameter)


class BlockCipher(Operation):
    """AES in ECB, CBC and CTR: whole blocks go to the token as they come."""

    kinds: tuple[str, ...] = ("SECRET_KEY",)

    def __init__(
        self, locator: Locator, numbers: Numbers, blobs: dict[int, bytes], *, encrypts: bool
    ) -> None:
        super().__init__(locator, _A.HUKS_ALG_AES)
        self._encrypts = encrypts
        self.use = "encrypt" if encrypts else "decrypt"
        self._mode = numbers[_T.HUKS_TAG_BLOCK_MODE]
        self._chain = b"" if self._mode == _M.HUKS_MODE_ECB else _iv(blobs)
        self._rest = b""
        padded = numbers.get(_T.HUKS_TAG_PADDING) in (_P.HUKS_PADDING_PKCS5, _P.HUKS_PADDING_PKCS7)
        self._padded = padded and self._mode != _M.HUKS_MODE_CTR

    def update(self, session: Any, data: bytes) -> bytes:
        """See `Operation`."""
        whole = self._rest + data
        # the last block of a padded ciphertext is kept for `finish`, which removes the padding
        held = 1 if self._padded and not self._encrypts and len(whole) % _BLOCK == 0 else 0
        end = max(0, len(whole) // _BLOCK - held) * _BLOCK
        out = self._blocks(session, whole[:end]) if end else b""
        self._rest = whole[end:]
        return out

    def finish(self, session: Any, data: bytes) -> bytes:
        """See `Operation`."""
        whole = self._rest + data
        if self._mode == _M.HUKS_MODE_CTR:
            return self._blocks(session, whole) if whole else b""
        if self._encrypts and self._padded:
            padder = padding.PKCS7(_BLOCK * 8).padder()
            whole = padder.update(whole) + padder.finalize()
        if len(whole) % _BLOCK:
            raise BusinessError(
                401, f"the data has {len(whole) % _BLOCK} bytes beyond whole blocks of {_BLOCK}"
            )
        out = self._blocks(session, whole) if whole else b""
        if not self._padded or self._encrypts:
            return out
        unpadder = padding.PKCS7(_BLOCK * 8).unpadder()
        try:
            return unpadder.update(out) + unpadder.finalize()
        except ValueError:
            raise _wrong("the padding is wrong: another key or IV, or changed data") from None

    def _blocks(self, session: Any, data: bytes) -> bytes:
        pkcs11 = python_pkcs11()
        key = self.key(session)
        work = getattr(key, self.use)
        if self._mode == _M.HUKS_MODE_ECB:
            return _cipher(session, work, data, pkcs11.Mechanism.AES_ECB, None)
        if self._mode == _M.HUKS_MODE_CBC:
            out = _cipher(session, work, data, pkcs11.Mechanism.AES_CBC, self._chain)
            self._chain = (out if self._encrypts else data)[-_BLOCK:]
            return out
        # A token may refuse data over which the counter passes its last value, so such data is given in two parts.
        # The chain moves on after both, because a call that a token refused for want of a PIN is repeated.
        counter, outs = int.from_bytes(self._chain, "big"), []
        left = (_COUNTERS - counter) * _BLOCK
        for part in (data[:left], data[left:]):
            if part:
                # CK_AES_CTR_PARAMS: all bits of the block are the counter
                parameter = struct.pack("@L16s", _BLOCK * 8, counter.to_bytes(_BLOCK, "big"))
                outs.append(_cipher(session, work, part, pkcs11.Mechanism.AES_CTR, parameter))
                counter = (counter + len(part) // _BLOCK) % _COUNTERS
        self._chain = counter.to_bytes(_BLOCK, "big")
        return b"".join(outs)


class Gcm(Operation):
    """AES-GCM, over data that is collected; the tag follows the ciphertext, or is a parameter of decryption."""

    kinds: tuple[str, ...] = ("SECRET_KEY",)

    def __init__(self, locator: Locator, blobs: dict[int, bytes], *, encrypts: bool) -> None:
        super().__init__(locator, _A.HUKS_ALG_AES)
        self._encrypts = encrypts
        self.use = "encrypt" if encrypts else "decrypt"
        nonce = blobs.get(_T.HUKS_TAG_NONCE)
        if not nonce:
            raise BusinessError(401, "HUKS_TAG_NONCE is absent: tokens encrypt with the caller's, 12 bytes")
        self._nonce = nonce
        self._aad = blobs.get(_T.HUKS_TAG_ASSOCIATED_DATA)
        self._tag = b"" if encrypts else blobs.get(_T.HUKS_TAG_AE_TAG, b"")
        if not encrypts and len(self._tag) != _TAG:
            raise BusinessError(401, f"HUKS_TAG_AE_TAG has {len(self._tag)} bytes, accepted {_TAG}")
        self._data = bytearray()

    def update(self, session: Any, data: bytes) -> bytes:
        """See `Operation`."""
        _collect(self._data, data)
        return b""

    def finish(self, session: Any, data: bytes) -> bytes:
        """See `Operation`."""
        pkcs11 = python_pkcs11()
        key = self.key(session)
        parameter = pkcs11.GCMParams(self._nonce, aad=self._aad, tag_bits=_TAG * 8)
        work = getattr(key, self.use)
        return _cipher(
            session, work, bytes(self._data) + data + self._tag, pkcs11.Mechanism.AES_GCM, parameter
        )


def make_operation(locator: Locator, numbers: Numbers, blobs: dict[int, bytes]) -> Operation:
    """The operation that the parameters of a session ask for.

    Raises:
        BusinessError: 401, 12000001, 12000002 and 12000003 for wrong parameters.
    """
    algorithm, purpose = numbers.get(_T.HUKS_TAG_ALGORITHM), numbers[_T.HUKS_TAG_PURPOSE]
    if not algorithm:
        raise BusinessError(401, "HUKS_TAG_ALGORITHM is absent")
    encrypts = purpose == _W.HUKS_KEY_PURPOSE_ENCRYPT
    ciphers = encrypts or purpose == _W.HUKS_KEY_PURPOSE_DECRYPT
    if algorithm in (_A.HUKS_ALG_RSA, _A.HUKS_ALG_ECC) and purpose == _W.HUKS_KEY_PURPOSE_SIGN:
        return Sign(locator, numbers)
    if algorithm in (_A.HUKS_ALG_RSA, _A.HUKS_ALG_ECC) and purpose == _W.HUKS_KEY_PURPOSE_VERIFY:
        return Verify(locator, numbers)
    if algorithm == _A.HUKS_ALG_RSA and ciphers:
        return RsaCipher(locator, numbers, encrypts=encrypts)
    if algorithm == _A.HUKS_ALG_HMAC and purpose == _W.HUKS_KEY_PURPOSE_MAC:
        return Mac(locator, numbers)
    if algorithm == _A.HUKS_ALG_AES and ciphers:
        mode = numbers.get(_T.HUKS_TAG_BLOCK_MODE)
        if mode == _M.HUKS_MODE_GCM:
            return Gcm(locator, blobs, encrypts=encrypts)
        if mode in (_M.HUKS_MODE_ECB, _M.HUKS_MODE_CBC, _M.HUKS_MODE_CTR):
            return BlockCipher(locator, numbers, blobs, encrypts=encrypts)
        raise BusinessError(
            12000002 if mode is None else 12000001,
            f"HUKS_TAG_BLOCK_MODE: got {mode}, accepted for keys in tokens: ECB, CBC, CTR, GCM",
        )
    raise BusinessError(
        12000001,
        f"HUKS_TAG_ALGORITHM {algorithm} with HUKS_TAG_PURPOSE {purpose} is not for keys in tokens here",
    )


def _is_ecc(numbers: Numbers) -> bool:
    return bool(numbers[_T.HUKS_TAG_ALGORITHM] == _A.HUKS_ALG_ECC)


def _digest(numbers: Numbers) -> tuple[str, hashes.HashAlgorithm]:
    digest = numbers.get(_T.HUKS_TAG_DIGEST)
    if digest is None:
        raise BusinessError(401, "HUKS_TAG_DIGEST is absent")
    if digest not in _DIGESTS:
        raise BusinessError(
            12000003, f"HUKS_TAG_DIGEST: got {digest}, accepted for keys in tokens: SHA-1 … SHA-512"
        )
    return _DIGESTS[digest]


def _signature(numbers: Numbers, key: Any, algorithm: hashes.HashAlgorithm) -> tuple[Any, Any, Any]:
    """How a digest is turned into what the token signs; the token's mechanism; the mechanism's parameter."""
    mechanisms = python_pkcs11().Mechanism
    if _is_ecc(numbers):
        return _as_it_is, mechanisms.ECDSA, None
    padding_tag = numbers.get(_T.HUKS_TAG_PADDING)
    if padding_tag == _P.HUKS_PADDING_PKCS1_V1_5:
        return _digest_info, mechanisms.RSA_PKCS, None
    if padding_tag == _P.HUKS_PADDING_PSS:
        name = _digest(numbers)[0]
        salt = algorithm.digest_size
        kind = numbers.get(_T.HUKS_TAG_RSA_PSS_SALT_LEN_TYPE, HuksRsaPssSaltLenType.HUKS_RSA_PSS_SALT_LEN_MAX)
        if kind != HuksRsaPssSaltLenType.HUKS_RSA_PSS_SALT_LEN_DIGEST:
            salt = (key.key_length + 6) // 8 - salt - 2
        return _as_it_is, mechanisms.RSA_PKCS_PSS, (mechanisms[name], _mask(name), salt)
    raise BusinessError(
        401 if padding_tag is None else 12000003,
        f"HUKS_TAG_PADDING: got {padding_tag}, accepted for RSA signatures: PKCS1_V1_5, PSS",
    )


def _rsa_cipher(numbers: Numbers) -> tuple[Any, Any]:
    mechanisms = python_pkcs11().Mechanism
    padding_tag = numbers.get(_T.HUKS_TAG_PADDING)
    if padding_tag == _P.HUKS_PADDING_PKCS1_V1_5:
        return mechanisms.RSA_PKCS, None
    if padding_tag == _P.HUKS_PADDING_OAEP:
        name = _digest(numbers)[0]
        mask = numbers.get(InnerTag.MGF_DIGEST)
        if mask is not None and mask not in _DIGESTS:
            raise BusinessError(12000003, f"MGF_DIGEST: got {mask}")
        return mechanisms.RSA_PKCS_OAEP, (
            mechanisms[name],
            _mask(name if mask is None else _DIGESTS[mask][0]),
            None,
        )
    raise BusinessError(
        12000002 if padding_tag is None else 12000003,
        f"HUKS_TAG_PADDING: got {padding_tag}, accepted for RSA in tokens: PKCS1_V1_5, OAEP",
    )


def _mask(name: str) -> Any:
    return python_pkcs11().MGF["SHA1" if name == "SHA_1" else name]


def _as_it_is(digest: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    return digest


def _digest_info(digest: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    algos: Any = importlib.import_module("asn1crypto.algos")  # late: it comes with python-pkcs11
    return bytes(
        algos.DigestInfo({"digest_algorithm": {"algorithm": algorithm.name}, "digest": digest}).dump()
    )


def _cipher(session: Any, work: Any, data: bytes, mechanism: Any, parameter: Any) -> bytes:
    pkcs11 = python_pkcs11()
    try:
        return bytes(work(data, mechanism=mechanism, mechanism_param=parameter))
    except (
        pkcs11.EncryptedDataInvalid,
        pkcs11.EncryptedDataLenRange,
        pkcs11.DataInvalid,
        pkcs11.DataLenRange,
    ) as error:
        raise _wrong(f"the token refuses the data ({type(error).__name__})") from None
    except (pkcs11.GeneralError, pkcs11.FunctionFailed) as error:
        # Some tokens report a wrong tag or padding with these errors. If instead the token is gone, this check of its
        # presence raises.
        look_at_token(session)
        raise _wrong(f"the token refuses the data ({type(error).__name__})") from None
    except (pkcs11.MechanismInvalid, pkcs11.MechanismParamInvalid, pkcs11.ArgumentsBad) as error:
        raise BusinessError(
            12000001, f"the token has no {mechanism.name} with these parameters ({type(error).__name__})"
        ) from None


def _collect(held: bytearray, data: bytes) -> None:
    if len(held) + len(data) > MAX_COLLECTED:
        raise BusinessError(
            12000014, f"a token does this operation at once, over {MAX_COLLECTED} bytes at most"
        )
    held += data


def _iv(blobs: dict[int, bytes]) -> bytes:
    iv = blobs.get(_T.HUKS_TAG_IV)
    if iv is None or len(iv) != _BLOCK:
        raise BusinessError(401, f"HUKS_TAG_IV must have {_BLOCK} bytes, got {0 if iv is None else len(iv)}")
    return iv


def _wrong(message: str) -> BusinessError:
    return BusinessError(12000006, message)
