"""Tests of DSA."""

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from huks_async.crypto.asymmetric import dsa
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.libcrypto import generation
from huks_async.crypto.libcrypto import search as libcrypto_search
from huks_async.crypto.libcrypto.binding import LibcryptoError
from huks_async.model.errors import BusinessError, HuksLegacyWarning
from tests.crypto.asymmetric_support import (
    AGREE,
    DEVICE,
    DIGESTS,
    DSA,
    MD5,
    NONE,
    SHA1,
    SHA256,
    SIGN,
    VERIFY,
    make_spec,
    openssl,
    public_of,
    records,
    refused,
    run,
    start,
    verifies,
)
from tests.skips import skip_unsupported

pytestmark = pytest.mark.filterwarnings("ignore::huks_async.model.errors.HuksLegacyWarning")

NAMES = ("X", "Y", "P", "Q", "G")


def parts(case: dict[str, str], names: tuple[str, ...] = NAMES) -> list[bytes]:
    return [bytes.fromhex(case[name].rjust(len(case[name]) + len(case[name]) % 2, "0")) for name in names]


@pytest.fixture(scope="module")
def numbers() -> dict[int, list[bytes]]:
    """x, y, p, q, g of one NIST key of each group size."""
    found: dict[int, list[bytes]] = {}
    for section, case in records("DSA/FIPS_186-3/SigGen.txt", "Y"):
        found.setdefault(int(section.split("L=")[1].split(",")[0]), parts(case))
    return found


@pytest.fixture(scope="module")
def key(numbers: dict[int, list[bytes]]) -> KeyMaterial:
    return dsa.material_from_parts(2048, *numbers[2048])


def test_nist_signatures_verify_and_changed_ones_do_not() -> None:
    """Verdicts of FIPS 186-3 SigVer are ours too, for all group sizes and digests."""
    seen: dict[tuple[str, bool], int] = {}
    for section, case in records("DSA/FIPS_186-3/SigVer.rsp", "Result"):
        digest = section.rsplit(" ", 1)[1].replace("-", "")
        good = case["Result"].startswith("P")
        seen[section, good] = seen.get((section, good), 0) + 1
        if digest not in DIGESTS or seen[section, good] > 2:
            continue
        size = int(case["P"], 16).bit_length()
        y, p, q, g = parts(case, NAMES[1:])
        if case["Result"].startswith("F (2"):
            # the changed public value is no member of the group, which is found out at import
            with refused(401, "not in the group"):
                dsa.material_from_parts(size, b"", y, p, q, g)
            continue
        public = dsa.material_from_parts(size, b"", y, p, q, g)
        signature = encode_dss_signature(int(case["R"], 16), int(case["S"], 16))
        assert good == verifies(dsa, public, bytes.fromhex(case["Msg"]), signature, digest=DIGESTS[digest]), (
            case
        )
    assert len(seen) >= 25


@pytest.mark.parametrize("size", [1024, 2048, 3072])
@pytest.mark.parametrize("digest", list(DIGESTS))
def test_openssl_takes_our_signatures(
    size: int, digest: str, numbers: dict[int, list[bytes]], tmp_path: Path
) -> None:
    """OpenSSL verifies what a NIST key signs here, and we verify what OpenSSL signs with it."""
    material = dsa.material_from_parts(size, *numbers[size])
    signature = run(dsa, SIGN, material, b"mess", last=b"age", digest=DIGESTS[digest])
    for name, data in (("public", material.public), ("private", material.secret), ("signature", signature)):
        (tmp_path / name).write_bytes(data)
    said = openssl(
        "dgst", f"-{digest.lower()}", "-verify", str(tmp_path / "public"), "-keyform", "DER",
        "-signature", str(tmp_path / "signature"), given=b"message",
    )  # fmt: skip
    assert b"Verified OK" in said
    theirs = openssl(
        "dgst", f"-{digest.lower()}", "-sign", str(tmp_path / "private"), "-keyform", "DER", given=b"message"
    )
    assert verifies(dsa, public_of(material), b"message", theirs, digest=DIGESTS[digest])
    assert not verifies(dsa, public_of(material), b"massage", theirs, digest=DIGESTS[digest])


