"""ML-KEM: against the known answers that come with `cryptography`, and an independent implementation."""

from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huks_async.crypto.family import OperationSpec
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.libcrypto import search as libcrypto_search
from huks_async.crypto.libcrypto.search import libcrypto_for
from huks_async.crypto.postquantum import mlkem
from huks_async.model.enums import HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits

ML_KEM = 200
FIELDS = ("d", "z", "pk", "sk", "ct", "ss", "ct_n", "ss_n")

sizes = pytest.mark.parametrize("size", [768, 1024])


def known_answers(size: int, count: int) -> list[dict[str, bytes]]:
    """The first entries of the file of known answers; ct_n is a ciphertext to be rejected implicitly."""
    vectors = pytest.importorskip("cryptography_vectors", reason="cryptography-vectors is not installed")
    path = files(vectors) / "asymmetric" / "MLKEM" / f"kat_MLKEM_{size}.rsp"
    entries: list[dict[str, bytes]] = []
    with path.open() as lines:
        for line in lines:
            name, _, value = line.strip().partition(" = ")
            if name == "count":
                if len(entries) == count:
                    break
                entries.append({})
            elif name in FIELDS:
                entries[-1][name] = bytes.fromhex(value)
    assert [set(entry) for entry in entries] == [set(FIELDS)] * count
    return entries


def expanded_keys_work() -> bool:
    try:
        libcrypto_for("ML-KEM-768", "pqc-expanded")
    except BusinessError:
        return False
    return True


needs_libcrypto = pytest.mark.skipif(not expanded_keys_work(), reason="no sound libcrypto with ML-KEM")


def refused(code: int, call: Any, *args: Any, **kwargs: Any) -> BusinessError:
    """The error that the call must raise."""
    with pytest.raises(BusinessError) as caught:
        call(*args, **kwargs)
    assert caught.value.code == code
    return caught.value


@sizes
def test_seed_gives_the_known_secrets(size: int) -> None:
    """The seed's key has the known public half and opens the known ciphertexts, the bad one too."""
    for answer in known_answers(size, 10):
        key = mlkem.load(KeyMaterial(ML_KEM, size, answer["d"] + answer["z"]))
        assert key.public.public_bytes_raw() == answer["pk"]
        assert mlkem.decapsulate(key, answer["ct"]) == answer["ss"]
        assert mlkem.decapsulate(key, bytearray(answer["ct_n"])) == answer["ss_n"]


@needs_libcrypto
@sizes
def test_expanded_key_gives_the_known_secrets(size: int) -> None:
    """The known expanded key does the same, with or without its public half beside it."""
    for answer in known_answers(size, 5):
        for public in (b"", answer["pk"]):
            material = mlkem.material_from_parts(size, public, answer["sk"])
            assert material.secret == answer["sk"]
            assert bool(material.public) == bool(public)
            key = mlkem.load(material)
            assert key.public.public_bytes_raw() == answer["pk"]
            assert mlkem.decapsulate(key, answer["ct"]) == answer["ss"]
            assert mlkem.decapsulate(key, memoryview(answer["ct_n"])) == answer["ss_n"]


@sizes
def test_generated_keys(size: int) -> None:
    """A generated key is a seed; both sides get the same secret of 32 bytes."""
    parameters = mlkem.PARAMETER_SETS[size]
    material = mlkem.generate(ML_KEM, size)
    assert (len(material.secret), len(material.public)) == (64, parameters.public_bytes + 22)
    peer = mlkem.load(mlkem.material_from_spki(size, material.public))
    ciphertext, secret = mlkem.encapsulate(peer)
    assert (len(ciphertext), len(secret)) == (parameters.output_bytes, 32)
    assert mlkem.decapsulate(mlkem.load(material), ciphertext) == secret
    assert mlkem.encapsulate(peer)[1] != secret


@sizes
def test_damaged_ciphertext_gives_another_secret(size: int) -> None:
    """Implicit rejection: a flipped bit is no error, and always the same other secret."""
    key = mlkem.load(mlkem.generate(ML_KEM, size))
    ciphertext, secret = mlkem.encapsulate(key)
    damaged = bytearray(ciphertext)
    damaged[-1] ^= 1
    other = mlkem.decapsulate(key, damaged)
    assert other != secret
    assert mlkem.decapsulate(key, damaged) == other


@sizes
def test_ciphertext_of_another_length(size: int) -> None:
    """The length is exact, and the message says which."""
    key = mlkem.load(mlkem.generate(ML_KEM, size))
    ciphertext, _ = mlkem.encapsulate(key)
    for wrong in (b"", ciphertext[:-1], ciphertext + b"\0", bytes(784), bytes(912)):
        assert str(len(ciphertext)) in refused(12000018, mlkem.decapsulate, key, wrong).message


