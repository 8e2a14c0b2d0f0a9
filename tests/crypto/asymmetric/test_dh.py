"""Tests of Diffie-Hellman in the groups of RFC 7919."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from huks_async.crypto import spki as spki_module
from huks_async.crypto.asymmetric import agreement, dh, elliptic
from huks_async.crypto.key_material import KeyMaterial
from huks_async.model.tags import HuksTag
from tests.crypto.asymmetric_support import (
    AGREE,
    DH,
    ECDH,
    SIGN,
    make_spec,
    openssl,
    public_of,
    refused,
    run,
    start,
)

SIZES = (2048, 3072, 4096)
KEY_SIZE = HuksTag.HUKS_TAG_KEY_SIZE


@pytest.fixture(scope="module")
def keys() -> dict[int, KeyMaterial]:
    return {size: dh.generate(DH, size) for size in SIZES}


def theirs(size: int, tmp_path: Path) -> tuple[Path, bytes]:
    """(file of a private key that OpenSSL made, its SubjectPublicKeyInfo)."""
    private = openssl("genpkey", "-algorithm", "DH", "-pkeyopt", f"group:ffdhe{size}", "-outform", "DER")
    path = tmp_path / "theirs"
    path.write_bytes(private)
    return path, openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", given=private)


def number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


@pytest.mark.parametrize("size", SIZES)
def test_openssl_agrees(size: int, keys: dict[int, KeyMaterial], tmp_path: Path) -> None:
    """OpenSSL's derivation gives our secret, and a shorter KEY_SIZE its first bytes."""
    path, spki = theirs(size, tmp_path)
    (tmp_path / "ours").write_bytes(keys[size].public)
    secret = openssl(
        "pkeyutl", "-derive", "-inkey", str(path), "-keyform", "DER",
        "-peerkey", str(tmp_path / "ours"), "-peerform", "DER", "-pkeyopt", "dh_pad:1",
    )  # fmt: skip
    assert len(secret) == size // 8
    assert run(dh, AGREE, keys[size], spki, last=b"ignored", numbers={KEY_SIZE: size}) == secret
    assert run(dh, AGREE, keys[size], spki, numbers={KEY_SIZE: 256}) == secret[:32]
    assert run(dh, AGREE, keys[size], spki, numbers={KEY_SIZE: 8}) == secret[:1]


@pytest.mark.parametrize("size", SIZES)
def test_groups_and_encodings_are_openssls(size: int, tmp_path: Path) -> None:
    """The primes computed from the formula are OpenSSL's, and so is every byte of the public encoding."""
    _, spki = theirs(size, tmp_path)
    assert dh.material_from_spki(spki, DH, size).public == spki
    assert f"ffdhe{size}".encode() in openssl(
        "pkey", "-pubin", "-inform", "DER", "-noout", "-text", given=dh.generate(DH, size).public
    )


def test_the_secret_is_padded_on_the_left(keys: dict[int, KeyMaterial]) -> None:
    """A secret with leading zeros keeps them before it is cut."""
    p = dh.prime_of(2048)
    exponent = 3
    own = dh.material_from_parts(2048, b"", number(exponent))
    # a peer whose cube is small: 2^5 needs one byte
    peer = dh.material_from_parts(2048, number(32), b"")
    secret = run(dh, AGREE, own, peer.public, numbers={KEY_SIZE: 2048})
    assert secret == pow(32, exponent, p).to_bytes(256, "big")
    assert run(dh, AGREE, own, peer.public, numbers={KEY_SIZE: 256}) == bytes(32)


@pytest.mark.parametrize(
    ("wanted", "code"), [(None, 12000002), (2056, 12000003), (0, 12000003), (7, 12000003)]
)
def test_size_of_the_secret(wanted: int | None, code: int, keys: dict[int, KeyMaterial]) -> None:
    """KEY_SIZE absent is 12000002; nothing, or more than the group gives, 12000003."""
    numbers = {} if wanted is None else {KEY_SIZE: wanted}
    with refused(code, "HUKS_TAG_KEY_SIZE"):
        run(dh, AGREE, keys[2048], keys[2048].public, numbers=numbers)


def test_wrong_peers(keys: dict[int, KeyMaterial]) -> None:
    """Another group or algorithm is 12000006; what is no key, or a value without a secret, 401."""
    rfc_3526 = openssl("genpkey", "-algorithm", "DH", "-pkeyopt", "group:modp_2048", "-outform", "DER")
    p = dh.prime_of(2048)
    peers = {
        12000006: [
            keys[3072].public,
            elliptic.generate(2, 256).public,
            openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", given=rfc_3526),
        ],
        401: [b"", b"x", keys[2048].public[:-1], *(dh._spki(2048, y) for y in (0, 1, p - 1, p, p + 2))],
    }
    for code, spkis in peers.items():
        for spki in spkis:
            with refused(code):
                run(dh, AGREE, keys[2048], spki, numbers={KEY_SIZE: 2048})


