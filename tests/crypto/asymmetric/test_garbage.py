"""Tests that changed keys, signatures and ciphertexts end in a BusinessError and in nothing else."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huks_async.crypto.asymmetric import curve25519, dh, dsa, elliptic, rsa
from huks_async.crypto.family import Family
from huks_async.crypto.key_material import KeyMaterial
from huks_async.model.errors import BusinessError
from huks_async.model.tags import HuksTag
from tests.crypto.asymmetric_support import (
    AGREE,
    DECRYPT,
    DH,
    DSA,
    ECC,
    ECDH,
    ED25519,
    NONE,
    OAEP,
    PKCS1,
    PSS,
    RAW,
    RSA,
    SHA256,
    VERIFY,
    X25519,
    run,
)

pytestmark = pytest.mark.filterwarnings("ignore::huks_async.model.errors.HuksLegacyWarning")

FAMILIES: dict[str, tuple[Family, int, int]] = {
    "rsa": (rsa, RSA, 1024),
    "ecc": (elliptic, ECC, 256),
    "dsa": (dsa, DSA, 1024),
    "dh": (dh, DH, 2048),
    "ed25519": (curve25519, ED25519, 256),
    "x25519": (curve25519, X25519, 256),
}
SIGNATURES = [
    ("rsa", {"padding": PKCS1, "digest": SHA256}),
    ("rsa", {"padding": PSS, "digest": SHA256}),
    ("rsa", {"padding": RAW, "digest": NONE}),
    ("ecc", {"digest": SHA256}),
    ("dsa", {"digest": SHA256}),
    ("ed25519", {}),
]
CIPHERS = [
    {"padding": PKCS1},
    {"padding": RAW},
    {"padding": OAEP, "digest": SHA256, "numbers": {HuksTag.HUKS_TAG_KEY_SIZE: 1024}},
]
AGREEMENTS = [
    ("ecc", {"algorithm": ECDH, "numbers": {HuksTag.HUKS_TAG_KEY_SIZE: 256}}),
    ("dh", {"numbers": {HuksTag.HUKS_TAG_KEY_SIZE: 2048}}),
    ("x25519", {}),
]

edits = st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3)), min_size=1, max_size=3)


@cache
def key(name: str) -> KeyMaterial:
    family, algorithm, size = FAMILIES[name]
    return family.generate(algorithm, size)


def edited(data: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    """The data with some bytes replaced, inserted or dropped."""
    changed = bytearray(data)
    for position, piece in changes:
        start = position % (len(changed) + 1)
        changed[start : start + 1] = piece
    return bytes(changed)


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=60, deadline=None)
@given(changes=edits)
def test_import_of_changed_public_keys(name: str, changes: list[tuple[int, bytes]]) -> None:
    """A changed public key is refused (401), or is another public key that loads again."""
    family, algorithm, size = FAMILIES[name]
    try:
        material = family.material_from_spki(edited(key(name).public, changes), algorithm, size)  # type: ignore[attr-defined]
    except BusinessError as error:
        if error.code != 401:
            raise
    else:
        assert family.load(material)
        assert family.material_from_spki(material.public, algorithm, size) == material  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "numbers"), AGREEMENTS)
@settings(max_examples=60, deadline=None)
@given(changes=edits)
def test_agreement_with_changed_peers(
    name: str, numbers: dict[str, object], changes: list[tuple[int, bytes]]
) -> None:
    """A changed public key of a peer is 401 or 12000006, or agrees on something of the right length."""
    peer = edited(key(name).public, changes)
    try:
        secret = run(FAMILIES[name][0], AGREE, key(name), peer, **numbers)
    except BusinessError as error:
        if error.code not in (401, 12000006):
            raise
    else:
        assert len(secret) == (256 if name == "dh" else 32)


@pytest.mark.parametrize(("name", "numbers"), SIGNATURES)
@settings(max_examples=60, deadline=None)
@given(signature=st.binary(max_size=140))
def test_verification_of_garbage(name: str, numbers: dict[str, object], signature: bytes) -> None:
    """Garbage is never a signature: 401 where empty, else 12000003 or 12000006."""
    with pytest.raises(BusinessError) as caught:
        run(FAMILIES[name][0], VERIFY, key(name), b"\1" * 128, last=signature, **numbers)
    assert caught.value.code in ((12000003, 12000006) if signature else (401,))


@pytest.mark.parametrize("numbers", CIPHERS)
@settings(max_examples=40, deadline=None)
@given(ciphertext=st.binary(max_size=130) | st.binary(min_size=128, max_size=128))
def test_decryption_of_garbage(numbers: dict[str, object], ciphertext: bytes) -> None:
    """Garbage decrypts to a block at most, or is 12000006."""
    try:
        assert len(run(rsa, DECRYPT, key("rsa"), ciphertext, **numbers)) <= 128
    except BusinessError as error:
        if error.code != 12000006:
            raise
