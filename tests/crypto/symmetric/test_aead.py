"""AES-GCM and AES-CCM against NIST, Wycheproof and `cryptography` itself, and every refusal."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from hypothesis import given
from hypothesis import strategies as st

from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.symmetric import aead, gcm
from huks_async.model.enums import HuksCipherMode
from huks_async.model.limits import Limits
from huks_async.model.tags import HuksTag
from tests.crypto.symmetric_support import (
    DECRYPT,
    ENCRYPT,
    cuts,
    feed,
    records,
    refused,
    spec,
    start,
    wycheproof,
)

GCM, CCM = HuksCipherMode.HUKS_MODE_GCM, HuksCipherMode.HUKS_MODE_CCM
NONCE, AAD = HuksTag.HUKS_TAG_NONCE, HuksTag.HUKS_TAG_ASSOCIATED_DATA
TAG, TAG_LENGTH = HuksTag.HUKS_TAG_AE_TAG, HuksTag.HUKS_TAG_AE_TAG_LEN

KEY = bytes(range(32))
MADE = {GCM: 12, CCM: 7}
BOTH = pytest.mark.parametrize("mode", [GCM, CCM], ids=["gcm", "ccm"])


def begin(purpose, mode, blobs, *, key=KEY, tag_length=None, limits=None):
    """A started operation."""
    numbers = {} if tag_length is None else {TAG_LENGTH: tag_length}
    return start(aead, spec(purpose, mode=mode, numbers=numbers, limits=limits), key, blobs)


def blobs_of(nonce=None, aad=None, tag=None):
    """Byte parameters; what is empty or absent is left out, as HUKS asks for no associated data."""
    return {name: value for name, value in ((NONCE, nonce), (AAD, aad), (TAG, tag)) if value}


def sealed(mode, segments, nonce=None, aad=None, **more):
    """Everything an encryption gives."""
    return feed(begin(ENCRYPT, mode, blobs_of(nonce, aad), **more), segments)


def opened(mode, segments, nonce, aad, tag, **more):
    """Everything a decryption gives."""
    return feed(begin(DECRYPT, mode, blobs_of(nonce, aad, tag), **more), segments)


@pytest.mark.parametrize("size", [128, 192, 256])
def test_nist_gcm_decryption(size):
    """NIST's vectors with full tags and nonces of 8 bytes or more open, or fail, in one call and in two."""
    seen = set()
    cases = records(f"ciphers/AES/GCM/gcmDecrypt{size}.rsp", "tag")
    for case in cases:
        if case["taglen"] != "128" or int(case["ivlen"]) < 64 or int(case["count"]) > 5:
            continue
        key, nonce, aad, tag, data = (bytes.fromhex(case[name]) for name in ("key", "iv", "aad", "tag", "ct"))
        for segments in ([data], [data[:5], data[5:]]):
            if "failed" in case:
                refused(12000006, lambda s=segments: opened(GCM, s, nonce, aad, tag, key=key))  # noqa: B023
            else:
                assert opened(GCM, segments, nonce, aad, tag, key=key) == bytes.fromhex(case["pt"])
        seen.add("failed" in case)
    assert seen == {True, False}


@pytest.mark.parametrize("size", [128, 192, 256])
def test_nist_gcm_encryption(size):
    """NIST's vectors with full tags encrypt to ciphertext and tag, in one call and in two."""
    for case in records(f"ciphers/AES/GCM/gcmEncryptExtIV{size}.rsp", "tag"):
        if case["taglen"] != "128" or int(case["ivlen"]) < 64 or int(case["count"]) > 5:
            continue
        key, nonce, aad, data = (bytes.fromhex(case[name]) for name in ("key", "iv", "aad", "pt"))
        expected = bytes.fromhex(case["ct"] + case["tag"])
        assert sealed(GCM, [data], nonce, aad, key=key) == expected
        assert sealed(GCM, [data[:7], data[7:]], nonce, aad, key=key) == expected


