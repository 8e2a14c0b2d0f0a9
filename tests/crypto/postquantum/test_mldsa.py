"""ML-DSA: against the known answers that come with `cryptography`, and an independent implementation."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from huks_async.crypto.family import OperationSpec
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.libcrypto import search as libcrypto_search
from huks_async.crypto.libcrypto.search import libcrypto_for
from huks_async.crypto.operation import Operation
from huks_async.crypto.postquantum import mldsa
from huks_async.model.enums import HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from huks_async.model.tags import HuksTag

ML_DSA = 201
SIZES = (44, 65, 87)
SIGN, VERIFY = HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN, HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY

sizes = pytest.mark.parametrize("size", SIZES)


def known_answers(size: int, count: int) -> Iterator[dict[str, bytes]]:
    """The first entries of the file of known answers: xi, pk, sk (expanded), msg, ctx, sm."""
    vectors = pytest.importorskip("cryptography_vectors", reason="cryptography-vectors is not installed")
    path = files(vectors) / "asymmetric" / "MLDSA" / f"kat_MLDSA_{size}_det_pure.rsp"
    entry: dict[str, bytes] = {}
    with path.open() as lines:
        entries = []
        for line in lines:
            name, _, value = line.partition(" = ")
            if name in ("xi", "pk", "sk", "msg", "sm", "ctx"):
                entry[name] = bytes.fromhex(value)
            if name == "ctx":
                entries.append(entry)
                entry = {}
                if len(entries) == count:
                    break
    assert len(entries) == count
    return iter(entries)


def expanded_keys_work() -> bool:
    try:
        libcrypto_for("ML-DSA-65", "pqc-expanded")
    except BusinessError:
        return False
    return True


needs_libcrypto = pytest.mark.skipif(not expanded_keys_work(), reason="no sound libcrypto with ML-DSA")


def start(
    key: mldsa.MlDsaKey, purpose: int, context: bytes | None = None, limits: Limits | None = None
) -> Operation:
    """A running operation."""
    size = key.parameters.size
    spec = OperationSpec(purpose, ML_DSA, ML_DSA, size, None, None, None, {}, limits or Limits(), {})
    return mldsa.starter(spec)(key, {} if context is None else {HuksTag.HUKS_TAG_CONTEXT: context})


def verify(key: mldsa.MlDsaKey, message: bytes, signature: bytes, context: bytes | None = None) -> bytes:
    """Verify in one go."""
    operation = start(key, VERIFY, context)
    operation.update(message)
    return operation.finish(signature)


def refused(code: int, call: Any, *args: Any, **kwargs: Any) -> BusinessError:
    """The error that the call must raise."""
    with pytest.raises(BusinessError) as caught:
        call(*args, **kwargs)
    assert caught.value.code == code
    return caught.value


@sizes
def test_known_signatures_verify(size: int) -> None:
    """Known signatures with their contexts are right for the seed's key and for the bare public key."""
    for answer in known_answers(size, 5):
        signature = answer["sm"][: mldsa.PARAMETER_SETS[size].output_bytes]
        from_seed = mldsa.load(KeyMaterial(ML_DSA, size, answer["xi"]))
        public = mldsa.load(mldsa.material_from_parts(size, answer["pk"], b""))
        for key in (from_seed, public):
            assert verify(key, answer["msg"], signature, answer["ctx"]) == b""
            refused(12000006, verify, key, answer["msg"], signature, answer["ctx"] + b"x")
            refused(12000006, verify, key, answer["msg"] + b"x", signature, answer["ctx"])


@sizes
def test_seed_gives_the_known_public_key(size: int) -> None:
    """The seed's public half is the known one."""
    for answer in known_answers(size, 5):
        key = mldsa.load(KeyMaterial(ML_DSA, size, answer["xi"]))
        assert key.public.public_bytes_raw() == answer["pk"]


