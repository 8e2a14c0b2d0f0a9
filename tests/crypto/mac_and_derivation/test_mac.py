"""HMAC, SM3 and CMAC against the standards' answers, Python's own HMAC, and every refusal."""

import hmac as python_hmac
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huks_async.crypto.family import OperationSpec
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.mac_and_derivation import mac
from huks_async.crypto.symmetric import block_modes
from huks_async.model.enums import HuksKeyAlg, HuksKeyDigest, HuksKeyPurpose
from huks_async.model.errors import HuksLegacyWarning
from huks_async.model.limits import Limits
from huks_async.model.tags import HuksTag
from tests.crypto.symmetric_support import cuts, feed, openssl, records, refused, spec, start, wycheproof

pytestmark = pytest.mark.filterwarnings("ignore::huks_async.model.errors.HuksLegacyWarning")

HMAC, SM3, CMAC = HuksKeyAlg.HUKS_ALG_HMAC, HuksKeyAlg.HUKS_ALG_SM3, HuksKeyAlg.HUKS_ALG_CMAC
MAC = HuksKeyPurpose.HUKS_KEY_PURPOSE_MAC
IV = HuksTag.HUKS_TAG_IV
DIGESTS = {
    "sha1": HuksKeyDigest.HUKS_DIGEST_SHA1,
    "sha224": HuksKeyDigest.HUKS_DIGEST_SHA224,
    "sha256": HuksKeyDigest.HUKS_DIGEST_SHA256,
    "sha384": HuksKeyDigest.HUKS_DIGEST_SHA384,
    "sha512": HuksKeyDigest.HUKS_DIGEST_SHA512,
}
EVERY_DIGEST = pytest.mark.parametrize("name", DIGESTS)
SHA256, DIGEST_SM3 = HuksKeyDigest.HUKS_DIGEST_SHA256, HuksKeyDigest.HUKS_DIGEST_SM3


def code_of(segments, key, *, digest=SHA256, algorithm=HMAC):
    """The code over all segments."""
    blobs = {IV: bytes(8)} if algorithm == CMAC else {}
    return feed(start(mac, spec(MAC, algorithm, digest=digest, size=8 * len(key)), key, blobs), segments)


@pytest.mark.parametrize("name", [name for name in DIGESTS if name != "sha1"])
def test_rfc_4231(name):
    """RFC 4231's answers for SHA-2, in one call and in two."""
    for case in records(f"HMAC/rfc-4231-{name}.txt", "md"):
        key, message = bytes.fromhex(case["key"]), bytes.fromhex(case["msg"])
        assert code_of([message], key, digest=DIGESTS[name]).hex() == case["md"]
        assert code_of([message[:3], message[3:]], key, digest=DIGESTS[name]).hex() == case["md"]


def test_rfc_2202():
    """RFC 2202's answers for SHA-1."""
    for case in records("HMAC/rfc-2202-sha1.txt", "md"):
        key, message = bytes.fromhex(case["key"]), bytes.fromhex(case["msg"])
        assert code_of([message], key, digest=DIGESTS["sha1"]).hex() == case["md"]


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_wycheproof(name):
    """Wycheproof's vectors: codes, cut to their length, are equal for valid cases alone."""
    for group, case in wycheproof(f"hmac_{name}"):
        code = code_of([bytes.fromhex(case["msg"])], bytes.fromhex(case["key"]), digest=DIGESTS[name])
        same = code[: group["tagSize"] // 8].hex() == case["tag"]
        assert same == (case["result"] == "valid"), case["comment"]


@EVERY_DIGEST
@given(
    key=st.binary(min_size=1, max_size=200),
    data=st.binary(max_size=300),
    places=st.lists(st.integers(0, 300), max_size=6),
)
def test_segmentation_does_not_matter(name, key, data, places):
    """However the data is cut, the code is that of Python's own HMAC over the whole."""
    expected = python_hmac.digest(key, data, name)
    assert code_of(cuts(data, places), key, digest=DIGESTS[name]) == expected


@pytest.mark.parametrize("algorithm", [HMAC, SM3], ids=["hmac", "sm3"])
def test_sm3(algorithm):
    """HMAC with SM3, under either name, gives the answer of GM/T 0042 and is 32 bytes long."""
    message = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq" * 2
    key = bytes(range(1, 33))
    expected = "ca05e144ed05d1857840d1f318a4a8669e559fc8391f414485bfdf7bb408963a"
    assert code_of([message], key, digest=DIGEST_SM3, algorithm=algorithm).hex() == expected
    assert (
        code_of([message[:9], b"", message[9:]], key, digest=DIGEST_SM3, algorithm=algorithm).hex()
        == expected
    )


def test_openssl_agrees_on_sm3():
    """OpenSSL's command line gives the same HMAC with SM3."""
    key, message = bytes(range(20)), b"some message"
    printed = openssl("dgst", "-sm3", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", stdin=message)
    assert code_of([message], key, digest=DIGEST_SM3, algorithm=SM3).hex() in printed.decode()


def test_cmac_nist():
    """NIST SP 800-38B's answers for two-key 3DES, in one call and in two; three keys likewise."""
    lengths = set()
    for case in records("CMAC/nist-800-38b-3des.txt", "output"):
        two = case["key1"] == case["key3"]
        key = bytes.fromhex(case["key1"] + case["key2"] + ("" if two else case["key3"]))
        message = bytes.fromhex(case["message"])
        assert code_of([message], key, algorithm=CMAC).hex() == case["output"]
        assert code_of([message[:5], b"", message[5:]], key, algorithm=CMAC).hex() == case["output"]
        lengths.add(len(key))
    assert lengths == {16, 24}


@pytest.mark.parametrize(
    ("blobs", "code"),
    [({}, 401), ({IV: b""}, 401), ({IV: bytes(16)}, 12000003), ({IV: b"\1" + bytes(7)}, 12000003)],
    ids=str,
)
def test_cmac_takes_an_iv_of_zeros_alone(blobs, code):
    """CMAC asks for the IV that its definition has: 8 zero bytes."""
    refused(code, lambda: start(mac, spec(MAC, CMAC, size=128), bytes(range(16)), blobs))


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        (HuksKeyAlg.HUKS_ALG_AES, bytes(range(32))),
        (HuksKeyAlg.HUKS_ALG_DES, bytes(range(8))),
        (HuksKeyAlg.HUKS_ALG_3DES, bytes(range(16))),
    ],
    ids=["aes", "des", "3des"],
)
def test_hmac_over_cipher_keys(algorithm, key):
    """An HMAC session over a cipher's key uses the bytes of that key as they are."""
    ready = block_modes.load(KeyMaterial(algorithm, 8 * len(key), key))
    wanted = OperationSpec(MAC, HMAC, algorithm, 8 * len(key), None, None, SHA256, {}, Limits(), {})
    operation = mac.starter(wanted)(ready, {})
    assert operation.finish(b"message") == python_hmac.digest(key, b"message", "sha256")


