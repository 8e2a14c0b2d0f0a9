"""ML-DSA and ML-KEM against a second library, called directly: few command lines have them yet."""

import ctypes
from collections.abc import Callable
from ctypes import byref, c_char_p, c_int, c_size_t, c_void_p
from typing import Any

import pytest

import huks_async as huks
from huks_async.crypto.libcrypto.binding import EvpKey, Libcrypto
from huks_async.crypto.libcrypto.search import libcrypto_for
from tests.conformance import support as s
from tests.skips import skip_unsupported

pytestmark = pytest.mark.asyncio

MESSAGE = b"The keystore and the library agree. " * 30
_POINTERS = (c_void_p, c_void_p)
_SIGNATURES: dict[str, tuple[type, tuple[type, ...]]] = {
    "EVP_DigestVerify": (c_int, (c_void_p, c_char_p, c_size_t, c_char_p, c_size_t)),
    "EVP_DigestVerifyInit_ex": (c_int, (c_void_p, c_void_p, *_POINTERS, *_POINTERS, c_void_p)),
    "EVP_PKEY_encapsulate": (c_int, (c_void_p, *_POINTERS, *_POINTERS)),
    "EVP_PKEY_encapsulate_init": (c_int, _POINTERS),
    "i2d_PUBKEY": (c_int, _POINTERS),
}


class Second:
    """The functions of a libcrypto that these tests need, for one algorithm."""

    def __init__(self, name: str) -> None:
        try:
            self.library: Libcrypto = libcrypto_for(name, "pqc-expanded")
        except huks.BusinessError as error:
            skip_unsupported(error)
        self.calls = ctypes.CDLL(self.library.path)
        for function, types in _SIGNATURES.items():
            call = getattr(self.calls, function)
            call.restype, call.argtypes = types
        self.name = name

    def new_key(self) -> tuple[EvpKey, bytes]:
        """A key pair, and its SubjectPublicKeyInfo."""
        calls, pointer = self.library.calls, c_void_p()
        context = calls.EVP_PKEY_CTX_new_from_name(None, self.name.encode(), None)
        assert calls.EVP_PKEY_keygen_init(context) == 1
        assert calls.EVP_PKEY_generate(context, byref(pointer)) == 1
        calls.EVP_PKEY_CTX_free(context)
        assert pointer.value
        out = ctypes.create_string_buffer(self.calls.i2d_PUBKEY(pointer, None))
        self.calls.i2d_PUBKEY(pointer, byref(c_void_p(ctypes.addressof(out))))
        return EvpKey(self.library, pointer.value), out.raw

    def sign(self, key: EvpKey, message: bytes) -> bytes:
        """A signature of the pure form, with an empty context."""

        def run(context: int) -> bytes:
            calls, length = self.library.calls, c_size_t(5000)
            out = ctypes.create_string_buffer(length.value)
            assert calls.EVP_DigestSignInit_ex(context, None, None, None, None, key.pointer, None) == 1
            assert calls.EVP_DigestSign(context, out, byref(length), message, len(message)) == 1
            return out.raw[: length.value]

        return self._with_context(run)

    def verifies(self, spki: bytes, message: bytes, signature: bytes) -> bool:
        key = self.library.public_key(self.name, spki)

        def run(context: int) -> bool:
            calls = self.calls
            assert calls.EVP_DigestVerifyInit_ex(context, None, None, None, None, key.pointer, None) == 1
            return bool(
                calls.EVP_DigestVerify(context, signature, len(signature), message, len(message)) == 1
            )

        return self._with_context(run)

    def encapsulate(self, spki: bytes) -> tuple[bytes, bytes]:
        """Ciphertext and secret."""
        key = self.library.public_key(self.name, spki)
        context = self.library.calls.EVP_PKEY_CTX_new_from_pkey(None, key.pointer, None)
        sealed, secret = (ctypes.create_string_buffer(2000) for _ in range(2))
        lengths = c_size_t(2000), c_size_t(2000)
        assert self.calls.EVP_PKEY_encapsulate_init(context, None) == 1
        done = self.calls.EVP_PKEY_encapsulate(context, sealed, byref(lengths[0]), secret, byref(lengths[1]))
        self.library.calls.EVP_PKEY_CTX_free(context)
        assert done == 1
        return sealed.raw[: lengths[0].value], secret.raw[: lengths[1].value]

    def _with_context(self, run: Callable[[int], Any]) -> Any:
        context = self.library.calls.EVP_MD_CTX_new()
        try:
            return run(context)
        finally:
            self.library.calls.EVP_MD_CTX_free(context)


async def public_of_new_key(keystore: huks.Keystore, **tags: Any) -> bytes:
    """Generate the key `ours`, and export its public half."""
    await keystore.generateKeyItem("ours", s.options(**tags))
    return (await keystore.exportKeyItem("ours", s.options())).outData


@pytest.mark.parametrize("size", [44, 65, 87])
async def test_mldsa(keystore: huks.Keystore, size: int) -> None:
    """Either side verifies what the other signed, and refuses it for another message."""
    second = Second(f"ML-DSA-{size}")
    values = {"ALGORITHM": s.ML_DSA, "KEY_SIZE": size}
    public = await public_of_new_key(keystore, PURPOSE=s.SIGNATURE, **values)
    signature = await s.run(keystore, "ours", MESSAGE, PURPOSE=s.SIGN, **values)
    assert second.verifies(public, MESSAGE, signature)
    assert not second.verifies(public, MESSAGE[1:], signature)
    key, theirs = second.new_key()
    signature = second.sign(key, MESSAGE)
    await keystore.importKeyItem(
        "theirs", s.options(theirs, IMPORT_KEY_TYPE=s.PUBLIC, PURPOSE=s.VERIFY, **values)
    )
    assert await s.verifies(keystore, "theirs", MESSAGE, signature, PURPOSE=s.VERIFY, **values)
    assert not await s.verifies(keystore, "theirs", MESSAGE[1:], signature, PURPOSE=s.VERIFY, **values)


@pytest.mark.parametrize("size", [768, 1024])
async def test_mlkem(keystore: huks.Keystore, size: int) -> None:
    """Either side opens what the other encapsulated."""
    second = Second(f"ML-KEM-{size}")
    values = {"ALGORITHM": s.ML_KEM, "KEY_SIZE": size}
    sealed, secret = second.encapsulate(
        await public_of_new_key(keystore, PURPOSE=s.WRAP | s.UNWRAP, **values)
    )
    got = await keystore.decapsulate("ours", s.properties(PURPOSE=s.UNWRAP, **values), sealed)
    assert got.sharedSecret == secret
    key, theirs = second.new_key()
    await keystore.importKeyItem(
        "theirs", s.options(theirs, IMPORT_KEY_TYPE=s.PUBLIC, PURPOSE=s.WRAP, **values)
    )
    sent = await keystore.encapsulate("theirs", s.properties(PURPOSE=s.WRAP, **values))
    assert second.library.transform("decapsulate", key, sent.outData, secret=True) == sent.sharedSecret
