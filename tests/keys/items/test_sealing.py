"""How key items are sealed: the formats byte by byte, computed a second time, and what must never repeat."""

import hmac
import struct

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.items import sealing
from huks_async.keys.items.item import encode_params
from huks_async.keys.items.sealing import Sealer
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.stores.base import ItemName

NAME = ItemName("app", 1, "key")
MATERIAL = KeyMaterial(20, 256, bytes(range(32)))
STORE_KEY = bytes(range(100, 132))
NO_PARAMS = encode_params(ParamSet())
RANDOM = bytes(range(200, 216))


def _params() -> ParamSet:
    params = ParamSet()
    params.numbers[0x1000_0001] = 20
    params.blobs[0x5000_0002] = b"id"
    return params


# --- the formats, from their description, with HMAC, CMAC and plain modes of AES -----------------------------


def _hkdf(key, info, blocks=1):
    """RFC 5869 with SHA-256 and no salt."""
    extracted, block, out = hmac.digest(bytes(32), key, "sha256"), b"", b""
    for number in range(1, blocks + 1):
        block = hmac.digest(extracted, block + info + bytes([number]), "sha256")
        out += block
    return out


def _gcm(key, nonce, plain, associated):
    encryptor = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(associated)
    return encryptor.update(plain) + encryptor.finalize() + encryptor.tag


def _cmac(key, data):
    mac = CMAC(algorithms.AES(key))
    mac.update(data)
    return mac.finalize()


def _double(block):
    number = int.from_bytes(block, "big") << 1
    return (number ^ (0x87 if number >> 128 else 0)).to_bytes(17, "big")[1:]


