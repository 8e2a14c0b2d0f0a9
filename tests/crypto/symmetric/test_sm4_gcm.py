"""SM4-GCM: RFC 8998, GCM computed here over the SM4 of another package, and the rules of AES-GCM."""

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from gmssl.sm4 import SM4_ENCRYPT, CryptSM4
from hypothesis import given
from hypothesis import strategies as st

from huks_async.crypto.symmetric import aead, gcm
from huks_async.model.enums import HuksCipherMode, HuksKeyAlg
from huks_async.model.tags import HuksTag
from tests.crypto.symmetric_support import DECRYPT, ENCRYPT, cuts, feed, refused, spec, start

NONCE, AAD = HuksTag.HUKS_TAG_NONCE, HuksTag.HUKS_TAG_ASSOCIATED_DATA
TAG, TAG_LENGTH = HuksTag.HUKS_TAG_AE_TAG, HuksTag.HUKS_TAG_AE_TAG_LEN

# RFC 8998, appendix A.1
KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
IV = bytes.fromhex("00001234567800000000ABCD")
ASSOCIATED = bytes.fromhex("FEEDFACEDEADBEEFFEEDFACEDEADBEEFABADDAD2")
PLAINTEXT = bytes.fromhex(
    "AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBBCCCCCCCCCCCCCCCCDDDDDDDDDDDDDDDD"
    "EEEEEEEEEEEEEEEEFFFFFFFFFFFFFFFFEEEEEEEEEEEEEEEEAAAAAAAAAAAAAAAA"
)
CIPHERTEXT = bytes.fromhex(
    "17F399F08C67D5EE19D0DC9969C4BB7D5FD46FD3756489069157B282BB200735"
    "D82710CA5C22F0CCFA7CBF93D496AC15A56834CBCF98C397B4024A2691233B8D"
)
AUTHENTIC = bytes.fromhex("83DE3541E4C2B58177E065A9BF7B62EC")


def begin(purpose, blobs, *, key=KEY, tag_length=None):
    """A started operation."""
    numbers = {} if tag_length is None else {TAG_LENGTH: tag_length}
    wanted = spec(
        purpose, HuksKeyAlg.HUKS_ALG_SM4, mode=HuksCipherMode.HUKS_MODE_GCM, size=128, numbers=numbers
    )
    return start(aead, wanted, key, blobs)


def _double(block: int) -> int:
    # multiplication by x in the field of GCM, whose bits are written in reverse (SP 800-38D, 6.3)
    return block >> 1 ^ (0xE1 << 120 if block & 1 else 0)


def _ghash(subkey: int, data: bytes) -> int:
    result = 0
    for place in range(0, len(data), 16):
        result ^= int.from_bytes(data[place : place + 16], "big")
        product, shifted = 0, subkey
        for bit in range(127, -1, -1):
            if result >> bit & 1:
                product ^= shifted
            shifted = _double(shifted)
        result = product
    return result


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 16)