def test_wycheproof_gcm():
    """Wycheproof's vectors: what is valid opens, what is not is 12000006, also for nonces out of range."""
    for group, case in wycheproof("aes_gcm"):
        key, nonce, aad, tag, data = (bytes.fromhex(case[name]) for name in ("key", "iv", "aad", "tag", "ct"))
        if not nonce:
            refused(401, lambda: opened(GCM, [data], nonce, aad, tag, key=key))  # noqa: B023
        elif case["result"] == "invalid" or not 64 <= group["ivSize"] <= 1024:
            refused(12000006, lambda: opened(GCM, [data], nonce, aad, tag, key=key))  # noqa: B023
        else:
            assert opened(GCM, [data], nonce, aad, tag, key=key).hex() == case["msg"]


@pytest.mark.parametrize("path", ["VNT128", "VNT256", "VTT192", "VPT128", "VADT256"])
def test_nist_ccm_encryption(path):
    """NIST's vectors over nonce, tag, payload and associated data lengths encrypt and open."""
    for case in records(f"ciphers/AES/CCM/{path}.rsp", "ct"):
        if int(case["count"]) % 10 > 2 or int(case["alen"]) > 64:
            continue
        key, nonce, expected = (bytes.fromhex(case[name]) for name in ("key", "nonce", "ct"))
        aad = bytes.fromhex(case["adata"])[: int(case["alen"])]
        data = bytes.fromhex(case["payload"])[: int(case["plen"])]
        length = int(case["tlen"])
        assert sealed(CCM, [data[:3], data[3:]], nonce, aad, key=key, tag_length=length) == expected
        ciphertext, tag = expected[:-length], expected[-length:]
        assert opened(CCM, [ciphertext], nonce, aad, tag, key=key, tag_length=length) == data


@pytest.mark.parametrize("size", [128, 192, 256])
def test_nist_ccm_decryption(size):
    """NIST's vectors of decryption open or fail as they say, empty plaintexts included."""
    seen = set()
    for case in records(f"ciphers/AES/CCM/DVPT{size}.rsp", "ct"):
        key, nonce, data = (bytes.fromhex(case[name]) for name in ("key", "nonce", "ct"))
        aad = bytes.fromhex(case["adata"])[: int(case["alen"])]
        length = int(case["tlen"])
        ciphertext, tag = data[:-length], data[-length:]
        operation = begin(DECRYPT, CCM, blobs_of(nonce, aad, tag), key=key, tag_length=length)
        if case["result"].startswith("Fail"):
            refused(12000006, lambda: operation.finish(ciphertext))  # noqa: B023
        else:
            assert operation.finish(ciphertext) == bytes.fromhex(case["payload"])[: int(case["plen"])]
        seen.add(case["result"][:4])
    assert seen == {"Pass", "Fail"}


@BOTH
@given(
    data=st.binary(max_size=200), aad=st.binary(max_size=40), places=st.lists(st.integers(0, 200), max_size=5)
)
def test_segmentation_does_not_matter(mode, data, aad, places):
    """However the data is cut, encryption equals the one-shot call of `cryptography`, and opens again."""
    nonce = bytes(range(12))
    one_shot = (AESGCM(KEY) if mode == GCM else AESCCM(KEY)).encrypt(nonce, data, aad)
    assert sealed(mode, cuts(data, places), nonce, aad) == one_shot
    assert opened(mode, cuts(one_shot[:-16], places), nonce, aad, one_shot[-16:]) == data


@pytest.mark.parametrize("size", [0, 1, 300_000])
@BOTH
def test_generated_nonce_follows_the_tag(mode, size):
    """Without a nonce one is made anew each time, 12 bytes for GCM and 7 for CCM, and appended."""
    message = bytes(size)
    nonces = set()
    for segments in ([message], [message, b""], [b"", message]):
        output = sealed(mode, segments, aad=b"header")
        nonce = output[-MADE[mode] :]
        body = output[: -MADE[mode]]
        assert opened(mode, [body[:-16]], nonce, b"header", body[-16:]) == message
        nonces.add(nonce)
    assert len(nonces) == 3


