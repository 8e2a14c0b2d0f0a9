"""The header form as bytes: reading, writing, and every way in which it can lie."""

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huks_async.keys.forms import convert
from huks_async.keys.forms.layouts import LAYOUTS, KeyParts, check_parts, pack, unpack
from huks_async.model.errors import BusinessError
from tests.keys.key_samples import (
    DH,
    DSA,
    ECC,
    ED25519,
    ML_DSA,
    ML_KEM,
    NAMES,
    PAIR,
    PRIVATE,
    RSA,
    SIZES,
    SM2,
    X25519,
    end_of,
    header_form,
    sample,
)

# header length and field names, from the table of the documentation
TABLE = {
    RSA: (20, ("n", "e", "d")),
    ECC: (20, ("x", "y", "z")),
    SM2: (20, ("x", "y", "z")),
    DSA: (28, ("x", "y", "p", "q", "g")),
    DH: (20, ("public", "private")),
    X25519: (20, ("public", "private")),
    ED25519: (20, ("public", "private")),
    ML_DSA: (20, ("public", "private")),
    ML_KEM: (20, ("public", "private")),
}


def refused(call: object, *arguments: object, **named: object) -> BusinessError:
    """The error of a call that must fail."""
    with pytest.raises(BusinessError) as caught:
        call(*arguments, **named)  # type: ignore[operator]
    return caught.value


@pytest.mark.parametrize("algorithm", TABLE)
def test_header_is_as_documented(algorithm: int) -> None:
    """A blob has a header of the documented length, and its fields stand behind it in order."""
    length, names = TABLE[algorithm]
    values = {name: bytes([index + 1]) * (index + 3) for index, name in enumerate(names)}
    blob = pack(KeyParts(algorithm, 77, values))
    assert blob == header_form(algorithm, 77, values)
    assert blob[:8] == struct.pack("<II", algorithm, 77)
    assert blob[length:] == b"".join(values.values())
    assert set(LAYOUTS) == set(TABLE)


@pytest.mark.parametrize(("algorithm", "size"), SIZES, ids=NAMES)
def test_real_keys_go_in_and_out(algorithm: int, size: int) -> None:
    """The header form of a real key is read field by field and written back byte for byte."""
    key = sample(algorithm, size)
    parts = unpack(key.blob(), algorithm=algorithm, size=size)
    assert dict(parts) == key.fields
    check_parts(parts, PAIR)
    assert pack(parts) == key.blob()
    assert unpack(key.blob() + b"trailing bytes") == parts


