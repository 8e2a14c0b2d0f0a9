"""Block ciphers against NIST's and the SM4 standard's answers, OpenSSL, and themselves in pieces."""

import threading
import warnings

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.symmetric import block_modes, scratch
from huks_async.model.enums import HuksCipherMode, HuksKeyAlg, HuksKeyPadding
from huks_async.model.errors import HuksCompatibilityWarning, HuksLegacyWarning
from huks_async.model.tags import HuksTag
from tests.crypto.symmetric_support import (
    DECRYPT,
    ENCRYPT,
    cuts,
    feed,
    openssl,
    records,
    refused,
    spec,
    start,
)

pytestmark = pytest.mark.filterwarnings("ignore::huks_async.model.errors.HuksLegacyWarning")

AES, SM4 = HuksKeyAlg.HUKS_ALG_AES, HuksKeyAlg.HUKS_ALG_SM4
DES, DES3 = HuksKeyAlg.HUKS_ALG_DES, HuksKeyAlg.HUKS_ALG_3DES
ECB, CBC, CTR = HuksCipherMode.HUKS_MODE_ECB, HuksCipherMode.HUKS_MODE_CBC, HuksCipherMode.HUKS_MODE_CTR
OFB, CFB = HuksCipherMode.HUKS_MODE_OFB, HuksCipherMode.HUKS_MODE_CFB
NONE, PKCS7 = HuksKeyPadding.HUKS_PADDING_NONE, HuksKeyPadding.HUKS_PADDING_PKCS7
IV, NONCE = HuksTag.HUKS_TAG_IV, HuksTag.HUKS_TAG_NONCE

KEYS = {AES: bytes(range(32)), SM4: bytes(range(16)), DES: bytes(range(1, 9)), DES3: bytes(range(1, 25))}
BLOCKS = {AES: 16, SM4: 16, DES: 8, DES3: 8}
ALL_MODES = [
    *((AES, mode, NONE) for mode in (ECB, CBC, CTR)),
    *((SM4, mode, NONE) for mode in (ECB, CBC, CTR, OFB, CFB)),
    *((algorithm, mode, PKCS7) for algorithm in (AES, SM4) for mode in (ECB, CBC)),
    *((algorithm, mode, NONE) for algorithm in (DES, DES3) for mode in (ECB, CBC)),
]
EVERY_MODE = pytest.mark.parametrize(
    ("algorithm", "mode", "padding"),
    ALL_MODES,
    ids=["-".join(each.name.rsplit("_", 1)[1] for each in row) for row in ALL_MODES],
)


def run(purpose, algorithm, mode, padding, segments, *, key=None, iv=None):
    """All output of one operation; the IV is zeros unless given."""
    secret = key or KEYS[algorithm]
    blobs = {} if mode == ECB else {IV: bytes(BLOCKS[algorithm]) if iv is None else iv}
    return feed(
        start(block_modes, spec(purpose, algorithm, mode=mode, padding=padding), secret, blobs), segments
    )


NIST_FILES = [
    *(
        (f"ciphers/AES/{mode.name[-3:]}/{mode.name[-3:]}{kind}{size}.rsp", AES, mode)
        for mode in (ECB, CBC)
        for kind in ("MMT", "GFSbox", "KeySbox")
        for size in (128, 192, 256)
    ),
    *((f"ciphers/AES/CTR/aes-{size}-ctr.txt", AES, CTR) for size in (128, 192, 256)),
    *(
        (f"ciphers/3DES/{mode.name[-3:]}/T{mode.name[-3:]}MMT{n}.rsp", DES3, mode)
        for mode in (ECB, CBC)
        for n in (2, 3)
    ),
    *((f"ciphers/3DES/{mode.name[-3:]}/T{mode.name[-3:]}MMT1.rsp", DES, mode) for mode in (ECB, CBC)),
    *(
        (f"ciphers/SM4/draft-ribose-cfrg-sm4-10-{mode.name[-3:].lower()}.txt", SM4, mode)
        for mode in (ECB, CBC, CTR, OFB, CFB)
    ),
]