def test_gcm_releases_what_it_decrypted():
    """GCM decryption gives plaintext at update, before the tag can be known to be right."""
    body = sealed(GCM, [b"0123456789"], bytes(12))
    operation = begin(DECRYPT, GCM, blobs_of(bytes(12), None, bytes(16)))
    assert operation.update(body[:4]) == b"0123"
    refused(12000006, lambda: operation.finish(body[4:-16]))


@pytest.mark.parametrize("segmented", [False, True], ids=["at-once", "segments"])
@BOTH
@pytest.mark.parametrize("changed", ["data", "tag", "aad", "nonce", "key"])
def test_any_change_is_noticed(mode, changed, segmented):
    """One flipped bit in any input of decryption is 12000006."""
    parts = {"data": b"some data", "nonce": bytes(range(12)), "aad": b"header", "key": KEY}
    body = sealed(mode, [parts["data"]], parts["nonce"], parts["aad"])
    parts |= {"data": body[:-16], "tag": body[-16:]}
    parts[changed] = bytes([parts[changed][0] ^ 1]) + parts[changed][1:]
    data = parts.pop("data")
    segments = [data[:3], data[3:]] if segmented else [data]
    refused(12000006, lambda: opened(mode, segments, **parts))


@pytest.mark.parametrize("kind", [bytearray, memoryview], ids=["bytearray", "memoryview"])
@BOTH
def test_buffers_of_any_kind(mode, kind):
    """Any buffer is taken, and what the caller does to it after the call has no effect."""
    nonce, message = bytes(12), bytes(range(50))
    expected = sealed(mode, [message], nonce)
    assert begin(ENCRYPT, mode, blobs_of(nonce)).finish(kind(bytearray(message))) == expected
    operation = begin(ENCRYPT, mode, blobs_of(nonce))
    mine = bytearray(message[:20])
    output = operation.update(kind(mine))
    mine[:] = bytes(20)
    assert output + operation.finish(kind(bytearray(message[20:]))) == expected
    decryption = begin(DECRYPT, mode, blobs_of(nonce, None, expected[-16:]))
    assert decryption.finish(kind(bytearray(expected[:-16]))) == message


@pytest.mark.parametrize(
    ("blobs", "tag_length", "code", "named"),
    [
        ({NONCE: b""}, None, 401, "NONCE"),
        ({AAD: b""}, None, 401, "ASSOCIATED_DATA"),
        ({AAD: b""}, 12, 401, "ASSOCIATED_DATA"),
        ({NONCE: bytes(7)}, None, 12000006, "NONCE"),
        ({NONCE: bytes(129)}, None, 12000006, "NONCE"),
        ({NONCE: bytes(7)}, 12, 12000003, "AE_TAG_LEN"),
        ({}, 0, 12000003, "AE_TAG_LEN"),
        ({}, 32, 12000003, "AE_TAG_LEN"),
    ],
    ids=str,
)
def test_gcm_encryption_refuses(blobs, tag_length, code, named):
    """Wrong parameters of GCM encryption are refused at start; the first in the documented order is told."""
    assert named in refused(code, lambda: begin(ENCRYPT, GCM, blobs, tag_length=tag_length)).message