@pytest.mark.parametrize(("algorithm", "size"), SIZES, ids=NAMES)
def test_lies_are_refused(algorithm: int, size: int) -> None:
    """Truncated blobs and headers that announce more than there is, or another key, are 401."""
    blob = sample(algorithm, size).blob()
    length, names = TABLE[algorithm]
    forms = [blob[:cut] for cut in (*range(length + 1), len(blob) - 1)]
    forms += [
        blob[: 8 + 4 * index] + word + blob[12 + 4 * index :]
        for index in range(len(names))
        for word in (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", struct.pack("<I", len(blob)))
    ]
    forms += [struct.pack("<I", other) + blob[4:] for other in (0, 20, 100, 104, 2**32 - 1)]
    assert len(forms) >= 30
    for form in forms:
        assert refused(unpack, form).code == 401
    assert refused(unpack, blob, algorithm=RSA if algorithm != RSA else ECC).code == 401
    assert refused(unpack, blob, size=size + 8).code == 401


@pytest.mark.parametrize(
    ("algorithm", "limit"), [(RSA, 2048), (ECC, 2048), (SM2, 2048), (ML_DSA, 10_000), (ML_KEM, 6_000)]
)
def test_limits_of_length(algorithm: int, limit: int) -> None:
    """The longest blob that an import takes is read; one byte more is 401."""
    names = TABLE[algorithm][1]
    fields = dict.fromkeys(names, b"\x01")
    blob = header_form(algorithm, 1, fields).ljust(limit, b"\0")
    assert dict(unpack(blob)) == fields
    assert "1 to" in refused(unpack, blob + b"\0").message


WRONG_SIZES = [
    ("RSA without d", RSA, 2048, PRIVATE, {"d": b""}),
    ("RSA with d longer than n", RSA, 2048, PRIVATE, {"d": bytes(257)}),
    ("RSA with n of another size", RSA, 2048, PRIVATE, {"n": bytes(255)}),
    ("RSA pair without e", RSA, 2048, PAIR, {"e": b""}),
    ("ECC without z", ECC, 256, PRIVATE, {"z": b""}),
    ("ECC with z too long", ECC, 256, PRIVATE, {"z": bytes(33)}),
    ("ECC pair without x", ECC, 256, PAIR, {"x": b""}),
    ("ECC pair without y", ECC, 256, PAIR, {"y": b""}),
    ("ECC private with x alone", ECC, 256, PRIVATE, {"y": b""}),
    ("ECC private with y alone", ECC, 256, PRIVATE, {"x": b""}),
    ("SM2 with x too long", SM2, 256, PAIR, {"x": bytes(33)}),
    ("DSA without p", DSA, 1024, PRIVATE, {"p": b""}),
    ("DSA without q", DSA, 1024, PRIVATE, {"q": b""}),
    ("DSA without g", DSA, 1024, PRIVATE, {"g": b""}),
    ("DSA without x", DSA, 1024, PRIVATE, {"x": b""}),
    ("DSA with x longer than q", DSA, 1024, PRIVATE, {"x": bytes(21)}),
    ("DSA pair without y", DSA, 1024, PAIR, {"y": b""}),
    ("DH without private", DH, 2048, PRIVATE, {"private": b""}),
    ("DH pair without public", DH, 2048, PAIR, {"public": b""}),
    ("DH with public too long", DH, 2048, PAIR, {"public": bytes(257)}),
    ("X25519 with 31 bytes", X25519, 256, PAIR, {"public": bytes(31)}),
    ("X25519 pair without public", X25519, 256, PAIR, {"public": b""}),
    ("Ed25519 with 64 private bytes", ED25519, 256, PAIR, {"private": bytes(64)}),
]


@pytest.mark.parametrize(
    ("algorithm", "size", "kind", "change"),
    [row[1:] for row in WRONG_SIZES],
    ids=[row[0] for row in WRONG_SIZES],
)
def test_sizes_of_fields(algorithm: int, size: int, kind: int, change: dict[str, bytes]) -> None:
    """A field that is absent, or of a length that the key cannot have, is 401."""
    parts = unpack(sample(algorithm, size).blob(**change))
    assert refused(check_parts, parts, kind).code == 401


@pytest.mark.parametrize(
    ("algorithm", "size", "public", "private"),
    [
        (ML_DSA, 44, 1312, 2560),
        (ML_DSA, 65, 1952, 4032),
        (ML_DSA, 87, 2592, 4896),
        (ML_KEM, 768, 1184, 2400),
        (ML_KEM, 1024, 1568, 3168),
    ],
)
def test_sizes_of_ml_keys_are_exact(algorithm: int, size: int, public: int, private: int) -> None:
    """ML keys have exactly their lengths; a private key comes without public half, a pair with it."""

    def parts(first: int, second: int, number: int = size) -> KeyParts:
        return KeyParts(algorithm, number, {"public": bytes(first), "private": bytes(second)})

    check_parts(parts(public, private), PAIR)
    check_parts(parts(0, private), PRIVATE)
    for kind, wrong in [
        (PAIR, parts(0, private)),
        (PRIVATE, parts(public, private)),
        (PAIR, parts(public - 1, private)),
        (PAIR, parts(public, private + 1)),
        (PRIVATE, parts(0, 32)),
        (PRIVATE, parts(0, private, size + 1)),
    ]:
        assert refused(check_parts, wrong, kind).code == 401


def test_types_without_a_header_form() -> None:
    """A public key, and a type that does not exist, have no header form."""
    parts = unpack(sample(ECC, 256).blob())
    assert refused(check_parts, parts, 0).code == 401
    assert refused(check_parts, parts, 3).code == 401


def test_pack_refuses_what_it_cannot_write() -> None:
    """Algorithms without a header form, foreign fields and oversized keys are 401."""
    assert refused(pack, KeyParts(20, 256, {"k": bytes(32)})).code == 401
    assert refused(pack, KeyParts(ECC, 256, {"x": b"", "y": b""})).code == 401
    assert refused(pack, KeyParts(RSA, 2048, {"n": bytes(2048), "e": b"", "d": b""})).code == 401


def test_repr_hides_key_bytes() -> None:
    """`repr` of the parts shows lengths, and no byte of the key."""
    key = sample(ECC, 256)
    shown = repr(unpack(key.blob()))
    assert shown == "KeyParts(ECC, 256, x=<32 bytes>, y=<32 bytes>, z=<32 bytes>)"


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda words, tail: struct.pack(f"<{len(words)}I", *words) + tail,
            st.lists(st.one_of(st.sampled_from(sorted(TABLE)), st.integers(0, 300)), min_size=2, max_size=9),
            st.binary(max_size=400),
        ),
    )
)
def test_any_bytes_are_parts_or_401(blob: bytes) -> None:
    """Whatever comes in is read to fields that lie in it, or refused with 401."""
    code, parts = end_of(unpack, blob)
    assert code in (0, 401)
    if not code:
        assert blob.startswith(pack(parts)[:8])
        assert b"".join(parts.values()) in blob


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(TABLE)), st.integers(0, 2**32 - 1), st.data())
def test_pack_and_unpack_are_inverse(algorithm: int, size: int, data: st.DataObject) -> None:
    """What is written is read again, whatever the fields hold."""
    fields = {name: data.draw(st.binary(max_size=100)) for name in TABLE[algorithm][1]}
    fields[TABLE[algorithm][1][0]] += b"\1"
    parts = KeyParts(algorithm, size, fields)
    assert unpack(pack(parts)) == parts


@pytest.mark.parametrize(
    ("algorithm", "size"), [(ECC, 0xBA000100), (ECC, 192), (ECC, 0), (SM2, 2**31), (SM2, 128)]
)
def test_a_curve_of_a_size_that_no_curve_has(algorithm: int, size: int) -> None:
    """It is refused before anything is filled up to it, which would take gigabytes."""
    blob = struct.pack("<5I", algorithm, size, 32, 32, 32) + b"\1" * 96
    tracemalloc.start()
    try:
        with pytest.raises(BusinessError) as caught:
            convert.from_layout(blob)
        assert caught.value.code == 401
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