@pytest.mark.parametrize(("path", "algorithm", "mode"), NIST_FILES, ids=[row[0] for row in NIST_FILES])
def test_published_vectors(path, algorithm, mode):
    """Both directions give what the published vectors say; for single DES those of three equal keys."""
    for case in records(path, "ciphertext"):
        key = bytes.fromhex(case.get("key") or case.get("keys") or case["key1"] + case["key2"] + case["key3"])
        if algorithm == DES:
            assert key == key[:8] * 3, "these vectors are to be of single DES"
            key = key[:8]
        elif key[:8] == key[16:] and algorithm == DES3:
            key = key[:16]
        iv = bytes.fromhex(case.get("iv", ""))
        plaintext, ciphertext = bytes.fromhex(case["plaintext"]), bytes.fromhex(case["ciphertext"])
        assert run(ENCRYPT, algorithm, mode, NONE, [plaintext], key=key, iv=iv) == ciphertext
        assert run(DECRYPT, algorithm, mode, NONE, [ciphertext], key=key, iv=iv) == plaintext


def test_sm4_standard_example():
    """The first example of GB/T 32907-2016."""
    key = bytes.fromhex("0123456789abcdeffedcba9876543210")
    expected = bytes.fromhex("681edf34d206965e86b3e94f536e4246")
    assert run(ENCRYPT, SM4, ECB, NONE, [key], key=key) == expected


OPENSSL = [
    ("-aes-256-cbc", AES, CBC, PKCS7),
    ("-aes-256-ecb", AES, ECB, PKCS7),
    ("-aes-256-ctr", AES, CTR, NONE),
    ("-sm4-cbc", SM4, CBC, PKCS7),
    ("-sm4-ofb", SM4, OFB, NONE),
    ("-sm4-cfb", SM4, CFB, NONE),
]


@pytest.mark.parametrize(("name", "algorithm", "mode", "padding"), OPENSSL, ids=[row[0] for row in OPENSSL])
def test_openssl_agrees(name, algorithm, mode, padding):
    """OpenSSL's command line encrypts to the same bytes."""
    message = b"thirty-seven bytes, no whole block: x"
    iv = bytes(range(100, 116))
    arguments = ["enc", name, "-K", KEYS[algorithm].hex(), "-nosalt"] + (
        [] if mode == ECB else ["-iv", iv.hex()]
    )
    expected = openssl(*arguments, stdin=message)
    assert run(ENCRYPT, algorithm, mode, padding, [message], iv=iv) == expected
    assert run(DECRYPT, algorithm, mode, padding, [expected], iv=iv) == message


