"""The support matrix: what keys of each algorithm may be and do, as data.

Validation, error messages, the documentation's table and the test matrix all come from here.
A `Form` is one legal combination of block mode, padding and digest; a `Usage` is what one group of
purposes allows; an `Algorithm` has sizes and usages. Purposes of a key must come from one group.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

from huks_async.model.enums import (
    HuksCipherMode,
    HuksKeyAlg,
    HuksKeyDigest,
    HuksKeyPadding,
    HuksKeyPurpose,
)

_ECB, _CBC, _CTR = HuksCipherMode.HUKS_MODE_ECB, HuksCipherMode.HUKS_MODE_CBC, HuksCipherMode.HUKS_MODE_CTR
_OFB, _CFB = HuksCipherMode.HUKS_MODE_OFB, HuksCipherMode.HUKS_MODE_CFB
_CCM, _GCM = HuksCipherMode.HUKS_MODE_CCM, HuksCipherMode.HUKS_MODE_GCM
_NONE, _PKCS7 = HuksKeyPadding.HUKS_PADDING_NONE, HuksKeyPadding.HUKS_PADDING_PKCS7
_OAEP, _PSS = HuksKeyPadding.HUKS_PADDING_OAEP, HuksKeyPadding.HUKS_PADDING_PSS
_PKCS1 = HuksKeyPadding.HUKS_PADDING_PKCS1_V1_5
_NO_DIGEST, _MD5, _SM3 = (
    HuksKeyDigest.HUKS_DIGEST_NONE,
    HuksKeyDigest.HUKS_DIGEST_MD5,
    HuksKeyDigest.HUKS_DIGEST_SM3,
)
_SHA1, _SHA224 = HuksKeyDigest.HUKS_DIGEST_SHA1, HuksKeyDigest.HUKS_DIGEST_SHA224
_SHA256, _SHA384, _SHA512 = (
    HuksKeyDigest.HUKS_DIGEST_SHA256,
    HuksKeyDigest.HUKS_DIGEST_SHA384,
    HuksKeyDigest.HUKS_DIGEST_SHA512,
)
_SHA2 = (_SHA256, _SHA384, _SHA512)
_SHA = (_SHA1, _SHA224, *_SHA2)

CIPHER = HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT | HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT
SIGNATURE = HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN | HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY
WRAPPING = HuksKeyPurpose.HUKS_KEY_PURPOSE_WRAP | HuksKeyPurpose.HUKS_KEY_PURPOSE_UNWRAP
DERIVE = int(HuksKeyPurpose.HUKS_KEY_PURPOSE_DERIVE)
MAC = int(HuksKeyPurpose.HUKS_KEY_PURPOSE_MAC)
AGREE = int(HuksKeyPurpose.HUKS_KEY_PURPOSE_AGREE)
UNWRAP = int(HuksKeyPurpose.HUKS_KEY_PURPOSE_UNWRAP)

Sizes: TypeAlias = tuple[int | range, ...]


class Form(NamedTuple):
    """A legal combination. None: the parameter plays no part; no digests: likewise.

    A parameter that is not needed may be left out by both key and session. `device` tells whether a device
    with the standard software engine has it too.
    """

    mode: int | None = None
    padding: int | None = None
    digests: tuple[int, ...] = ()
    digest_needed: bool = True
    padding_needed: bool = True
    device: bool = True


class Usage:
    """What a group of purposes allows.

    Args:
        purposes: the group, a mask of `HuksKeyPurpose`.
        sessions: the algorithms that a session may name; none: no session, only other functions.
        forms: the legal combinations.
        compares_algorithm: whether the session's algorithm must be the key's.
        sizes: the sizes that have this usage, where not all have.
        device: whether a device with the standard software engine has it too.
        note: what a reader of the table should know.
        refused_paddings: declared paddings that are refused as not supported, with the reason.

    Attributes:
        modes: all block modes of the forms, in order.
        paddings: all paddings of the forms, in order.
        digests: all digests of the forms, in order.
    """

    def __init__(
        self,
        purposes: int,
        sessions: tuple[int, ...] = (),
        forms: tuple[Form, ...] = (Form(),),
        *,
        compares_algorithm: bool = True,
        sizes: Sizes | None = None,
        device: bool = True,
        note: str = "",
        refused_paddings: Mapping[int, str] | None = None,
    ) -> None:
        self.purposes = purposes
        self.sessions = sessions
        self.forms = forms
        self.compares_algorithm = compares_algorithm
        self.sizes = sizes
        self.device = device
        self.note = note
        self.refused_paddings: Mapping[int, str] = refused_paddings or {}
        # Every check of a key reads these, so they are computed once.
        self.modes: tuple[int, ...] = _distinct(form.mode for form in forms)
        self.paddings: tuple[int, ...] = _distinct(form.padding for form in forms)
        self.digests: tuple[int, ...] = _distinct(digest for form in forms for digest in form.digests)

    def on_device(self) -> "Usage":
        """What of it a device has."""
        forms = tuple(form for form in self.forms if form.device)
        if forms == self.forms:
            return self
        return Usage(
            self.purposes,
            self.sessions,
            forms,
            compares_algorithm=self.compares_algorithm,
            sizes=self.sizes,
            device=self.device,
            note=self.note,
            refused_paddings=self.refused_paddings,
        )


class Algorithm(NamedTuple):
    """Keys of one algorithm.

    Args:
        number: the algorithm.
        sizes: bits, or numbers of parameter sets.
        usages: what the keys may do; the purposes of one key come from one usage.
        since: the API level that brought it.
        legacy_sizes: sizes that work as documented but are weak today.
        extra_sizes: sizes whose generation needs the extra `legacy`; import and use do not.
    """

    number: HuksKeyAlg
    sizes: Sizes
    usages: tuple[Usage, ...]
    since: str
    legacy_sizes: Sizes = ()
    extra_sizes: Sizes = ()
    device: bool = True


def _distinct(values: Iterator[int | None]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(value for value in values if value is not None))


def has_size(sizes: Sizes, size: int) -> bool:
    """Whether `size` is among `sizes`."""
    return any(size in entry if isinstance(entry, range) else size == entry for entry in sizes)


def list_sizes(sizes: Sizes) -> str:
    """The sizes in words."""
    return ", ".join(
        f"multiples of {entry.step} in {entry.start}…{entry[-1]}" if isinstance(entry, range) else str(entry)
        for entry in sizes
    )


_A = HuksKeyAlg
_NO_9796_2 = (
    "it exists on small devices only, and which of the standard's three schemes they run, with which hash and "
    "trailer, is documented nowhere; use HUKS_PADDING_PSS"
)
_MAC_OVER_CIPHER_KEY = "an HMAC session over the key's bytes"
_KDF = (int(_A.HUKS_ALG_HKDF), int(_A.HUKS_ALG_PBKDF2))
_BLOCK = tuple(Form(mode, padding) for mode in (_ECB, _CBC) for padding in (_NONE, _PKCS7))
_DES = (Form(_ECB, _NONE), Form(_CBC, _NONE))


def _des_usages(algorithm: HuksKeyAlg) -> tuple[Usage, ...]:
    return (
        Usage(CIPHER, (algorithm,), _DES),
        Usage(DERIVE, _KDF, (Form(digests=_SHA2),), compares_algorithm=False),
        Usage(
            MAC,
            (_A.HUKS_ALG_HMAC,),
            (Form(digests=(_SHA256,)),),
            compares_algorithm=False,
            note=_MAC_OVER_CIPHER_KEY,
        ),
    )


_ALL = (
    Algorithm(
        _A.HUKS_ALG_AES,
        (128, 192, 256),
        (
            Usage(
                CIPHER,
                (_A.HUKS_ALG_AES,),
                (*_BLOCK, Form(_CTR, _NONE), Form(_GCM, _NONE), Form(_CCM, _NONE)),
            ),
            Usage(DERIVE, _KDF, (Form(digests=_SHA2),), compares_algorithm=False),
            Usage(
                MAC,
                (_A.HUKS_ALG_HMAC,),
                (Form(digests=(_SHA256,)),),
                compares_algorithm=False,
                sizes=(256,),
                note=_MAC_OVER_CIPHER_KEY,
            ),
        ),
        "8",
    ),
    Algorithm(_A.HUKS_ALG_DES, (64,), _des_usages(_A.HUKS_ALG_DES), "16", legacy_sizes=(64,)),
    Algorithm(_A.HUKS_ALG_3DES, (128, 192), _des_usages(_A.HUKS_ALG_3DES), "16", legacy_sizes=(128, 192)),
    Algorithm(
        _A.HUKS_ALG_SM4,
        (128,),
        (
            Usage(
                CIPHER,
                (_A.HUKS_ALG_SM4,),
                (
                    *_BLOCK,
                    Form(_CTR, _NONE),
                    Form(_CFB, _NONE),
                    Form(_OFB, _NONE),
                    Form(_GCM, _NONE, device=False),
                ),
            ),
            Usage(
                DERIVE,
                _KDF,
                (Form(digests=(_SM3,)),),
                compares_algorithm=False,
                note="the key can be made; no derivation takes SM3 (12000006)",
            ),
        ),
        "9",
    ),
    Algorithm(
        _A.HUKS_ALG_RSA,
        (512, 768, range(1024, 2049, 8), 3072, 4096),
        (
            Usage(
                CIPHER,
                (_A.HUKS_ALG_RSA,),
                (
                    Form(padding=_NONE, digests=tuple(HuksKeyDigest), digest_needed=False),
                    Form(padding=_PKCS1, digests=tuple(HuksKeyDigest), digest_needed=False),
                    Form(padding=_OAEP, digests=(_MD5, *_SHA)),
                ),
                note="OAEP with MD5 needs the extra `legacy`",
            ),
            Usage(
                SIGNATURE,
                (_A.HUKS_ALG_RSA,),
                (
                    Form(padding=_PKCS1, digests=(_NO_DIGEST, _MD5, *_SHA)),
                    Form(padding=_PSS, digests=(_NO_DIGEST, _MD5, *_SHA)),
                    Form(padding=_NONE, digests=(_NO_DIGEST,)),
                ),
                refused_paddings={HuksKeyPadding.HUKS_PADDING_ISO_IEC_9796_2: _NO_9796_2},
            ),
        ),
        "8",
        legacy_sizes=(512, 768, range(1024, 2048, 8)),
        extra_sizes=(512, 768),
    ),
    Algorithm(
        _A.HUKS_ALG_ECC,
        (224, 256, 384, 521),
        (
            Usage(SIGNATURE, (_A.HUKS_ALG_ECC,), (Form(digests=(_NO_DIGEST, *_SHA)),)),
            Usage(AGREE, (_A.HUKS_ALG_ECDH,), compares_algorithm=False),
            Usage(UNWRAP, sizes=(256,), note="opens wrapped keys of suite 2"),
        ),
        "8",
    ),
    Algorithm(
        _A.HUKS_ALG_DSA,
        (range(512, 4097, 8),),
        (Usage(SIGNATURE, (_A.HUKS_ALG_DSA,), (Form(digests=(_NO_DIGEST, *_SHA)),)),),
        "8",
        legacy_sizes=(range(512, 4097, 8),),
        extra_sizes=(
            range(512, 1024, 8),
            range(1032, 2048, 8),
            range(2056, 3072, 8),
            range(3080, 4096, 8),
        ),
    ),
    Algorithm(
        _A.HUKS_ALG_DH,
        (2048, 3072, 4096),
        (Usage(AGREE, (_A.HUKS_ALG_DH,), compares_algorithm=False),),
        "8",
    ),
    Algorithm(
        _A.HUKS_ALG_X25519,
        (256,),
        (
            Usage(AGREE, (_A.HUKS_ALG_X25519,), compares_algorithm=False),
            Usage(UNWRAP, note="opens wrapped keys of suite 1"),
            Usage(SIGNATURE, note="accepted for a key, as documented samples do; no session serves it"),
        ),
        "8",
    ),
    Algorithm(
        _A.HUKS_ALG_ED25519,
        (256,),
        (
            Usage(SIGNATURE, (_A.HUKS_ALG_ED25519,), compares_algorithm=False),
            Usage(AGREE, note="accepted for a key; no session serves it"),
        ),
        "8",
    ),
    Algorithm(
        _A.HUKS_ALG_SM2,
        (256,),
        (
            Usage(
                CIPHER,
                (_A.HUKS_ALG_SM2,),
                (Form(padding=_NONE, digests=(_SM3,), padding_needed=False),),
                note="decryption opens wrapped keys of suite 5, too",
            ),
            Usage(SIGNATURE, (_A.HUKS_ALG_SM2,), (Form(digests=(_SM3, _NO_DIGEST)),)),
            Usage(AGREE, note="accepted for a key; no session serves it"),
            Usage(
                UNWRAP, note="opens wrapped keys of suite 5; suites 3 and 4 are not declared and not built"
            ),
        ),
        "9",
    ),
    Algorithm(
        _A.HUKS_ALG_HMAC,
        (range(8, 16385, 8),),
        (Usage(MAC, (_A.HUKS_ALG_HMAC,), (Form(digests=(*_SHA, _SM3)),), compares_algorithm=False),),
        "8",
    ),
    Algorithm(
        _A.HUKS_ALG_SM3,
        (range(8, 16385, 8),),
        (Usage(MAC, (_A.HUKS_ALG_SM3,), (Form(digests=(_SM3,)),)),),
        "9",
    ),
    Algorithm(
        _A.HUKS_ALG_CMAC,
        (128,),
        (Usage(MAC, (_A.HUKS_ALG_CMAC,), (Form(_CBC, _NONE),), compares_algorithm=False),),
        "12",
        legacy_sizes=(128,),
        device=False,
    ),
    Algorithm(
        _A.HUKS_ALG_ML_DSA,
        (44, 65, 87),
        (
            Usage(SIGNATURE, (_A.HUKS_ALG_ML_DSA,)),
            Usage(AGREE, note="accepted for a key; no session serves it"),
            Usage(UNWRAP, note="accepted for a key; no session serves it"),
        ),
        "26.0.0",
    ),
    Algorithm(
        _A.HUKS_ALG_ML_KEM,
        (768, 1024),
        (Usage(WRAPPING, note="encapsulate and decapsulate"),),
        "26.0.0",
    ),
)

ALGORITHMS: dict[int, Algorithm] = {int(algorithm.number): algorithm for algorithm in _ALL}

SESSION_ALGORITHMS: dict[int, frozenset[int]] = {
    purposes: frozenset(
        session
        for algorithm in _ALL
        for usage in algorithm.usages
        if usage.purposes == purposes
        for session in usage.sessions
    )
    for purposes in (CIPHER, SIGNATURE, DERIVE, MAC, AGREE)
}
"""The algorithms that a session of each group of purposes may name."""


def usage_of(algorithm: Algorithm, purposes: int, *, device: bool = False) -> Usage | None:
    """The usage whose group holds all of `purposes`, or None; of a device, what it has of that."""
    for usage in algorithm.usages:
        if purposes and purposes & ~usage.purposes == 0:
            return usage.on_device() if device else usage
    return None
