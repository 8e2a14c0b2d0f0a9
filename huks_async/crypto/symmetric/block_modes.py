"""Block ciphers: AES, SM4, DES and 3DES in ECB, CBC, CTR, OFB and CFB, without padding or with PKCS7.

GCM and CCM are in `aead`.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from cryptography.hazmat.decrepit.ciphers.modes import CFB, OFB
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, modes
from cryptography.hazmat.primitives.padding import PKCS7

from huks_async.crypto.byte_parameters import required
from huks_async.crypto.caller_warnings import warn_caller, warn_legacy
from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.operation import Operation
from huks_async.crypto.secret_key import SecretKey, generate, load
from huks_async.crypto.symmetric.scratch import update_blocks, update_but_last
from huks_async.model.enums import HuksCipherMode, HuksErrorCode, HuksKeyAlg, HuksKeyPadding, HuksKeyPurpose
from huks_async.model.errors import BusinessError, HuksCompatibilityWarning
from huks_async.model.params import BytesLike, tag_name
from huks_async.model.tags import HuksTag

__all__ = ["generate", "load", "starter"]

_BlockMode: TypeAlias = modes.ECB | modes.ModeWithInitializationVector | modes.ModeWithNonce

_ILLEGAL = 401
_INVALID = 12000003
_CRYPTO_FAIL = 12000006

_ENCRYPT = int(HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT)
_PKCS7 = int(HuksKeyPadding.HUKS_PADDING_PKCS7)
_NO_PADDING = frozenset({None, int(HuksKeyPadding.HUKS_PADDING_NONE)})
_IV = int(HuksTag.HUKS_TAG_IV)
_NONCE = int(HuksTag.HUKS_TAG_NONCE)

_AES, _SM4 = int(HuksKeyAlg.HUKS_ALG_AES), int(HuksKeyAlg.HUKS_ALG_SM4)
_DES, _3DES = int(HuksKeyAlg.HUKS_ALG_DES), int(HuksKeyAlg.HUKS_ALG_3DES)
_ECB, _CBC, _CTR = (
    int(HuksCipherMode.HUKS_MODE_ECB),
    int(HuksCipherMode.HUKS_MODE_CBC),
    int(HuksCipherMode.HUKS_MODE_CTR),
)
_OFB, _CFB = int(HuksCipherMode.HUKS_MODE_OFB), int(HuksCipherMode.HUKS_MODE_CFB)
_ALIGNED = frozenset({_ECB, _CBC})

_MODES: dict[int, frozenset[int]] = {
    _AES: frozenset({_ECB, _CBC, _CTR}),
    _SM4: frozenset({_ECB, _CBC, _CTR, _OFB, _CFB}),
    _DES: _ALIGNED,
    _3DES: _ALIGNED,
}
_MODE_CLASSES: dict[int, Callable[[bytes], _BlockMode]] = {
    _CBC: modes.CBC,
    _CTR: modes.CTR,
    _OFB: OFB,
    _CFB: CFB,
}
_BLOCK = 16
_DES_BLOCK = 8
_WIDE = frozenset({_AES, _SM4})
_PKCS7_BLOCK = PKCS7(8 * _BLOCK)


class StreamCipher(Operation):
    """A mode that gives as many bytes as it takes: CTR, OFB, CFB."""

    __slots__ = ("_context", "_encrypts", "_key", "_mode", "kind")

    def __init__(self, kind: str, key: SecretKey, mode: _BlockMode, encrypts: bool) -> None:
        self.kind: str = kind
        self._key = key
        self._mode = mode
        self._encrypts = encrypts
        self._context: CipherContext | None = None

    def begin(self) -> CipherContext:
        """Make the context; not before there is data, because an idle context costs a kilobyte."""
        cipher = Cipher(self._key.cipher(), self._mode)
        context: CipherContext = cipher.encryptor() if self._encrypts else cipher.decryptor()
        self._context = context
        return context

    def update(self, data: BytesLike) -> bytes:
        """Take a segment; give as many bytes."""
        return (self._context or self.begin()).update(data)

    def finish(self, data: BytesLike) -> bytes:
        """Take the last segment; give as many bytes."""
        return (self._context or self.begin()).update(data)


class AlignedCipher(StreamCipher):
    """ECB or CBC without padding: whole blocks as they fill, and the total must be whole blocks."""

    __slots__ = ()

    def update(self, data: BytesLike) -> bytes:
        """Take a segment; give the blocks that are complete."""
        return update_blocks(self._context or self.begin(), data, wipe=not self._encrypts)

    def finish(self, data: BytesLike) -> bytes:
        """Take the last segment; give the rest.

        Raises:
            BusinessError: the total is not a multiple of the block: 401 to encrypt and for DES and 3DES,
                12000006 to decrypt with AES and SM4.

        """
        context = self._context or self.begin()
        output = update_blocks(context, data, wipe=not self._encrypts)
        try:
            context.finalize()
        except ValueError:
            block = self._key.cipher().block_size // 8
            raise BusinessError(
                _ILLEGAL if self._encrypts or block == _DES_BLOCK else _CRYPTO_FAIL,
                f"without padding the data must be a multiple of {block} bytes "
                "in all; pad it, or use HUKS_PADDING_PKCS7 where the algorithm has it",
            ) from None
        return output


class PaddedEncryption(StreamCipher):
    """ECB or CBC with PKCS7: whole blocks as they fill, the padded last block at finish."""

    __slots__ = ("_total",)

    def __init__(self, kind: str, key: SecretKey, mode: _BlockMode, encrypts: bool) -> None:
        super().__init__(kind, key, mode, encrypts)
        self._total = 0

    def update(self, data: BytesLike) -> bytes:
        """Take a segment; give the blocks that are complete."""
        self._total += len(data)
        return update_blocks(self._context or self.begin(), data, wipe=False)

    def finish(self, data: BytesLike) -> bytes:
        """Take the last segment; give the rest and the padding."""
        missing = _BLOCK - (self._total + len(data)) % _BLOCK
        context = self._context or self.begin()
        return update_blocks(context, data, wipe=False) + context.update(bytes((missing,)) * missing)


class PaddedDecryption(StreamCipher):
    """ECB or CBC with PKCS7: a block that may be the last is held back until more comes."""

    __slots__ = ("_last", "_total")

    def __init__(self, kind: str, key: SecretKey, mode: _BlockMode, encrypts: bool) -> None:
        super().__init__(kind, key, mode, encrypts)
        self._total = 0
        self._last = b""

    def update(self, data: BytesLike) -> bytes:
        """Take a segment; give the blocks that are surely not the last."""
        self._total += len(data)
        keep = 0 if self._total % _BLOCK else _BLOCK
        output, self._last = update_but_last(self._context or self.begin(), data, self._last, keep)
        return output

    def finish(self, data: BytesLike) -> bytes:
        """Take the last segment; give the rest without its padding.

        Raises:
            BusinessError: 12000006, in the same words for every cause: who may send ciphertexts and tell
                the causes apart could decrypt without the key.

        """
        output = self.update(data)
        unpadder = _PKCS7_BLOCK.unpadder()
        try:
            if self._total % _BLOCK:
                raise ValueError
            return output + unpadder.update(self._last) + unpadder.finalize()
        except ValueError:
            raise BusinessError(
                _CRYPTO_FAIL, "the ciphertext does not end in valid PKCS7 padding under this key and IV"
            ) from None


def starter(spec: OperationSpec) -> Starter:
    """Prepare encryption or decryption with a block cipher; warns of DES, 3DES and ECB.

    Raises:
        BusinessError: 12000003 for a mode or padding that the algorithm does not have.

    """
    algorithm, mode = spec.algorithm, spec.mode
    if mode is None or mode not in _MODES.get(algorithm, ()):
        allowed = ", ".join(HuksCipherMode(each).name for each in sorted(_MODES.get(algorithm, ())))
        raise BusinessError(
            _INVALID, f"HUKS_TAG_BLOCK_MODE is {mode}; algorithm {algorithm} has {allowed or 'no modes'}"
        )
    encrypts = spec.purpose == _ENCRYPT
    operation = _operation(spec, mode, encrypts)
    kind = _kind(algorithm, mode, encrypts)
    if algorithm in (_DES, _3DES):
        warn_legacy(HuksKeyAlg(algorithm).name)
    if mode == _ECB:
        warn_legacy("HUKS_MODE_ECB")
        ecb = modes.ECB()  # noqa: S305  # warned of
        return lambda key, blobs: operation(kind, key, ecb, encrypts)

    mode_class = _MODE_CLASSES[mode]
    read_iv = _des_iv if algorithm not in _WIDE else _nonce_or_iv if mode == _OFB else _wide_iv

    def start(key: SecretKey, blobs: Mapping[int, bytes]) -> Operation:
        return operation(kind, key, mode_class(read_iv(blobs)), encrypts)

    return start


def _operation(spec: OperationSpec, mode: int, encrypts: bool) -> type[StreamCipher]:
    if spec.padding in _NO_PADDING:
        return AlignedCipher if mode in _ALIGNED else StreamCipher
    if spec.padding == _PKCS7 and mode in _ALIGNED and spec.algorithm in _WIDE:
        return PaddedEncryption if encrypts else PaddedDecryption
    raise BusinessError(
        _INVALID,
        f"HUKS_TAG_PADDING is {spec.padding}; accepted is HUKS_PADDING_NONE, and for AES and SM4 in "
        "ECB and CBC also HUKS_PADDING_PKCS7",
    )


def _kind(algorithm: int, mode: int, encrypts: bool) -> str:
    if algorithm == _SM4:
        return "sm4"
    if algorithm != _AES:
        return "des"
    if mode == _CBC:
        return "aes-cbc-encrypt" if encrypts else "aes-cbc-decrypt"
    return "aes-ecb" if mode == _ECB else "aes-ctr"


def _wide_iv(blobs: Mapping[int, bytes], tag: int = _IV) -> bytes:
    iv = blobs.get(tag)
    if iv and len(iv) == _BLOCK:
        return iv
    iv = required(blobs, tag, "this mode")
    if len(iv) > _BLOCK:
        raise _bad_iv(f"{tag_name(tag)} has {len(iv)} bytes; AES and SM4 take {_BLOCK}")
    # Documented samples pass 12 bytes, and devices take whatever follows these in memory for the rest. Zeros
    # are what both sides can repeat.
    warn_caller(
        f"{tag_name(tag)} has {len(iv)} bytes and is extended with zeros to {_BLOCK}",
        HuksCompatibilityWarning,
    )
    return iv.ljust(_BLOCK, b"\0")


def _nonce_or_iv(blobs: Mapping[int, bytes]) -> bytes:
    # For SM4 in OFB devices read the IV, while the guide names the nonce: both are taken, the IV first.
    return _wide_iv(blobs, _NONCE if _IV not in blobs and _NONCE in blobs else _IV)


def _des_iv(blobs: Mapping[int, bytes]) -> bytes:
    iv = required(blobs, _IV, "this mode")
    if len(iv) != _DES_BLOCK:
        raise _bad_iv(f"HUKS_TAG_IV has {len(iv)} bytes; DES and 3DES take {_DES_BLOCK}")
    return iv


def _bad_iv(message: str) -> BusinessError:
    return BusinessError(_INVALID, message, reason=HuksErrorCode.HUKS_ERROR_INVALID_IV)
