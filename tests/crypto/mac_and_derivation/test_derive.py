"""HKDF and PBKDF2 against the RFCs, Wycheproof and Python's own functions, and every refusal."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huks_async.crypto.family import OperationSpec
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.mac_and_derivation import derive
from huks_async.model.enums import HuksKeyAlg, HuksKeyDigest, HuksKeyPurpose
from huks_async.model.errors import HuksCompatibilityWarning
from huks_async.model.limits import Limits
from huks_async.model.tags import HuksTag
from tests.crypto.symmetric_support import records, refused, wycheproof

HKDF, PBKDF2 = HuksKeyAlg.HUKS_ALG_HKDF, HuksKeyAlg.HUKS_ALG_PBKDF2
SIZE, ITERATION = HuksTag.HUKS_TAG_DERIVE_KEY_SIZE, HuksTag.HUKS_TAG_ITERATION
SALT, INFO = HuksTag.HUKS_TAG_SALT, HuksTag.HUKS_TAG_INFO
SHA256 = HuksKeyDigest.HUKS_DIGEST_SHA256
DIGESTS = {
    "sha256": SHA256,
    "sha384": HuksKeyDigest.HUKS_DIGEST_SHA384,
    "sha512": HuksKeyDigest.HUKS_DIGEST_SHA512,
}
EVERY_DIGEST = pytest.mark.parametrize("name", DIGESTS)
KEY = bytes(range(32))
GOOD_SALT = bytes(range(50, 66))


def prepare(algorithm, *, digest=SHA256, size=32, iterations=1000):
    """The starter of a derivation from an AES key; None leaves a number out."""
    numbers = {tag: value for tag, value in ((SIZE, size), (ITERATION, iterations)) if value is not None}
    wanted = OperationSpec(
        purpose=HuksKeyPurpose.HUKS_KEY_PURPOSE_DERIVE,
        algorithm=algorithm,
        key_algorithm=HuksKeyAlg.HUKS_ALG_AES,
        size=256,
        mode=None,
        padding=None,
        digest=digest,
        numbers=numbers,
        limits=Limits(),
        key_numbers={},
    )
    return derive.starter(wanted)


def begin(algorithm, blobs=None, **numbers):
    """A started derivation."""
    ready = derive.load(KeyMaterial(HuksKeyAlg.HUKS_ALG_AES, 256, KEY))
    return prepare(algorithm, **numbers)(ready, {SALT: GOOD_SALT} if blobs is None else blobs)


def derived(algorithm, blobs=None, **numbers):
    """What a session derives."""
    operation = begin(algorithm, blobs, **numbers)
    assert operation.update(b"ignored") == b""
    return operation.finish(b"ignored too")


def own_hkdf(name, key, salt, info, length):
    """RFC 5869 written out with Python's HMAC."""
    extracted = hmac.digest(salt or bytes(hashlib.new(name).digest_size), key, name)
    output = block = b""
    while len(output) < length:
        block = hmac.digest(extracted, block + info + bytes([len(output) // len(extracted) + 1]), name)
        output += block
    return output[:length]


def test_rfc_5869():
    """RFC 5869's three answers with SHA-256."""
    cases = records("KDF/rfc-5869-HKDF-SHA256.txt", "okm")
    assert len(cases) == 3
    for case in cases:
        key, salt, info = (bytes.fromhex(case[name]) for name in ("ikm", "salt", "info"))
        assert derive.hkdf(SHA256, key, salt, info, int(case["l"])).hex() == case["okm"]


def test_wycheproof_hkdf():
    """Wycheproof's vectors with sizes that HKDF can give."""
    for _, case in wycheproof("hkdf_sha256"):
        key, salt, info = (bytes.fromhex(case[name]) for name in ("ikm", "salt", "info"))
        if case["result"] == "valid":
            assert derive.hkdf(SHA256, key, salt, info, case["size"]).hex() == case["okm"]
        else:
            refused(12000006, lambda: prepare(HKDF, size=case["size"]))  # noqa: B023


@EVERY_DIGEST
@given(
    salt=st.none() | st.binary(max_size=80),
    info=st.none() | st.binary(max_size=80),
    size=st.integers(1, 500),
)
def test_hkdf_session(name, salt, info, size):
    """A session gives what RFC 5869 written out gives; no salt is zeros, no info is nothing."""
    blobs = {tag: value for tag, value in ((SALT, salt), (INFO, info)) if value is not None}
    expected = own_hkdf(name, KEY, salt, info or b"", size)
    assert derived(HKDF, blobs, digest=DIGESTS[name], size=size) == expected


@EVERY_DIGEST
def test_hkdf_bounds(name):
    """HKDF gives 255 digests and not a byte more."""
    most = 255 * hashlib.new(name).digest_size
    assert derived(HKDF, {}, digest=DIGESTS[name], size=most) == own_hkdf(name, KEY, b"", b"", most)
    error = refused(12000006, lambda: prepare(HKDF, digest=DIGESTS[name], size=most + 1))
    assert str(most) in error.message


@pytest.mark.parametrize(
    ("password", "salt", "iterations", "expected"),
    [
        # RFC 7914, section 11
        (
            b"passwd",
            b"salt",
            1,
            (
                "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
                "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"
            ),
        ),
        (
            b"Password",
            b"NaCl",
            80000,
            (
                "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
                "a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d"
            ),
        ),
        # the inputs of RFC 6070 with SHA-256
        (b"password", b"salt", 1, "120fb6cffcf8b32c43e7225256c4f837a86548c9"),
        (b"password", b"salt", 4096, "c5e478d59288c841aa530db6845c4c8d962893a0"),
        (
            b"passwordPASSWORDpassword",
            b"saltSALTsaltSALTsaltSALTsaltSALTsalt",
            4096,
            "348c89dbcbd32b2f32d814b8116e84cf2b17347ebc1800181c",
        ),
        (b"pass\0word", b"sa\0lt", 4096, "89b69d0516f829893c696226650a8687"),
    ],
    ids=["rfc7914-1", "rfc7914-2", "rfc6070-1", "rfc6070-3", "rfc6070-5", "rfc6070-6"],
)
def test_pbkdf2_known_answers(password, salt, iterations, expected):
    """Published answers of PBKDF2 with SHA-256."""
    length = len(expected) // 2
    assert derive.pbkdf2(SHA256, password, salt, iterations, length).hex() == expected


def test_wycheproof_pbkdf2():
    """Wycheproof's vectors, without those of very many iterations."""
    for _, case in wycheproof("pbkdf2_hmacsha256"):
        if case["iterationCount"] <= 20_000:
            password, salt = bytes.fromhex(case["password"]), bytes.fromhex(case["salt"])
            output = derive.pbkdf2(SHA256, password, salt, case["iterationCount"], case["dkLen"])
            assert output.hex() == case["dk"]


@EVERY_DIGEST
@pytest.mark.parametrize("size", [1, 16, 64, 100])
def test_pbkdf2_session(name, size):
    """A session gives what Python's PBKDF2 gives with the key as the password."""
    expected = hashlib.pbkdf2_hmac(name, KEY, GOOD_SALT, 1000, size)
    assert derived(PBKDF2, digest=DIGESTS[name], size=size) == expected


@pytest.mark.parametrize("salt", [None, b"", b"mySalt", bytes(15)], ids=str)
def test_short_salt_warns(salt):
    """A PBKDF2 salt below 16 bytes, or none, runs with a warning that may be made an error."""
    with pytest.warns(HuksCompatibilityWarning, match="HUKS_TAG_SALT"):
        output = derived(PBKDF2, {} if salt is None else {SALT: salt})
    assert output == hashlib.pbkdf2_hmac("sha256", KEY, salt or b"", 1000, 32)


@pytest.mark.parametrize("algorithm", [HKDF, PBKDF2], ids=["hkdf", "pbkdf2"])
@pytest.mark.parametrize(
    ("numbers", "code", "named"),
    [
        ({"size": None}, 401, "DERIVE_KEY_SIZE"),
        ({"size": 0}, 401, "DERIVE_KEY_SIZE"),
        ({"size": 5 * 1024 * 1024 + 1}, 401, "DERIVE_KEY_SIZE"),
        ({"digest": None}, 12000006, "DIGEST"),
        ({"digest": HuksKeyDigest.HUKS_DIGEST_SHA1}, 12000006, "DIGEST"),
        ({"digest": HuksKeyDigest.HUKS_DIGEST_SM3}, 12000006, "DIGEST"),
        ({"digest": 99}, 12000006, "DIGEST"),
    ],
    ids=str,
)
def test_numbers_refused(algorithm, numbers, code, named):
    """A size or digest that no derivation takes is refused before anything starts."""
    assert named in refused(code, lambda: prepare(algorithm, **numbers)).message


@pytest.mark.parametrize(
    ("iterations", "code"), [(None, 12000002), (0, 12000003), (999, 12000003), (2**31, 12000003)], ids=str
)
def test_iterations_refused(iterations, code):
    """PBKDF2 without iterations, with too few, or more than can be counted."""
    assert "HUKS_TAG_ITERATION" in refused(code, lambda: prepare(PBKDF2, iterations=iterations)).message


def test_many_iterations_are_allowed():
    """More iterations than a device allows start; their cost is told before they run."""
    assert begin(PBKDF2, iterations=524_289).work == 524_289


def test_largest_size_is_allowed():
    """5 MiB may be derived; every block of output costs all iterations."""
    operation = begin(PBKDF2, size=5 * 1024 * 1024, iterations=1000)
    assert operation.work == 1000 * 5 * 1024 * 1024 / 32


def test_other_algorithms_refused():
    """Only HKDF and PBKDF2 derive."""
    refused(12000003, lambda: prepare(HuksKeyAlg.HUKS_ALG_AES))


@pytest.mark.parametrize("algorithm", [HKDF, PBKDF2], ids=["hkdf", "pbkdf2"])
def test_one_update_then_finish(algorithm):
    """A derivation takes exactly one update: a second is 12000012, a finish without one 401."""
    operation = begin(algorithm)
    operation.update(b"")
    assert operation.held == 32
    refused(12000012, lambda: operation.update(b""))
    refused(401, lambda: begin(algorithm).finish(b""))


def test_nothing_is_held_after_finish():
    """Finish hands the derived bytes over and forgets them."""
    operation = begin(HKDF)
    operation.update(b"")
    assert len(operation.finish(b"")) == 32
    assert operation.held == 0
    refused(401, lambda: operation.finish(b""))


@pytest.mark.parametrize(
    ("algorithm", "digest", "kind"),
    [(HKDF, "sha512", "hkdf"), (PBKDF2, "sha256", "pbkdf2-sha256"), (PBKDF2, "sha512", "pbkdf2-sha512")],
    ids=str,
)
def test_kinds(algorithm, digest, kind):
    """Each derivation names its row of the cost table; what is done already costs nothing more."""
    operation = begin(algorithm, digest=DIGESTS[digest])
    assert (operation.kind, operation.collects) == (kind, False)
    assert operation.work >= 1
    operation.update(b"")
    assert operation.work == 0