@pytest.mark.parametrize(
    ("change", "tag_length", "code", "named"),
    [
        ({NONCE: None, AAD: b""}, 12, 401, "NONCE"),
        ({NONCE: b""}, None, 401, "NONCE"),
        ({AAD: b"", TAG: None}, 12, 401, "ASSOCIATED_DATA"),
        ({TAG: None}, 4, 12000003, "AE_TAG_LEN"),
        ({TAG: None}, None, 401, "AE_TAG"),
        ({TAG: b""}, None, 401, "AE_TAG"),
        ({TAG: bytes(15), NONCE: bytes(7)}, None, 12000018, "AE_TAG"),
        ({TAG: bytes(17)}, 16, 12000018, "AE_TAG"),
        ({NONCE: bytes(7)}, None, 12000006, "NONCE"),
        ({NONCE: bytes(129)}, None, 12000006, "NONCE"),
    ],
    ids=str,
)
def test_gcm_decryption_refuses(change, tag_length, code, named):
    """Wrong parameters of GCM decryption are refused at start; the first in the documented order is told."""
    blobs = {NONCE: bytes(12), AAD: b"header", TAG: bytes(16)} | change
    blobs = {name: value for name, value in blobs.items() if value is not None}
    assert named in refused(code, lambda: begin(DECRYPT, GCM, blobs, tag_length=tag_length)).message


@pytest.mark.parametrize("length", [8, 128])
def test_gcm_nonce_bounds(length):
    """Nonces of 8 and of 128 bytes work, in one call and in segments."""
    nonce = bytes(range(length))
    body = sealed(GCM, [b"data"], nonce)
    assert body == sealed(GCM, [b"da", b"ta"], nonce)
    assert opened(GCM, [body[:-16]], nonce, None, body[-16:]) == b"data"


@pytest.mark.parametrize("purpose", [ENCRYPT, DECRYPT], ids=["encrypt", "decrypt"])
def test_gcm_data_beyond_the_standard(purpose, monkeypatch):
    """More than 2^36 - 32 bytes is an error of ours, however the context below says it."""

    class Full:
        def update(self, data):
            raise ValueError("limit")

    operation = begin(purpose, GCM, blobs_of(bytes(12), None, bytes(16)))
    monkeypatch.setattr(operation, "_context", Full())
    refused(12000006, lambda: operation.update(b"x"))
    refused(12000006, lambda: operation.finish(b"x"))


