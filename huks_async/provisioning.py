"""The server's half of a wrapped import: encrypt a key so that one keystore alone can import it.

The receiver makes a wrapping key, exports its public half and sends it over a channel that the sender
trusts; what comes back may travel over any. Nothing here needs a keystore.
"""

from dataclasses import dataclass

from huks_async.crypto.sm2 import encoding as sm2_encoding
from huks_async.keys.forms import convert
from huks_async.keys.wrapping import envelope, wrapped
from huks_async.model.enums import HuksImportKeyType, HuksUnwrapSuite
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, HuksParam, as_bytes
from huks_async.model.showing import shown
from huks_async.model.tags import HuksTag

_X25519 = HuksUnwrapSuite.HUKS_UNWRAP_SUITE_X25519_AES_256_GCM_NOPADDING
_ECDH = HuksUnwrapSuite.HUKS_UNWRAP_SUITE_ECDH_AES_256_GCM_NOPADDING
_SM2 = HuksUnwrapSuite.HUKS_UNWRAP_SUITE_SM2_SM4_ECB_NOPADDING
_X25519_BYTES = 32
_IMPORT_TYPES = frozenset(map(int, HuksImportKeyType))


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A key on its way to `importWrappedKeyItem`.

    Attributes:
        inData: the container, for the options of the import.
        properties: parameters that the import needs beside those of the key: the suite, and for a
            key pair in suite 5 its public half.
    """

    inData: bytes
    properties: list[HuksParam]

    def __repr__(self) -> str:
        return f"WrappedKey(inData={shown(self.inData)}, properties={self.properties})"


def pack_wrapped_key(
    key: BytesLike,
    wrapping_public_key: BytesLike,
    *,
    import_type: int = HuksImportKeyType.HUKS_KEY_TYPE_PUBLIC_KEY,
) -> WrappedKey:
    """Encrypt a key for the holder of a wrapping key.

    Args:
        key: what `importKeyItem` takes as `inData`: a raw symmetric key, or a private key or key pair
            in the header form. 1 … 10,000 bytes in suites 1 and 2; of symmetric keys in suite 5 a multiple of 16.
        wrapping_public_key: what `exportKeyItem` of the wrapping key gave. It settles the suite: X25519
            (32 raw bytes) suite 1, ECC P-256 suite 2, SM2 suite 5.
        import_type: IMPORT_KEY_TYPE of the import; suite 5 must tell key pairs from symmetric keys.

    Returns:
        The container, and the parameters to add to those of the key. The keys that encrypt it are new in
        each call.

    Raises:
        BusinessError: 401 for a key or public key of the wrong form, or another import type, 12000003 for a
            length that suite 5 does not carry, 12000001 for an algorithm that it does not carry, or without a
            library for SM2.
    """
    if type(import_type) is bool or not isinstance(import_type, int) or import_type not in _IMPORT_TYPES:
        raise BusinessError(
            401, f"import_type takes 0 (public), 1 (private) or 2 (pair), got {shown(import_type)}"
        )
    data = as_bytes(key, "key")
    public = as_bytes(wrapping_public_key, "wrapping_public_key")
    if not _is_sm2(public):
        suite = _X25519 if len(public) == _X25519_BYTES else _ECDH
        return WrappedKey(wrapped.pack_wrapped(suite, data, public), [_suite(suite)])
    properties = [_suite(_SM2)]
    if import_type == HuksImportKeyType.HUKS_KEY_TYPE_PUBLIC_KEY:
        return WrappedKey(envelope.pack_envelope(data, public), properties)
    private, public_half = envelope.envelope_parts(convert.from_layout(data))
    properties.append(HuksParam(HuksTag.HUKS_TAG_ASYMMETRIC_PUBLIC_KEY_DATA, public_half))
    return WrappedKey(envelope.pack_envelope(private, public), properties)


def _suite(suite: HuksUnwrapSuite) -> HuksParam:
    return HuksParam(HuksTag.HUKS_TAG_UNWRAP_ALGORITHM_SUITE, suite)


def _is_sm2(spki: bytes) -> bool:
    try:
        sm2_encoding.point_from_spki(spki)
    except ValueError:
        return False
    return True


__all__ = ["WrappedKey", "pack_wrapped_key"]