def _strange_groups() -> dict[str, bytes]:
    """Public keys whose group is of their sender's choice, each in a form that resembles the documented one."""
    p, larger = dh.prime_of(2048), dh.prime_of(4096)
    x9_42 = bytes.fromhex("06072a8648ce3e0201")
    numbers = dh._integer(p) + dh._integer(2)

    def public(oid: bytes, group: bytes, y: int = 2**200) -> bytes:
        return dh._der(0x30, dh._der(0x30, oid + dh._der(0x30, group)) + dh._der(3, b"\0" + dh._integer(y)))

    hidden = dh._der(2, b"\1" + dh.PKCS3_DH + dh._der(0x30, numbers))
    return {
        "another generator": public(dh.PKCS3_DH, dh._integer(p) + dh._integer(5)),
        "the prime inside of the value": public(dh.PKCS3_DH, dh._integer(larger) + dh._integer(5), p << 1000),
        "the group inside of the prime": public(x9_42, hidden + dh._integer(5) + dh._integer(larger // 2)),
        "another order": public(x9_42, numbers + dh._integer(larger // 2)),
        "no order": public(x9_42, numbers),
    }


@pytest.mark.parametrize("name", _strange_groups())
def test_groups_of_strangers_are_not_loaded(
    keys: dict[int, KeyMaterial], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """They are refused by their bytes: loading one would test it for primes, as long as its sender likes."""

    def never(spki: bytes) -> None:
        pytest.fail(f"{len(spki)} bytes of a stranger were loaded")

    for module in (dh, agreement, spki_module):
        monkeypatch.setattr(module, "load_der_public_key", never)
    stranger = _strange_groups()[name]
    with refused(12000006):
        run(dh, AGREE, keys[2048], stranger, numbers={KEY_SIZE: 2048})
    with refused(12000006):
        run(elliptic, AGREE, elliptic.generate(2, 256), stranger, algorithm=ECDH, numbers={KEY_SIZE: 256})
    with refused(401):
        dh.material_from_spki(stranger, DH, 2048)


def test_a_group_that_says_how_long_its_private_values_are(keys: dict[int, KeyMaterial]) -> None:
    """Java writes such a number after the generator (PKCS #3)."""
    p, y = dh.prime_of(2048), 2**200
    group = dh._der(0x30, dh._integer(p) + dh._integer(2) + dh._integer(1024))
    spki = dh._der(0x30, dh._der(0x30, dh.PKCS3_DH + group) + dh._der(3, b"\0" + dh._integer(y)))
    plain = dh.material_from_spki(spki, DH, 2048).public
    assert plain != spki
    numbers = {KEY_SIZE: 2048}
    assert run(dh, AGREE, keys[2048], spki, numbers=numbers) == run(
        dh, AGREE, keys[2048], plain, numbers=numbers
    )


def test_peers_in_the_form_of_x9_42(keys: dict[int, KeyMaterial]) -> None:
    """The other standard form of a public DH key is understood too."""
    p, y = dh.prime_of(2048), 2**200
    oid = bytes.fromhex("06072a8648ce3e0201")
    group = dh._der(0x30, dh._integer(p) + dh._integer(2) + dh._integer((p - 1) // 2))
    spki = dh._der(0x30, dh._der(0x30, oid + group) + dh._der(0x03, b"\0" + dh._integer(y)))
    pkcs3 = dh.material_from_spki(spki, DH, 2048).public
    assert pkcs3 != spki
    numbers = {KEY_SIZE: 2048}
    assert run(dh, AGREE, keys[2048], spki, numbers=numbers) == run(
        dh, AGREE, keys[2048], pkcs3, numbers=numbers
    )


def test_one_update(keys: dict[int, KeyMaterial]) -> None:
    """A second update is 12000012, finish without any 401."""
    with refused(12000012):
        run(dh, AGREE, keys[2048], keys[2048].public, keys[2048].public, numbers={KEY_SIZE: 2048})
    with refused(401):
        run(dh, AGREE, keys[2048], numbers={KEY_SIZE: 2048})


def test_halves_and_purposes(keys: dict[int, KeyMaterial]) -> None:
    """A public key does not agree (401), a DH key does not sign (12000003)."""
    with refused(401, "private"):
        start(dh, AGREE, public_of(keys[2048]), numbers={KEY_SIZE: 2048})
    with refused(12000003):
        dh.starter(make_spec(SIGN, keys[2048]))
    assert start(dh, AGREE, keys[3072], numbers={KEY_SIZE: 256}).kind == "dh-3072"
    with refused(12000003):
        dh.generate(DH, 1024)


def test_import_of_parts() -> None:
    """Halves import alone or together; values outside the group or that do not match are 401."""
    p = dh.prime_of(2048)
    for exponent in (2, (1 << 256) + 1, 1 << 2000, p - 3):
        element = pow(2, exponent, p)
        pair = dh.material_from_parts(2048, number(element), number(exponent))
        assert dh.material_from_parts(2048, number(element), b"") == public_of(pair)
        alone = dh.material_from_parts(2048, b"", number(exponent))
        assert alone.public == b""
        peer = dh.generate(DH, 2048)
        secret = run(dh, AGREE, alone, peer.public, numbers={KEY_SIZE: 2048})
        assert secret == run(dh, AGREE, peer, pair.public, numbers={KEY_SIZE: 2048})
    for public, private in ((5, 3), (0, 0), (1, 0), (p - 1, 0), (p, 0), (p + 4, 0), (0, p - 1), (0, p + 5)):
        with refused(401):
            dh.material_from_parts(2048, number(public), number(private))
    with refused(401):
        dh.material_from_parts(1024, b"\5", b"")


def test_import_of_spki(keys: dict[int, KeyMaterial]) -> None:
    """A SubjectPublicKeyInfo imports with its own group alone."""
    assert dh.material_from_spki(keys[3072].public, DH, 3072) == public_of(keys[3072])
    p = dh.prime_of(2048)
    for spki, size in ((keys[3072].public, 2048), (b"x", 2048), (dh._spki(2048, p - 1), 2048),
                       (elliptic.generate(2, 256).public, 2048), (keys[2048].public, 1024)):  # fmt: skip
        with refused(401):
            dh.material_from_spki(spki, DH, size)


@pytest.mark.parametrize("size", dh.SIZES)
def test_the_public_half_of_a_private_value(size: int) -> None:
    """It belongs to values of all lengths, with leading zeros or without."""
    p = dh.prime_of(size)
    for exponent in (1, 12345, 2**300 + 1, p // 2 + 1, p - 2):
        public = number(pow(dh.GENERATOR, exponent, p))
        material = dh.material_from_parts(size, public, number(exponent))
        assert material == dh.material_from_parts(size, public, exponent.to_bytes(size // 8, "big"))
        loaded = dh.load(material).private
        assert loaded is not None
        assert loaded.private_numbers().x == exponent
        with refused(401, "does not belong"):
            dh.material_from_parts(size, number(pow(dh.GENERATOR, exponent + 1, p)), number(exponent))


def test_a_short_private_value_is_checked_in_a_part_of_a_power() -> None:
    """Values of 300 bits, as OpenSSL and Java make them, cost less than a power by one as long as the group's prime."""

    def quickest(call: Callable[[], object]) -> float:
        def once() -> float:
            began = time.thread_time()
            call()
            return time.thread_time() - began

        return min(once() for _ in range(3))

    p, exponent = dh.prime_of(4096), 2**300 + 1
    public, private = number(pow(dh.GENERATOR, exponent, p)), number(exponent)
    checked = quickest(lambda: dh.material_from_parts(4096, public, private))
    assert checked < quickest(lambda: pow(dh.GENERATOR, p - 2, p)) / 3


_FORKED_IN_SILENCE = """
import os, threading, warnings
from huks_async.crypto.asymmetric import finite_field

silent, done = threading.Event(), threading.Event()

def load():
    with finite_field.allowed():
        silent.set()
        done.wait()

before = warnings.filters[:]
loader = threading.Thread(target=load)
loader.start()
silent.wait()
child = os.fork()
if child == 0:
    kept = warnings.filters != before
    with finite_field.allowed():
        silenced = warnings.filters != before
    os._exit(kept + 2 * (not silenced) + 4 * (warnings.filters != before))
done.set()
loader.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), warnings.filters == before)
"""


_FORKED_AT_ITS_END = """
import os, sys, threading, warnings
from huks_async.crypto.asymmetric import finite_field

ending, done = threading.Event(), threading.Event()

def trace(frame, event, _):
    if frame.f_code.co_name == "__exit__" and frame.f_code.co_filename.endswith("warnings.py"):
        ending.set()
        done.wait()
    return None

def load():
    sys.settrace(trace)
    with finite_field.allowed():
        pass

before = warnings.filters[:]
loader = threading.Thread(target=load)
loader.start()
ending.wait()
child = os.fork()
if child == 0:
    os._exit(warnings.filters != before)
done.set()
loader.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), warnings.filters == before)
"""


@pytest.mark.parametrize("program", [_FORKED_IN_SILENCE, _FORKED_AT_ITS_END], ids=["within", "at its end"])
def test_a_child_does_not_keep_the_silence_of_a_thread_of_its_parent(program: str) -> None:
    """A fork while another thread loads a key leaves the child's warnings as the program has them."""
    command = [sys.executable, "-W", "ignore", "-c", program]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert ended.stdout == "0 True\n"