def test_generation() -> None:
    """A generated key of 1024 bits has q of 160 bits, signs, and OpenSSL reads it."""
    material = dsa.generate(DSA, 1024)
    assert dsa.load(material).public.parameters().parameter_numbers().q.bit_length() == 160
    assert verifies(dsa, material, b"m", run(dsa, SIGN, material, b"m", digest=SHA256), digest=SHA256)
    assert b"1024 bit" in openssl("pkey", "-inform", "DER", "-noout", "-text", given=material.secret)
    for size in (504, 1020, 8192):
        with refused(12000003, "multiples of 8 from 512 to 4096"):
            dsa.generate(DSA, size)


@pytest.mark.parametrize("size", [512, 520, 1016, 1032, 1536])
def test_uncommon_sizes(size: int, tmp_path: Path) -> None:
    """Keys of sizes that no library makes whole have primes of that size; OpenSSL checks and verifies them."""
    try:
        material = dsa.generate(DSA, size)
    except BusinessError as error:
        skip_unsupported(error)
    group = dsa.load(material).public.parameters().parameter_numbers()
    assert (group.p.bit_length(), group.q.bit_length()) == (size, 160)
    signature = run(dsa, SIGN, material, b"mess", last=b"age", digest=SHA256)
    for name, data in (("public", material.public), ("private", material.secret), ("signature", signature)):
        (tmp_path / name).write_bytes(data)
    said = openssl(
        "dgst", "-sha256", "-verify", str(tmp_path / "public"), "-keyform", "DER",
        "-signature", str(tmp_path / "signature"), given=b"message",
    )  # fmt: skip
    assert b"Verified OK" in said
    theirs = openssl(
        "dgst", "-sha256", "-sign", str(tmp_path / "private"), "-keyform", "DER", given=b"message"
    )
    assert verifies(dsa, public_of(material), b"message", theirs, digest=SHA256)
    assert not verifies(dsa, public_of(material), b"massage", theirs, digest=SHA256)
    for prime in (group.p, group.q):
        assert b"is prime" in openssl("prime", str(prime))
    numbers = [group.p, group.q, group.g]
    x, y = dsa.load(material).private.private_numbers().x, dsa.load(material).public.public_numbers().y
    parts = [number.to_bytes((number.bit_length() + 7) // 8, "big") for number in (x, y, *numbers)]
    assert dsa.material_from_parts(size, *parts) == material
    assert dsa.material_from_spki(material.public, DSA, size) == public_of(material)


def test_uncommon_sizes_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no libcrypto is found, generation of such a size says which extra brings one."""
    monkeypatch.setattr(libcrypto_search, "candidates", lambda _: iter(()))
    libcrypto_search.libcrypto_for.cache_clear()
    try:
        with refused(12000001, "generation of a DSA key of 512 bits needs"):
            dsa.generate(DSA, 512)
    finally:
        libcrypto_search.libcrypto_for.cache_clear()


def test_digest_none(key: KeyMaterial) -> None:
    """A value of a hash's length is signed as the hash; other lengths are 401, nothing 12000014 on a device."""
    for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
        value = hashlib.new(name, b"m").digest()
        signature = run(dsa, SIGN, key, value, digest=NONE)
        assert verifies(dsa, key, value, signature, digest=NONE)
        if name != "md5":
            assert verifies(dsa, key, b"m", signature, digest=DIGESTS[name.upper()])
    with refused(401):
        run(dsa, SIGN, key, b"x" * 31, digest=NONE)
    with refused(12000014):
        run(dsa, SIGN, key, digest=NONE, limits=DEVICE)


def test_signature_lengths(key: KeyMaterial) -> None:
    """None is 401, longer than q allows and garbage 12000006."""
    assert dsa.load(key).public.parameters().parameter_numbers().q.bit_length() == 224
    for signature, code in ((b"", 401), (b"x" * 500, 12000006), (b"x" * 65, 12000006), (b"\x30", 12000006)):
        with refused(code):
            run(dsa, VERIFY, key, b"m", last=signature, digest=SHA256)


def test_parameters_and_halves(key: KeyMaterial) -> None:
    """Digests and purposes outside the matrix are 12000003, a missing digest or private half 401; DSA warns."""
    for code, purpose, digest in ((12000003, SIGN, MD5), (401, SIGN, None), (12000003, AGREE, SHA256)):
        with refused(code):
            dsa.starter(make_spec(purpose, key, digest=digest))
    with refused(401, "private"):
        start(dsa, SIGN, public_of(key), digest=SHA256)
    with pytest.warns(HuksLegacyWarning, match="DSA"):
        dsa.starter(make_spec(VERIFY, key, digest=SHA1))
    assert start(dsa, SIGN, key, digest=SHA256).kind == "dsa-2048-sign"
    assert start(dsa, VERIFY, key, digest=NONE).kind == "dsa-2048-verify"


def test_import_of_parts(numbers: dict[int, list[bytes]], key: KeyMaterial) -> None:
    """Halves import alone or together; numbers that are no key are 401."""
    x, y, p, q, g = numbers[2048]
    assert dsa.material_from_parts(2048, b"", y, p, q, g) == public_of(key)
    alone = dsa.material_from_parts(2048, x, b"", p, q, g)
    assert alone.public == b""
    assert verifies(dsa, key, b"m", run(dsa, SIGN, alone, b"m", digest=SHA256), digest=SHA256)
    other = numbers[1024]
    prime = int.from_bytes(p, "big")
    composite = (prime - 2 * int.from_bytes(q, "big")).to_bytes(len(p), "big")
    for wrong in (
        (b"", b"", p, q, g),
        (b"\x05", y, p, q, g),
        (q, b"", p, q, g),
        (b"\0", b"", p, q, g),
        (b"", b"\1", p, q, g),
        (b"", p, p, q, g),
        (b"", b"\2", p, q, g),
        (x, y, p, other[3], g),
        (x, y, p, q, b"\1"),
        (x, y, p, q, p),
        (x, y, bytes(len(p)), q, g),
        (x, y, p, b"", g),
        (x, b"", composite, q, g),
        tuple(other),
    ):
        with refused(401):
            dsa.material_from_parts(2048, *wrong)
    with refused(401, "no group of 1536 bits"):
        dsa.material_from_parts(1536, x, y, p, q, g)


def test_import_of_spki(key: KeyMaterial) -> None:
    """A SubjectPublicKeyInfo imports with its own size alone; other bytes and algorithms are 401."""
    assert dsa.material_from_spki(key.public, DSA, 2048) == public_of(key)
    curve = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    other = openssl("pkey", "-pubout", "-outform", "DER", given=curve)
    for spki, size in (
        (key.public, 1024),
        (key.public, 512),
        (other, 2048),
        (b"", 2048),
        (key.public[:-1], 2048),
    ):
        with refused(401):
            dsa.material_from_spki(spki, DSA, size)
    with refused(12000003):
        dsa.material_from_spki(key.public, DSA, 500)


def test_primes_that_a_library_refuses_by_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is told with the documented code."""

    def forbidding(*_: object) -> None:
        raise LibcryptoError("no prime")

    monkeypatch.setattr(libcrypto_search, "libcrypto_for", lambda *_: None)
    monkeypatch.setattr(generation, "prime", forbidding)
    with refused(12000001, "a policy of the system"):
        dsa.generate(DSA, 512)


def test_the_private_value_of_an_import_is_blinded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The power has another exponent each time, and the same value."""
    asked: list[int] = []
    monkeypatch.setattr(dsa, "random_bytes", lambda size: asked.append(size) or b"\xff" * size)
    order, prime = 11, 23
    assert [dsa._blinded_power(4, x, order, prime) for x in range(1, order)] == [
        pow(4, x, prime) for x in range(1, order)
    ]
    assert asked == [8] * 10