def test_sessions_of_one_key_do_not_mix():
    """Interleaved sessions over one ready key, of one digest and of several, stay apart."""
    key = bytes(range(64))
    ready = mac.load(KeyMaterial(HMAC, 512, key))
    names = ["sha256", "sha512", "sha256"]
    operations = [mac.starter(spec(MAC, HMAC, digest=DIGESTS[name]))(ready, {}) for name in names]
    for piece in (b"one", b"two"):
        for n, operation in enumerate(operations):
            assert operation.update(piece + bytes([n])) == b""
    for n, (name, operation) in enumerate(zip(names, operations, strict=True)):
        message = b"one" + bytes([n]) + b"two" + bytes([n]) + b"end"
        assert operation.finish(b"end") == python_hmac.digest(key, message, name)


@pytest.mark.parametrize("kind", [bytearray, memoryview], ids=["bytearray", "memoryview"])
@pytest.mark.parametrize("algorithm", [HMAC, CMAC], ids=["hmac", "cmac"])
def test_buffers_of_any_kind(algorithm, kind):
    """Any buffer is taken, and what the caller does to it after the call has no effect."""
    key = bytes(range(16))
    blobs = {IV: bytes(8)} if algorithm == CMAC else {}
    operation = start(mac, spec(MAC, algorithm, digest=SHA256), key, blobs)
    mine = bytearray(b"first")
    operation.update(kind(mine))
    mine[:] = b"xxxxx"
    assert operation.finish(kind(bytearray(b"last"))) == code_of([b"firstlast"], key, algorithm=algorithm)


@pytest.mark.parametrize(
    ("algorithm", "digest", "code"),
    [
        (HMAC, HuksKeyDigest.HUKS_DIGEST_MD5, 12000003),
        (HMAC, HuksKeyDigest.HUKS_DIGEST_NONE, 401),
        (HMAC, None, 401),
        (HMAC, 99, 401),
        (SM3, SHA256, 401),
        (SM3, None, 401),
        (HuksKeyAlg.HUKS_ALG_AES, SHA256, 12000003),
    ],
    ids=str,
)
def test_digests_and_algorithms_refused(algorithm, digest, code):
    """MD5 and algorithms without a MAC are 12000003, other digests 401."""
    refused(code, lambda: mac.starter(spec(MAC, algorithm, digest=digest)))


@pytest.mark.parametrize(
    ("algorithm", "digest"), [(HMAC, HuksKeyDigest.HUKS_DIGEST_SHA1), (CMAC, None)], ids=["sha1", "cmac"]
)
def test_weak_choices_warn(algorithm, digest):
    """SHA-1 and 3DES warn when they are prepared; SHA-256 does not."""
    with pytest.warns(HuksLegacyWarning):
        mac.starter(spec(MAC, algorithm, digest=digest))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mac.starter(spec(MAC, HMAC, digest=SHA256))


def test_kinds():
    """Each MAC names its row of the cost table."""
    kinds = {name: start(mac, spec(MAC, HMAC, digest=DIGESTS[name]), b"key").kind for name in DIGESTS}
    assert kinds == {name: f"hmac-{name}" for name in DIGESTS}
    assert start(mac, spec(MAC, SM3, digest=DIGEST_SM3), b"key").kind == "hmac-sm3"
    assert start(mac, spec(MAC, CMAC), bytes(16), {IV: bytes(8)}).kind == "cmac"


@pytest.mark.parametrize("size", [8, 128, 1024, 4096])
def test_generated_keys(size):
    """Keys of any multiple of 8 bits are random and as long as asked for."""
    made = mac.generate(HMAC, size)
    assert (made.algorithm, made.size, 8 * len(made.secret)) == (HMAC, size, size)
    if size > 8:
        assert made.secret != mac.generate(HMAC, size).secret


@pytest.mark.parametrize("size", [-8, 0, 1, 12, 129])
def test_key_sizes_refused(size):
    """Sizes that are no positive multiple of 8 bits are 401."""
    refused(401, lambda: mac.generate(HMAC, size))
