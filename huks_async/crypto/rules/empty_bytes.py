"""Byte strings of no bytes: no value, so that a session refuses them.

A device notices such a parameter when something looks for it, and it is looked for in more places than where it
is of use. An operation that uses a tag says itself what it takes, in its own place in the order of checks;
here are the tags that it does not use.
"""

from collections.abc import Mapping

from huks_async.model.enums import AUTHENTICATED_MODES, HuksCipherMode, HuksKeyAlg, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.params import tag_name
from huks_async.model.tags import HuksTag

_T = HuksTag
_PURPOSE, _ALGORITHM, _MODE = (
    int(_T.HUKS_TAG_PURPOSE),
    int(_T.HUKS_TAG_ALGORITHM),
    int(_T.HUKS_TAG_BLOCK_MODE),
)
_DERIVE = int(HuksKeyPurpose.HUKS_KEY_PURPOSE_DERIVE)
_ENCRYPT = int(HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT)
_CIPHER = (_ENCRYPT, int(HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT))
_BLOCK_CIPHERS = frozenset(
    {
        int(HuksKeyAlg.HUKS_ALG_AES),
        int(HuksKeyAlg.HUKS_ALG_DES),
        int(HuksKeyAlg.HUKS_ALG_3DES),
        int(HuksKeyAlg.HUKS_ALG_SM4),
    }
)

# salt and info may be empty by RFC 5869, the context of ML-DSA by FIPS 204
_OF_DERIVATION = frozenset({int(_T.HUKS_TAG_SALT), int(_T.HUKS_TAG_INFO)})
_OF_ML_DSA = frozenset({int(_T.HUKS_TAG_CONTEXT)})
# of CCM they are looked at at finish
_OF_SEALING = frozenset({int(_T.HUKS_TAG_NONCE), int(_T.HUKS_TAG_ASSOCIATED_DATA)})
_OF_OPENING = _OF_SEALING | {int(_T.HUKS_TAG_AE_TAG)}
_OF_MODE = frozenset({int(_T.HUKS_TAG_IV)})
_NONE: frozenset[int] = frozenset()


def used_bytes(numbers: Mapping[int, int]) -> frozenset[int]:
    """The tags of byte strings that a session with these numbers uses, and judges itself."""
    purpose, algorithm, mode = numbers.get(_PURPOSE), numbers.get(_ALGORITHM), numbers.get(_MODE)
    if purpose == _DERIVE:
        return _OF_DERIVATION
    if purpose in _CIPHER and algorithm in _BLOCK_CIPHERS and mode != HuksCipherMode.HUKS_MODE_ECB:
        if mode not in AUTHENTICATED_MODES:
            return _OF_MODE
        return _OF_SEALING if purpose == _ENCRYPT else _OF_OPENING
    return _OF_ML_DSA if algorithm == HuksKeyAlg.HUKS_ALG_ML_DSA else _NONE


def refuse_empty_bytes(blobs: Mapping[int, bytes], used: frozenset[int]) -> None:
    """Refuse a byte string of no bytes under a tag that the session does not use.

    Raises:
        BusinessError: 401.
    """
    for tag, value in blobs.items():
        if not value and tag not in used:
            raise BusinessError(401, f"{tag_name(tag)} has 0 bytes; leave the tag out or give it a value")