@needs_libcrypto
@sizes
def test_expanded_key_is_the_seeds_key(size: int) -> None:
    """The known expanded key, alone or with its public half, signs what the seed's key verifies."""
    for answer in known_answers(size, 2):
        seed_key = mldsa.load(KeyMaterial(ML_DSA, size, answer["xi"]))
        for public in (b"", answer["pk"]):
            material = mldsa.material_from_parts(size, public, answer["sk"])
            assert material.secret == answer["sk"]
            assert bool(material.public) == bool(public)
            expanded = mldsa.load(material)
            signature = start(expanded, SIGN, answer["ctx"]).finish(answer["msg"])
            assert len(signature) == mldsa.PARAMETER_SETS[size].output_bytes
            assert verify(seed_key, answer["msg"], signature, answer["ctx"]) == b""
            assert verify(expanded, answer["msg"], signature, answer["ctx"]) == b""


@needs_libcrypto
@sizes
def test_parts_that_do_not_belong_together(size: int) -> None:
    """Halves of two keys, or a damaged private half, are 401."""
    one, two = known_answers(size, 2)
    refused(401, mldsa.material_from_parts, size, one["pk"], two["sk"])
    for position in (0, 64, 127, 200, len(one["sk"]) - 1):
        damaged = bytearray(one["sk"])
        damaged[position] ^= 1
        refused(401, mldsa.material_from_parts, size, b"", bytes(damaged))