@EVERY_MODE
@given(data=st.data())
def test_segmentation_does_not_matter(algorithm, mode, padding, data):
    """However the data is cut, empty pieces included, the output is that of one call."""
    message = data.draw(st.binary(max_size=100))
    if padding == NONE and mode in (ECB, CBC):
        message = message[: len(message) // BLOCKS[algorithm] * BLOCKS[algorithm]]
    places = st.lists(st.integers(0, 120), max_size=6)
    whole = run(ENCRYPT, algorithm, mode, padding, [message])
    assert run(ENCRYPT, algorithm, mode, padding, cuts(message, data.draw(places))) == whole
    assert run(DECRYPT, algorithm, mode, padding, cuts(whole, data.draw(places))) == message


@EVERY_MODE
def test_large_segments(algorithm, mode, padding):
    """Segments through the kept buffer, below, within and above its sizes, give the same as one call each."""
    if BLOCKS[algorithm] == 8 or algorithm == SM4:
        sizes = [scratch.SMALLEST, scratch.SMALLEST + 16]
    else:
        sizes = [100_000, scratch.SMALLEST - 1, scratch.SMALLEST, 5, scratch.LARGEST, scratch.LARGEST + 1]
    message = bytes(range(256)) * (sum(sizes) // 256)
    message = message[: len(message) // 16 * 16]
    segments = cuts(message, [sum(sizes[:n]) for n in range(1, len(sizes))])
    sealed = run(ENCRYPT, algorithm, mode, padding, segments)
    small = [message[at : at + 30_000] for at in range(0, len(message), 30_000)]
    assert sealed == run(ENCRYPT, algorithm, mode, padding, small)
    parts = cuts(sealed, [sum(sizes[:n]) for n in range(1, len(sizes))])
    assert run(DECRYPT, algorithm, mode, padding, parts) == message


@pytest.mark.parametrize("padding", [NONE, PKCS7], ids=["none", "pkcs7"])
def test_kept_buffer_holds_no_plaintext(padding):
    """After decryption nothing of the plaintext is left in the buffer that the thread keeps."""
    message = b"secret" * 16 * 1000
    sealed = run(ENCRYPT, AES, CBC, padding, [message])
    assert run(DECRYPT, AES, CBC, padding, [sealed]) == message
    kept = bytes(scratch._scratch.view)
    assert len(kept) >= len(message)
    assert b"secret" not in kept


def test_threads_do_not_share_the_buffer():
    """Large segments of several threads at once under one key come out unmixed."""
    ready = block_modes.load(KeyMaterial(AES, 256, KEYS[AES]))
    starter = block_modes.starter(spec(ENCRYPT, mode=CBC, padding=PKCS7))
    wrong = []

    def work(byte):
        message = bytes([byte]) * 200_000
        cipher = Cipher(algorithms.AES(KEYS[AES]), modes.CBC(bytes(16))).encryptor()
        expected = cipher.update(message)
        for _ in range(10):
            output = starter(ready, {IV: bytes(16)}).update(message)
            if output != expected:
                wrong.append(byte)

    threads = [threading.Thread(target=work, args=(byte,)) for byte in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_blocks_leave_as_soon_as_they_are_complete():
    """Encryption gives complete blocks at update; padded decryption holds back what may be the last."""
    encryption = start(block_modes, spec(ENCRYPT, mode=CBC, padding=PKCS7), KEYS[AES], {IV: bytes(16)})
    assert [len(encryption.update(bytes(size))) for size in (15, 1, 20, 0)] == [0, 16, 16, 0]
    sealed = run(ENCRYPT, AES, CBC, PKCS7, [bytes(40)])
    decryption = start(block_modes, spec(DECRYPT, mode=CBC, padding=PKCS7), KEYS[AES], {IV: bytes(16)})
    pieces = [sealed[:16], sealed[16:17], b"", sealed[17:48]]
    assert [len(decryption.update(piece)) for piece in pieces] == [0, 16, 0, 16]
    assert len(decryption.finish(b"")) == 8


@pytest.mark.parametrize("kind", [bytearray, memoryview], ids=["bytearray", "memoryview"])
@EVERY_MODE
def test_buffers_of_any_kind(algorithm, mode, padding, kind):
    """Any buffer is taken, and what the caller does to it after the call has no effect."""
    message = bytes(range(64))
    operation = start(
        block_modes,
        spec(ENCRYPT, algorithm, mode=mode, padding=padding),
        KEYS[algorithm],
        {IV: bytes(BLOCKS[algorithm])},
    )
    mine = bytearray(message[:29])
    output = operation.update(kind(mine))
    mine[:] = bytes(29)
    output += operation.finish(kind(bytearray(message[29:])))
    assert type(output) is bytes
    assert output == run(ENCRYPT, algorithm, mode, padding, [message])


@pytest.mark.parametrize("algorithm", [AES, SM4, DES, DES3], ids=["aes", "sm4", "des", "3des"])
@pytest.mark.parametrize("mode", [ECB, CBC], ids=["ecb", "cbc"])
@pytest.mark.parametrize("segments", [[b"odd"], [b"odd", b""], [bytes(17), bytes(14)]], ids=len)
def test_odd_total_without_padding(algorithm, mode, segments):
    """Without padding an odd total, judged at finish, is 401; 12000006 to decrypt with AES and SM4."""
    for purpose, code in ((ENCRYPT, 401), (DECRYPT, 401 if algorithm in (DES, DES3) else 12000006)):
        refused(code, lambda p=purpose: run(p, algorithm, mode, NONE, segments))


@pytest.mark.parametrize("mode", [ECB, CBC], ids=["ecb", "cbc"])
@pytest.mark.parametrize("algorithm", [AES, SM4], ids=["aes", "sm4"])
def test_wrong_padding_tells_nothing(algorithm, mode):
    """Bad padding bytes, odd length and no data at all are one and the same error."""
    bad_endings = [bytes(16), b"\x11" * 16, bytes(15) + b"\x02", bytes(13) + b"\x01\x03\x03"]
    ciphertexts = [run(ENCRYPT, algorithm, mode, NONE, [bytes(16) + end]) for end in bad_endings]
    ciphertexts += [b"", bytes(5), run(ENCRYPT, algorithm, mode, PKCS7, [b"x"]) + b"y"]
    messages = {
        refused(12000006, lambda c=c, n=n: run(DECRYPT, algorithm, mode, PKCS7, cuts(c, n))).message
        for c in ciphertexts
        for n in ([], [16], [3, 20])
    }
    assert len(messages) == 1


@pytest.mark.parametrize("length", [1, 8, 12, 15])
@pytest.mark.parametrize(("algorithm", "mode"), [(AES, CBC), (AES, CTR), (SM4, OFB)], ids=str)
def test_short_iv_is_extended_with_zeros(algorithm, mode, length):
    """A short IV of AES or SM4 counts as ended by zeros, with a warning that may be made an error."""
    iv = bytes(range(1, length + 1))
    message = bytes(32)
    expected = run(ENCRYPT, algorithm, mode, NONE, [message], iv=iv.ljust(16, b"\0"))
    with pytest.warns(HuksCompatibilityWarning, match=f"{length} bytes"):
        assert run(ENCRYPT, algorithm, mode, NONE, [message], iv=iv) == expected


@pytest.mark.parametrize(
    ("algorithm", "mode", "iv", "code"),
    [
        (AES, CBC, None, 401),
        (AES, CTR, b"", 401),
        (SM4, CFB, None, 401),
        (DES, CBC, None, 401),
        (DES3, CBC, b"", 401),
        (AES, CBC, bytes(17), 12000003),
        (SM4, OFB, bytes(32), 12000003),
        (DES, CBC, bytes(16), 12000003),
        (DES3, CBC, bytes(7), 12000003),
    ],
    ids=str,
)
def test_wrong_iv(algorithm, mode, iv, code):
    """An IV that is absent, empty or of a wrong length is refused at start, and named."""
    blobs = {} if iv is None else {IV: iv}
    error = refused(
        code, lambda: start(block_modes, spec(ENCRYPT, algorithm, mode=mode), KEYS[algorithm], blobs)
    )
    assert "HUKS_TAG_IV" in error.message


def test_sm4_ofb_takes_a_nonce_for_want_of_an_iv():
    """SM4 in OFB reads the IV, else the nonce; other modes do not read the nonce."""
    wanted = spec(ENCRYPT, SM4, mode=OFB)
    first, second = bytes(range(16)), bytes(range(16, 32))

    def sealed(blobs):
        return feed(start(block_modes, wanted, KEYS[SM4], blobs), [bytes(20)])

    assert sealed({NONCE: first}) == sealed({IV: first}) == sealed({IV: first, NONCE: second})
    assert "HUKS_TAG_NONCE" in refused(12000003, lambda: sealed({NONCE: bytes(17)})).message
    refused(401, lambda: start(block_modes, spec(ENCRYPT, SM4, mode=CFB), KEYS[SM4], {NONCE: first}))


def test_ecb_ignores_an_iv():
    """An IV given for ECB, of whatever length, changes nothing."""
    operation = start(block_modes, spec(ENCRYPT, mode=ECB), KEYS[AES], {IV: b"any"})
    assert operation.finish(bytes(16)) == run(ENCRYPT, AES, ECB, NONE, [bytes(16)])


@pytest.mark.parametrize(
    ("algorithm", "mode", "padding"),
    [
        (AES, OFB, NONE),
        (AES, CFB, NONE),
        (AES, None, NONE),
        (AES, CTR, PKCS7),
        (AES, CBC, HuksKeyPadding.HUKS_PADDING_PKCS5),
        (DES, CTR, NONE),
        (DES3, CBC, PKCS7),
        (HuksKeyAlg.HUKS_ALG_RSA, CBC, NONE),
    ],
    ids=str,
)
def test_combinations_that_do_not_exist(algorithm, mode, padding):
    """A mode or padding that the algorithm does not have is 12000003."""
    refused(12000003, lambda: block_modes.starter(spec(ENCRYPT, algorithm, mode=mode, padding=padding)))


@pytest.mark.parametrize(
    ("algorithm", "mode", "named"),
    [(DES, CBC, "DES"), (DES3, CBC, "3DES"), (AES, ECB, "ECB"), (SM4, ECB, "ECB")],
    ids=str,
)
def test_weak_choices_warn_once_a_starter(algorithm, mode, named):
    """DES, 3DES and ECB warn when they are prepared, not at each operation."""
    with pytest.warns(HuksLegacyWarning, match=named):
        starter = block_modes.starter(spec(ENCRYPT, algorithm, mode=mode))
    ready = block_modes.load(KeyMaterial(algorithm, 8 * len(KEYS[algorithm]), KEYS[algorithm]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        starter(ready, {IV: bytes(8)}).finish(bytes(16))


@pytest.mark.parametrize(
    ("algorithm", "mode", "purpose", "kind"),
    [
        (AES, CBC, ENCRYPT, "aes-cbc-encrypt"),
        (AES, CBC, DECRYPT, "aes-cbc-decrypt"),
        (AES, CTR, DECRYPT, "aes-ctr"),
        (AES, ECB, ENCRYPT, "aes-ecb"),
        (SM4, CFB, ENCRYPT, "sm4"),
        (DES, CBC, ENCRYPT, "des"),
        (DES3, ECB, ENCRYPT, "des"),
    ],
    ids=str,
)
def test_kinds(algorithm, mode, purpose, kind):
    """Each operation names its row of the cost table, and collects nothing."""
    wanted = spec(purpose, algorithm, mode=mode)
    operation = start(block_modes, wanted, KEYS[algorithm], {IV: bytes(BLOCKS[algorithm])})
    assert (operation.kind, operation.collects, operation.held) == (kind, False, 0)


@pytest.mark.parametrize(
    ("algorithm", "size"),
    [(AES, 128), (AES, 192), (AES, 256), (SM4, 128), (DES, 64), (DES3, 128), (DES3, 192)],
    ids=str,
)
def test_generated_keys(algorithm, size):
    """Keys are random, of the size asked for; those of DES have odd parity in every byte."""
    first, second = block_modes.generate(algorithm, size), block_modes.generate(algorithm, size)
    assert (first.algorithm, first.size, first.public) == (algorithm, size, b"")
    assert len(first.secret) * 8 == size
    assert first.secret != second.secret
    if algorithm in (DES, DES3):
        assert all(byte.bit_count() % 2 for byte in first.secret + second.secret)


def test_repr_shows_no_key():
    """Neither a ready key nor an operation shows key bytes."""
    secret = b"hush-hush-hush-!"
    ready = block_modes.load(KeyMaterial(AES, 128, secret))
    operation = block_modes.starter(spec(ENCRYPT, mode=CTR))(ready, {IV: bytes(16)})
    assert b"hush" not in (repr(ready) + repr(operation)).encode()
    assert secret.hex() not in repr(ready) + repr(operation)