def reference(key: bytes, nonce: bytes, data: bytes, aad: bytes) -> bytes:
    """Ciphertext and tag by the definition of GCM (SP 800-38D, 7.1), over the SM4 of gmssl."""
    cipher = CryptSM4()
    cipher.set_key(key, SM4_ENCRYPT)

    def block(content: bytes) -> bytes:
        return bytes(cipher.one_round(cipher.sk, content))

    subkey = int.from_bytes(block(bytes(16)), "big")
    if len(nonce) == 12:
        first = int.from_bytes(nonce + b"\0\0\0\1", "big")
    else:
        first = _ghash(subkey, _padded(nonce) + bytes(8) + (8 * len(nonce)).to_bytes(8, "big"))

    def counter(step: int) -> bytes:
        low = (first + step) & 0xFFFFFFFF
        return (first >> 32 << 32 | low).to_bytes(16, "big")

    stream = b"".join(block(counter(step)) for step in range(1, len(data) // 16 + 2))
    ciphertext = bytes(a ^ b for a, b in zip(data, stream, strict=False))
    lengths = (8 * len(aad)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    tag = _ghash(subkey, _padded(aad) + _padded(ciphertext) + lengths)
    return ciphertext + (tag ^ int.from_bytes(block(counter(0)), "big")).to_bytes(16, "big")


@pytest.mark.parametrize("places", [[], [0], [5], [16, 32], [1, 17, 63, 64]])
def test_rfc_8998(places):
    """The example of the RFC, however it is cut, in both directions."""
    assert reference(KEY, IV, PLAINTEXT, ASSOCIATED) == CIPHERTEXT + AUTHENTIC
    given_bytes = {NONCE: IV, AAD: ASSOCIATED}
    assert feed(begin(ENCRYPT, given_bytes), cuts(PLAINTEXT, places)) == CIPHERTEXT + AUTHENTIC
    opened = feed(begin(DECRYPT, given_bytes | {TAG: AUTHENTIC}), cuts(CIPHERTEXT, places))
    assert opened == PLAINTEXT


@given(
    key=st.binary(min_size=16, max_size=16),
    nonce=st.binary(min_size=8, max_size=30),
    data=st.binary(max_size=70),
    aad=st.binary(max_size=40),
    places=st.lists(st.integers(0, 70), max_size=3),
)
def test_a_second_opinion(key, nonce, data, aad, places):
    """GCM by its definition over another SM4 gives the same, for nonces of any length, and it opens again."""
    blobs = {NONCE: nonce} | ({AAD: aad} if aad else {})
    sealed = feed(begin(ENCRYPT, blobs, key=key), cuts(data, places))
    assert sealed == reference(key, nonce, data, aad)
    assert feed(begin(DECRYPT, blobs | {TAG: sealed[-16:]}, key=key), cuts(sealed[:-16], places)) == data


def test_a_nonce_is_made_and_follows_the_tag():
    """Without one, 12 random bytes, another each time."""
    first, second = (feed(begin(ENCRYPT, {}), [b"text"]) for _ in range(2))
    assert len(first) == len(second) == 4 + 16 + 12
    assert first[-12:] != second[-12:]
    opened = feed(begin(DECRYPT, {NONCE: first[-12:], TAG: first[4:20]}), [first[:4]])
    assert opened == b"text"


@pytest.mark.parametrize("place", ["nonce", "aad", "tag", "ciphertext"])
def test_any_change_is_noticed(place):
    """12000006 at finish, whichever part was changed."""
    parts = {"nonce": IV, "aad": ASSOCIATED, "tag": AUTHENTIC, "ciphertext": CIPHERTEXT}
    parts[place] = parts[place][:-1] + bytes([parts[place][-1] ^ 1])
    operation = begin(DECRYPT, {NONCE: parts["nonce"], AAD: parts["aad"], TAG: parts["tag"]})
    operation.update(parts["ciphertext"][:20])
    refused(12000006, lambda: operation.finish(parts["ciphertext"][20:]))


@pytest.mark.parametrize(
    ("purpose", "blobs", "tag_length", "code"),
    [
        pytest.param(ENCRYPT, {NONCE: b""}, None, 401, id="empty nonce"),
        pytest.param(ENCRYPT, {NONCE: bytes(7)}, None, 12000006, id="short nonce"),
        pytest.param(ENCRYPT, {NONCE: bytes(129)}, None, 12000006, id="long nonce"),
        pytest.param(ENCRYPT, {AAD: b""}, None, 401, id="empty associated data"),
        pytest.param(ENCRYPT, {}, 12, 12000003, id="short tag asked for"),
        pytest.param(DECRYPT, {TAG: bytes(16)}, None, 401, id="no nonce"),
        pytest.param(DECRYPT, {NONCE: IV}, None, 401, id="no tag"),
        pytest.param(DECRYPT, {NONCE: IV, TAG: bytes(12)}, None, 12000018, id="short tag"),
    ],
)
def test_mistakes(purpose, blobs, tag_length, code):
    """As with AES-GCM, and the message speaks of SM4."""
    error = refused(code, lambda: begin(purpose, blobs, tag_length=tag_length))
    assert "AES" not in error.message


def test_an_openssl_without_it_is_named(monkeypatch):
    """Refused when the session begins, with the way out."""

    def fail(*arguments):
        raise UnsupportedAlgorithm("no such mode")

    monkeypatch.setattr(gcm, "Cipher", fail)
    for purpose, blobs in ((ENCRYPT, {}), (DECRYPT, {NONCE: IV, TAG: AUTHENTIC})):
        error = refused(12000001, lambda p=purpose, b=blobs: begin(p, b))
        assert "OpenSSL" in error.message