def test_gcm_large_decryption_at_once():
    """Beyond the size up to which data and tag are joined, decryption in one call gives the same."""
    message = bytes(range(256)) * (gcm._ONE_SHOT // 256 + 1)
    body = sealed(GCM, [message], bytes(12))
    assert opened(GCM, [body[:-16]], bytes(12), None, body[-16:]) == message
    refused(12000006, lambda: opened(GCM, [body[:-16]], bytes(12), None, bytes(16)))


@pytest.mark.parametrize("length", [0, 2, 5, 15, 17, 32])
@pytest.mark.parametrize("purpose", [ENCRYPT, DECRYPT], ids=["encrypt", "decrypt"])
def test_ccm_tag_lengths_that_do_not_exist(purpose, length):
    """CCM takes even tag lengths from 4 to 16."""
    assert "4, 6, 8" in refused(12000003, lambda: begin(purpose, CCM, {}, tag_length=length)).message


@pytest.mark.parametrize(
    ("tag", "tag_length", "code"),
    [(None, None, 12000002), (b"", None, 12000002), (bytes(8), None, 12000018), (bytes(16), 8, 12000018)],
    ids=str,
)
def test_ccm_decryption_needs_its_tag(tag, tag_length, code):
    """CCM decryption without a tag, or with one of another length than agreed, is refused at start."""
    blobs = {NONCE: bytes(12)} if tag is None else {NONCE: bytes(12), TAG: tag}
    refused(code, lambda: begin(DECRYPT, CCM, blobs, tag_length=tag_length))


@pytest.mark.parametrize(
    ("purpose", "blobs", "code"),
    [
        (DECRYPT, {}, 401),
        (DECRYPT, {NONCE: b""}, 401),
        (ENCRYPT, {NONCE: b""}, 401),
        (ENCRYPT, {AAD: b""}, 401),
        (DECRYPT, {NONCE: bytes(12), AAD: b""}, 401),
        (ENCRYPT, {NONCE: bytes(6)}, 12000006),
        (ENCRYPT, {NONCE: bytes(14)}, 12000006),
        (DECRYPT, {NONCE: bytes(14)}, 12000006),
    ],
    ids=str,
)
def test_ccm_looks_at_nonce_and_associated_data_at_finish(purpose, blobs, code):
    """A wrong nonce or empty associated data starts and updates, and is refused at finish."""
    operation = begin(purpose, CCM, blobs | ({TAG: bytes(16)} if purpose == DECRYPT else {}))
    assert operation.update(b"data") == b""
    refused(code, lambda: operation.finish(b""))


@pytest.mark.parametrize("purpose", [ENCRYPT, DECRYPT], ids=["encrypt", "decrypt"])
def test_ccm_nonce_bounds_the_data(purpose):
    """A nonce of 13 bytes leaves room for the length of 65535 bytes, not of 65536."""
    nonce = bytes(13)
    body = sealed(CCM, [bytes(65535)], nonce)
    assert opened(CCM, [body[:-16]], nonce, None, body[-16:]) == bytes(65535)
    operation = begin(purpose, CCM, blobs_of(nonce, None, bytes(16)))
    assert "nonce" in refused(12000006, lambda: operation.finish(bytes(65536))).message


@pytest.mark.parametrize("segments", [[b"x" * 101], [b"x" * 50, b"x" * 51], [b"x" * 100, b"", b"x"]], ids=len)
def test_ccm_limit(segments):
    """Data beyond the limit is 12000012 at the call that brings it; the limit itself is fine."""
    limits = Limits(max_ccm_bytes=100)
    operation = begin(ENCRYPT, CCM, {}, limits=limits)
    error = refused(12000012, lambda: feed(operation, segments))
    assert "100" in error.message
    assert len(sealed(CCM, [b"x" * 60, b"x" * 40], limits=limits)) == 100 + 16 + 7


def test_ccm_limit_at_update():
    """The update that goes beyond the limit fails, not only the finish."""
    operation = begin(ENCRYPT, CCM, {}, limits=Limits.device())
    assert operation.update(bytes(102_400)) == b""
    assert operation.held == 102_400
    refused(12000012, lambda: operation.update(b"x"))


@pytest.mark.parametrize("segments", [[b""], [b"", b""]], ids=len)
def test_ccm_of_nothing(segments):
    """No data at all is 12000014 on a device, and the standard's tag alone on a server."""
    assert sealed(CCM, segments, bytes(12)) == AESCCM(KEY).encrypt(bytes(12), b"", None)
    refused(12000014, lambda: sealed(CCM, segments, bytes(12), limits=Limits.device()))


@pytest.mark.parametrize("mode", [None, HuksCipherMode.HUKS_MODE_CBC], ids=str)
def test_other_modes(mode):
    """Modes without authentication are not served here."""
    refused(12000003, lambda: aead.starter(spec(ENCRYPT, mode=mode)))


def test_one_ready_key_serves_many_operations():
    """Interleaved operations of both modes over one ready key do not disturb each other."""
    ready = aead.load(KeyMaterial(20, 256, KEY))
    starters = [aead.starter(spec(ENCRYPT, mode=mode)) for mode in (GCM, CCM, GCM)]
    operations = [starter(ready, blobs_of(bytes([n]) * 12)) for n, starter in enumerate(starters)]
    outputs = [b"", b"", b""]
    for piece in (b"one", b"two"):
        for n, operation in enumerate(operations):
            outputs[n] += operation.update(piece)
    outputs = [output + operation.finish(b"") for output, operation in zip(outputs, operations, strict=True)]
    assert outputs == [
        (AESCCM if n == 1 else AESGCM)(KEY).encrypt(bytes([n]) * 12, b"onetwo", None) for n in range(3)
    ]


@BOTH
def test_kinds(mode):
    """Each mode names its row of the cost table; CCM says that it collects and how much it holds."""
    operation = begin(ENCRYPT, mode, {})
    operation.update(b"12345")
    expected = ("aes-gcm", False, 0) if mode == GCM else ("aes-ccm", True, 5)
    assert (operation.kind, operation.collects, operation.held) == expected