def test_public_key_alone_cannot_decapsulate() -> None:
    """Decapsulation needs the private half."""
    peer = mlkem.load(mlkem.material_from_spki(768, mlkem.generate(ML_KEM, 768).public))
    refused(401, mlkem.decapsulate, peer, mlkem.encapsulate(peer)[0])


@sizes
def test_parts_of_wrong_length(size: int) -> None:
    """Each half has one length; the seed is not the private half of a key that is imported."""
    parameters = mlkem.PARAMETER_SETS[size]
    public, private = bytes(parameters.public_bytes), bytes(parameters.expanded_bytes)
    for wrong in ((public[1:], b""), (b"", private + b"\0"), (b"", b""), (public, bytes(64)), (private, b"")):
        refused(401, mlkem.material_from_parts, size, *wrong)


@sizes
def test_parts_that_do_not_belong_together(size: int) -> None:
    """Halves of two keys, or a private half whose inner hash does not fit, are 401."""
    one, two = known_answers(size, 2)
    refused(401, mlkem.material_from_parts, size, one["pk"], two["sk"])
    inner = len(one["sk"]) - 64
    for position in (inner, inner + 31, inner - 1, inner - len(one["pk"])):
        damaged = bytearray(one["sk"])
        damaged[position] ^= 1
        refused(401, mlkem.material_from_parts, size, b"", bytes(damaged))


@sizes
def test_public_half_with_coefficients_out_of_range(size: int) -> None:
    """FIPS 203 section 7.2: coefficients of the encapsulation key are below q."""
    refused(401, mlkem.material_from_parts, size, b"\xff" * mlkem.PARAMETER_SETS[size].public_bytes, b"")


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a libcrypto an expanded key is refused at import, and a seed still works."""
    (answer,) = known_answers(768, 1)
    monkeypatch.setattr(libcrypto_search, "candidates", lambda _: iter(()))
    libcrypto_for.cache_clear()
    error = refused(12000001, mlkem.material_from_parts, 768, b"", answer["sk"])
    assert "huks-async[pqc-expanded]" in error.message
    key = mlkem.load(KeyMaterial(ML_KEM, 768, answer["d"] + answer["z"]))
    assert mlkem.decapsulate(key, answer["ct"]) == answer["ss"]


def test_public_keys_in_der() -> None:
    """Bytes that do not parse are 12000006, keys of another set 401."""
    spki = mlkem.generate(ML_KEM, 768).public
    assert mlkem.material_from_spki(768, spki).public == spki
    for wrong in (b"", spki[:-1], spki + b"\0", b"\x30\x00"):
        refused(12000006, mlkem.material_from_spki, 768, wrong)
    refused(401, mlkem.material_from_spki, 1024, spki)


@given(st.binary(max_size=60))
def test_any_bytes_as_public_key(data: bytes) -> None:
    """Whatever is imported, only a documented error comes out."""
    with pytest.raises(BusinessError):
        mlkem.material_from_spki(768, data)


def test_no_sessions() -> None:
    """ML-KEM keys have functions of their own, no sessions."""
    purpose = HuksKeyPurpose.HUKS_KEY_PURPOSE_WRAP
    spec = OperationSpec(purpose, ML_KEM, ML_KEM, 768, None, None, None, {}, Limits(), {})
    assert "encapsulate" in refused(12000003, mlkem.starter, spec).message


def test_repr_shows_no_key() -> None:
    """Neither form of a key shows its bytes, as they are or as hex."""
    material = mlkem.generate(ML_KEM, 768)
    assert len(material.secret) >= 32
    shown = repr(material) + repr(mlkem.load(material))
    assert repr(material.secret)[2:-1] not in shown
    assert material.secret.hex() not in shown.lower()


@needs_libcrypto
def test_second_opinion_of_kyber_py() -> None:
    """Keys and ciphertexts pass in both directions with the package kyber-py."""
    module = pytest.importorskip("kyber_py.ml_kem", reason="the package kyber-py is not installed")
    public, private = module.ML_KEM_768.keygen()
    key = mlkem.load(mlkem.material_from_parts(768, public, private))
    ciphertext, secret = mlkem.encapsulate(key)
    assert module.ML_KEM_768.decaps(private, ciphertext) == secret
    its_secret, its_ciphertext = module.ML_KEM_768.encaps(public)
    assert mlkem.decapsulate(key, its_ciphertext) == its_secret