def _xor(one, other):
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _siv(key, plain, associated):
    """RFC 5297, sections 2.4 and 2.6."""
    first, second = key[: len(key) // 2], key[len(key) // 2 :]
    state = _cmac(first, bytes(16))
    for one in associated:
        state = _xor(_double(state), _cmac(first, one))
    if len(plain) >= 16:
        last = plain[:-16] + _xor(plain[-16:], state)
    else:
        last = _xor(_double(state), plain + b"\x80" + bytes(15 - len(plain)))
    made = _cmac(first, last)
    counter = bytearray(made)
    counter[8] &= 0x7F
    counter[12] &= 0x7F
    encryptor = Cipher(algorithms.AES(second), modes.CTR(bytes(counter))).encryptor()
    return made + encryptor.update(plain) + encryptor.finalize()


def test_the_second_computation_is_that_of_the_standard():
    """The two examples of RFC 5297, whose keys have half the length."""
    key = bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    ad = bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")
    plain = bytes.fromhex("112233445566778899aabbccddee")
    sealed = "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"
    assert _siv(key, plain, [ad]).hex() == sealed
    key = bytes.fromhex("7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f")
    ads = [
        bytes.fromhex("00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100"),
        bytes.fromhex("102030405060708090a0"),
        bytes.fromhex("09f911029d74e35bd84156c5635688c0"),
    ]
    plain = b"this is some plaintext to encrypt using SIV-AES"
    sealed = (
        "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17"
        "dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d"
    )
    assert _siv(key, plain, ads).hex() == sealed


def _bound(name, head):
    namespace, alias = name.namespace.encode(), name.alias.encode()
    return struct.pack("<III", len(namespace), name.level, len(alias)) + namespace + alias + head


def _plain(material):
    lengths = len(material.secret), len(material.public)
    return (
        struct.pack("<HIII", material.algorithm, material.size, *lengths) + material.secret + material.public
    )


def format_1(store_key, name, params, material, nonce):
    encoded = encode_params(params)
    head = b"HKi1" + struct.pack("<I", len(encoded)) + encoded
    key = _hkdf(store_key, b"huks_async item 1\0" + name.namespace.encode())
    return head + nonce + _gcm(key, nonce, _plain(material), _bound(name, head))


def format_2(store_key, name, params, material, random):
    encoded = encode_params(params)
    head = b"HKi2" + struct.pack("<II", 0, len(encoded)) + encoded
    key = _hkdf(store_key, b"huks_async item 2\0" + name.namespace.encode(), blocks=2)
    return head + random + _siv(key, _plain(material), [_bound(name, head), random])


VECTOR_1 = bytes.fromhex(
    "484b693118000000020001000010140000000000000002000050020000006964c8c9cacbcccdcecfd0d1d2d3f68bf7e7"
    "5b8d6a4b922855c17548a145aac2fbb78cea782a56c45728903234c48e9a1784e5ac08b6c997a7cd89328aefd566b6a7"
    "cd250da0d815159d33ab"
)
VECTOR_2 = bytes.fromhex(
    "484b69320000000018000000020001000010140000000000000002000050020000006964c8c9cacbcccdcecfd0d1d2d3"
    "d4d5d6d759a8d7539b31ecbcf375c0c31f1d3f59c32ee19fd7752e75d4ee508cbd7c788c247ea9f705d60db72219ca38"
    "0baeb10b8e35a86fbcd89ebfa288e4693a65"
)


def test_the_formats_stay_what_they_are():
    """Two items written down as bytes: stores hold such, so neither may ever read differently."""
    sealer = Sealer(STORE_KEY)
    for vector in (VECTOR_1, VECTOR_2):
        params, material = sealer.open(NAME, vector)
        assert material == MATERIAL
        assert encode_params(params) == encode_params(_params())
    assert format_1(STORE_KEY, NAME, _params(), MATERIAL, RANDOM[:12]) == VECTOR_1
    assert format_2(STORE_KEY, NAME, _params(), MATERIAL, RANDOM) == VECTOR_2


names = st.builds(ItemName, st.text(max_size=20), st.integers(0, 2), st.text(min_size=1, max_size=20))
materials = st.builds(
    KeyMaterial, st.integers(0, 999), st.integers(0, 9999), st.binary(max_size=99), st.binary(max_size=99)
)


@given(st.binary(min_size=32, max_size=32), names, materials, st.binary(min_size=16, max_size=16))
def test_an_item_is_what_its_description_says(store_key, name, material, random):
    """The sealer and a second computation from the description give the same bytes; both formats open."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing, "random_bytes", lambda size: random[:size])
        sealed = Sealer(store_key).seal(name, encode_params(_params()), material)
    assert sealed == format_2(store_key, name, _params(), material, random)
    for blob in (sealed, format_1(store_key, name, _params(), material, random[:12])):
        assert Sealer(store_key).open(name, blob)[1] == material


# --- what must not repeat ------------------------------------------------------------------------------------


def test_equal_items_are_sealed_differently():
    """A thousand that are equal in everything."""
    sealer = Sealer(bytes(32))
    assert len({sealer.seal(NAME, NO_PARAMS, MATERIAL)[-62:] for _ in range(1000)}) == 1000


def test_ciphers_are_kept_for_some_namespaces_only(monkeypatch):
    """A service may have a million callers in its life; all their items open."""
    monkeypatch.setattr(sealing, "_MAX_CIPHERS", 2)
    sealer = Sealer(STORE_KEY)
    names = [ItemName(f"app {number}", 1, "key") for number in range(5)]
    blobs = [sealer.seal(name, NO_PARAMS, MATERIAL) for name in names]
    assert [sealer.open(name, blob)[1] for name, blob in zip(names, blobs, strict=True)] == [MATERIAL] * 5
    assert len(sealer._ciphers) == 2


def test_the_cipher_of_a_namespace_in_use_is_kept(monkeypatch):
    """Callers who come once do not crowd out the one who always comes."""
    monkeypatch.setattr(sealing, "_MAX_CIPHERS", 2)
    sealer = Sealer(STORE_KEY)
    blob = sealer.seal(NAME, NO_PARAMS, MATERIAL)
    kept = sealer._ciphers[NAME.namespace]
    for number in range(5):
        sealer.seal(ItemName(f"app {number}", 1, "key"), NO_PARAMS, MATERIAL)
        sealer.open(NAME, blob)
    assert sealer._ciphers[NAME.namespace] is kept


def test_equal_random_bytes_do_no_harm(monkeypatch):
    """Items that differ in anything at all have nothing in common, even if the kernel gave equal bytes."""
    monkeypatch.setattr(sealing, "random_bytes", bytes)
    sealer = Sealer(STORE_KEY)
    other = ParamSet()
    other.numbers[0x1000_0001] = 20
    sealed = [
        sealer.seal(NAME, NO_PARAMS, MATERIAL),
        sealer.seal(NAME, NO_PARAMS, KeyMaterial(20, 256, bytes(31) + b"\1")),
        sealer.seal(NAME, NO_PARAMS, KeyMaterial(20, 255, MATERIAL.secret)),
        sealer.seal(NAME, encode_params(other), MATERIAL),
        sealer.seal(NAME._replace(alias="other"), NO_PARAMS, MATERIAL),
        sealer.seal(NAME._replace(level=2), NO_PARAMS, MATERIAL),
        sealer.seal(NAME._replace(namespace="other"), NO_PARAMS, MATERIAL),
    ]
    # 16 bytes that depend on everything, 14 of lengths, 32 of the key; the stream begins anew for each
    tails = [blob[-62:] for blob in sealed]
    assert len({tail[:16] for tail in tails}) == len({tail[16:30] for tail in tails}) == 7
    assert sealer.seal(NAME, NO_PARAMS, MATERIAL) == sealed[0]


# --- what does not open ----------------------------------------------------------------------------------------


def _refused(blob, name=NAME, store_key=STORE_KEY):
    with pytest.raises(BusinessError) as refused:
        Sealer(store_key).open(name, blob)
    assert refused.value.code == 12000012
    return refused.value.message


@pytest.mark.parametrize("vector", [VECTOR_1, VECTOR_2], ids=["format 1", "format 2"])
def test_every_changed_bit_is_noticed(vector):
    """And every cut, and every byte too many."""
    for place in range(len(vector)):
        for bit in range(8):
            changed = bytearray(vector)
            changed[place] ^= 1 << bit
            _refused(bytes(changed))
        _refused(vector[:place])
    _refused(vector + b"\0")


@pytest.mark.parametrize("vector", [VECTOR_1, VECTOR_2], ids=["format 1", "format 2"])
def test_an_item_opens_in_its_own_place_alone(vector):
    """Not under another alias, level, namespace or store key."""
    for name in (NAME._replace(alias="kez"), NAME._replace(level=0), NAME._replace(namespace="apq")):
        assert "moved from another alias" in _refused(vector, name)
    assert "sealed by another key" in _refused(vector, store_key=bytes(32))


@pytest.mark.parametrize(
    ("blob", "says"),
    [
        (b"HKi3" + VECTOR_2[4:], "it has format '3', and 2 is the newest known here"),
        (b"HKi9", "it has format '9'"),
        (b"HKia" + bytes(50), "it has format 'a'"),
        (VECTOR_2[:4] + b"\1" + VECTOR_2[5:], "it has generation 1 of the store key, and 0 is the newest"),
    ],
)
def test_an_item_of_a_newer_version_says_so(blob, says):
    """And that nothing was changed, and that an update helps; it is not called damage."""
    message = _refused(blob)
    assert says in message
    assert "newer version of this library" in message
    assert "Nothing was changed; update the library" in message
    assert "delete or replace" not in message