@sizes
def test_parts_of_wrong_length(size: int) -> None:
    """Each half has one length; the seed is not the private half of a key that is imported."""
    parameters = mldsa.PARAMETER_SETS[size]
    public, private = bytes(parameters.public_bytes), bytes(parameters.expanded_bytes)
    for wrong in ((public[1:], b""), (b"", private + b"\0"), (b"", b""), (public, bytes(32)), (private, b"")):
        refused(401, mldsa.material_from_parts, size, *wrong)


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a libcrypto an expanded key is refused at import, and a seed still works."""
    (answer,) = known_answers(44, 1)
    monkeypatch.setattr(libcrypto_search, "candidates", lambda _: iter(()))
    libcrypto_for.cache_clear()
    error = refused(12000001, mldsa.material_from_parts, 44, b"", answer["sk"])
    assert "huks-async[pqc-expanded]" in error.message
    assert start(mldsa.load(KeyMaterial(ML_DSA, 44, answer["xi"])), SIGN).finish(b"hello")


@sizes
def test_generated_keys(size: int) -> None:
    """A generated key is a seed and the SubjectPublicKeyInfo of the documented length."""
    material = mldsa.generate(ML_DSA, size)
    assert len(material.secret) == 32
    assert len(material.public) == mldsa.PARAMETER_SETS[size].public_bytes + 22
    key, public = mldsa.load(material), mldsa.load(mldsa.material_from_spki(size, material.public))
    assert verify(public, b"hello", start(key, SIGN).finish(b"hello")) == b""


@pytest.mark.parametrize("context", [None, b"", b"c", bytes(255)], ids=["absent", "empty", "1", "255"])
def test_segments_and_context(context: bytes | None) -> None:
    """How a message is cut does not matter, the context does; nothing is held."""
    key = mldsa.load(mldsa.generate(ML_DSA, 44))
    operation = start(key, SIGN, context)
    assert operation.update(bytearray(b"mess")) == b""
    assert operation.update(memoryview(b"")) == b""
    signature = operation.finish(b"age")
    assert (operation.held, operation.kind) == (0, "mldsa-44-sign")
    assert verify(key, b"message", signature, context) == b""
    refused(12000006, verify, key, b"message", signature, b"other")
    key.public.verify(signature, b"message", context or b"")


def test_context_too_long() -> None:
    """A context has at most 255 bytes."""
    key = mldsa.load(mldsa.generate(ML_DSA, 44))
    for purpose in (SIGN, VERIFY):
        refused(401, start, key, purpose, bytes(256))


@sizes
def test_wrong_signatures(size: int) -> None:
    """Each kind of wrong signature has its documented code."""
    key = mldsa.load(mldsa.generate(ML_DSA, size))
    signature = start(key, SIGN).finish(b"hello")
    refused(12000006, verify, key, b"hellO", signature)
    refused(12000006, verify, key, b"hello", signature[:-1])
    refused(12000006, verify, key, b"hello", bytes(len(signature)))
    refused(12000003, verify, key, b"hello", signature + b"\0")
    refused(401, verify, key, b"hello", b"")


def test_empty_message_by_limits() -> None:
    """FIPS 204 signs an empty message; a device does not."""
    key = mldsa.load(mldsa.generate(ML_DSA, 44))
    signature = start(key, SIGN).finish(b"")
    assert verify(key, b"", signature) == b""
    refused(12000014, start(key, SIGN, limits=Limits.device()).finish, b"")
    refused(12000014, start(key, VERIFY, limits=Limits.device()).finish, signature)


@pytest.mark.parametrize("purpose", [SIGN, VERIFY])
def test_too_much_data(purpose: int) -> None:
    """The total of all segments is limited, and the message names the limit."""
    operation = start(mldsa.load(mldsa.generate(ML_DSA, 44)), purpose, limits=Limits(max_ml_dsa_bytes=10))
    operation.update(bytes(10))
    assert "max_ml_dsa_bytes" in refused(401, operation.update, b"x").message


def test_public_key_alone_cannot_sign() -> None:
    """Signing needs the private half."""
    material = mldsa.generate(ML_DSA, 44)
    refused(401, start, mldsa.load(mldsa.material_from_spki(44, material.public)), SIGN)


def test_other_purposes() -> None:
    """ML-DSA keys sign and verify."""
    key = mldsa.load(mldsa.generate(ML_DSA, 44))
    refused(401, start, key, HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT)


def test_public_keys_in_der() -> None:
    """Bytes that do not parse are 12000006, keys of another kind or set 401."""
    spki = mldsa.generate(ML_DSA, 44).public
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    for wrong in (b"", spki[:-1], spki + b"\0", b"\x30\x00"):
        refused(12000006, mldsa.material_from_spki, 44, wrong)
    refused(401, mldsa.material_from_spki, 65, spki)
    refused(
        401, mldsa.material_from_spki, 44, other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    sm2 = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200") + bytes(65)
    refused(401, mldsa.material_from_spki, 44, sm2)


@given(
    st.binary(max_size=60) | st.integers(0, 40).map(lambda cut: mldsa.generate(ML_DSA, 44).public[cut + 1 :])
)
def test_any_bytes_as_public_key(data: bytes) -> None:
    """Whatever is imported, only a documented error comes out."""
    with pytest.raises(BusinessError):
        mldsa.material_from_spki(44, data)


def test_repr_shows_no_key() -> None:
    """Neither form of a key shows its bytes, as they are or as hex."""
    material = mldsa.generate(ML_DSA, 44)
    assert len(material.secret) >= 32
    shown = repr(material) + repr(mldsa.load(material))
    assert repr(material.secret)[2:-1] not in shown
    assert material.secret.hex() not in shown.lower()


@needs_libcrypto
def test_second_opinion_of_dilithium_py() -> None:
    """Keys and signatures pass in both directions with the package dilithium-py."""
    module = pytest.importorskip("dilithium_py.ml_dsa", reason="the package dilithium-py is not installed")
    public, private = module.ML_DSA_44.keygen()
    key = mldsa.load(mldsa.material_from_parts(44, public, private))
    assert module.ML_DSA_44.verify(public, b"hello", start(key, SIGN, b"ctx").finish(b"hello"), ctx=b"ctx")
    assert verify(key, b"hello", module.ML_DSA_44.sign(private, b"hello", ctx=b"ctx"), b"ctx") == b""
