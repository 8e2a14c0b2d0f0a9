"""Keys line by line: purposes and mistakes at import, export, properties, aliases, and where results go."""

from typing import Any

import pytest

import huks_async as huks
from tests.conformance import support as s
from tests.conformance.support import NOTHING, Params, data, options, properties, refused, run
from tests.conformance.test_content_errors import (
    AES,
    AGREE,
    BASE,
    CBC,
    ECC,
    ECDH,
    ED,
    HKDF,
    RSA_SIGN,
    SM4,
    X,
    key,
    session,
)
from tests.keys.key_samples import header_form, sample

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning"),
]
T = huks.HuksTag


async def exported(keystore: huks.Keystore, made: Params) -> bytes:
    """The public half of a fresh key."""
    await keystore.generateKeyItem("source", options(**made))
    return (await keystore.exportKeyItem("source", NOTHING)).outData


def private_blob(algorithm: int, size: int, kind: int) -> bytes:
    """A key in the header form; of lattice keys the right lengths alone."""
    if algorithm in (s.ML_DSA, s.ML_KEM):
        lengths = {s.ML_DSA: (1312, 2560), s.ML_KEM: (1184, 2400)}[
            s.ML_DSA if algorithm == s.ML_DSA else s.ML_KEM
        ]
        public = bytes(lengths[0]) if kind == s.PAIR else b""
        return header_form(algorithm, size, {"public": public, "private": bytes(lengths[1])})
    return sample(algorithm, size).blob()


# --- purposes at import -------------------------------------------------------------------------

SIZES = {s.RSA: 2048, s.DSA: 1024, s.DH: 2048, s.ML_DSA: 44, s.ML_KEM: 768}
ACCEPTED: dict[tuple[int, int], set[int]] = {
    (s.RSA, s.PUBLIC): {s.VERIFY, s.ENCRYPT},
    (s.RSA, s.PRIVATE): {s.SIGN, s.DECRYPT},
    (s.ECC, s.PUBLIC): {s.VERIFY, s.AGREE},
    (s.ECC, s.PRIVATE): {s.SIGN, s.AGREE},
    (s.DSA, s.PUBLIC): {s.VERIFY},
    (s.DSA, s.PRIVATE): {s.SIGN},
    (s.ED25519, s.PUBLIC): {s.VERIFY},
    (s.ED25519, s.PRIVATE): {s.SIGN},
    (s.X25519, s.PUBLIC): {s.AGREE, s.SIGN, s.VERIFY, s.SIGNATURE},
    (s.X25519, s.PRIVATE): {s.AGREE, s.SIGN, s.VERIFY, s.SIGNATURE},
    (s.DH, s.PUBLIC): {s.AGREE},
    (s.DH, s.PRIVATE): {s.AGREE},
    (s.SM2, s.PUBLIC): {s.VERIFY, s.ENCRYPT},
    (s.SM2, s.PRIVATE): {s.SIGN},
    (s.ML_DSA, s.PUBLIC): {s.SIGN, s.VERIFY, s.SIGNATURE, s.AGREE},
    (s.ML_DSA, s.PRIVATE): {s.SIGN},
    (s.ML_KEM, s.PUBLIC): {s.WRAP},
    (s.ML_KEM, s.PRIVATE): {s.UNWRAP},
}
PURPOSES = [*(1 << bit for bit in range(9)), s.CIPHER, s.SIGNATURE, s.WRAP | s.UNWRAP, s.SIGN | s.AGREE]


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    ACCEPTED,
    ids=[f"{a.name}-{'public' if k == s.PUBLIC else 'private'}" for a, k in ACCEPTED],  # type: ignore[attr-defined]
)
async def test_purposes_at_import(keystore: huks.Keystore, algorithm: int, kind: int) -> None:
    """A half of a key takes exactly the documented purposes; every other one, and every mixture, is 12000003."""
    size = SIZES.get(algorithm, 256)
    if kind == s.PRIVATE:
        material = private_blob(algorithm, size, kind)
    elif algorithm in (s.ML_DSA, s.ML_KEM):
        purpose = s.SIGNATURE if algorithm == s.ML_DSA else s.WRAP | s.UNWRAP
        material = await exported(keystore, key(algorithm, size, purpose))
    else:
        material = sample(algorithm, size).exported
    taken = set()
    for purpose in PURPOSES:
        if kind == s.PRIVATE and algorithm in (s.ML_DSA, s.ML_KEM) and purpose in ACCEPTED[algorithm, kind]:
            taken.add(purpose)  # the sample has no real private half; the importing tests have
            continue
        given = options(material, **key(algorithm, size, purpose, IMPORT_KEY_TYPE=kind))
        try:
            await keystore.importKeyItem("key", given)
        except huks.BusinessError as error:
            refusal = error
        else:
            taken.add(purpose)
            continue
        assert refusal.code == 12000003, (purpose, refusal)
        assert "HUKS_TAG_PURPOSE" in refusal.message
    assert taken == ACCEPTED[algorithm, kind]


@pytest.mark.parametrize("kind", [None, s.PUBLIC, s.PRIVATE, s.PAIR, 3, 77])
@pytest.mark.parametrize(
    ("algorithm", "size"),
    [(s.AES, 256), (s.HMAC, 256), (s.SM3_MAC, 256), (s.SM4, 128), (s.DES, 64), (s.DES3, 192)],
)
async def test_import_type_of_symmetric_keys(
    keystore: huks.Keystore, algorithm: int, size: int, kind: int | None
) -> None:
    """Symmetric keys are raw whatever the type says, except that DES and 3DES are no private keys or pairs."""
    purpose = s.MAC if algorithm in (s.HMAC, s.SM3_MAC) else s.CIPHER
    given = options(bytes(range(size // 8)), **key(algorithm, size, purpose, IMPORT_KEY_TYPE=kind))
    if algorithm in (s.DES, s.DES3) and kind in (s.PRIVATE, s.PAIR):
        with refused(12000003):
            await keystore.importKeyItem("key", given)
        return
    await keystore.importKeyItem("key", given)


@pytest.mark.parametrize("padding", [s.NOPAD, s.OAEP, s.PSS, s.PKCS1, s.PKCS5, s.PKCS7])
@pytest.mark.parametrize("purpose", [s.ENCRYPT, s.VERIFY])
async def test_padding_of_rsa_public_keys(keystore: huks.Keystore, purpose: int, padding: int) -> None:
    """The padding is one that the purpose allows."""
    accepted = {s.ENCRYPT: {s.NOPAD, s.OAEP, s.PKCS1}, s.VERIFY: {s.NOPAD, s.PSS, s.PKCS1}}
    given = options(sample(s.RSA, 2048).spki, **key(s.RSA, 2048, purpose, PADDING=padding))
    if padding in accepted[s.ENCRYPT if purpose == s.ENCRYPT else s.VERIFY]:
        await keystore.importKeyItem("key", given)
    else:
        with refused(12000003, "HUKS_TAG_PADDING"):
            await keystore.importKeyItem("key", given)


# --- mistakes at import -------------------------------------------------------------------------

ECC_PUBLIC = key(s.ECC, 256, s.VERIFY)
ECC_PAIR = key(s.ECC, 256, s.SIGNATURE, IMPORT_KEY_TYPE=s.PAIR)
X_PAIR = X | {"IMPORT_KEY_TYPE": s.PAIR}
P256 = sample(s.ECC, 256)
X_SAMPLE = sample(s.X25519, 256)
DH_P_BYTES = 256
MISTAKES: dict[str, tuple[Params, bytes | None, int]] = {
    "nothing": (AES, None, 401),
    "nothing for a pair": (ECC_PAIR, b"", 401),
    "AES of 31 bytes": (AES, bytes(31), 401),
    "AES of 33 bytes": (AES, bytes(33), 401),
    "AES of 8 bytes": (AES | {"KEY_SIZE": 64}, bytes(8), 401),
    "AES of 15 bytes": (AES | {"KEY_SIZE": 120}, bytes(15), 401),
    "AES of 25 bytes": (AES | {"KEY_SIZE": 200}, bytes(25), 401),
    "AES of 25 bytes without KEY_SIZE": (AES | {"KEY_SIZE": None}, bytes(25), 401),
    "AES of 25 bytes with a type": (
        AES | {"KEY_SIZE": 200, "IMPORT_KEY_TYPE": s.PRIVATE},
        bytes(25),
        12000003,
    ),
    "DES of 9 bytes without KEY_SIZE": (key(s.DES, 64, s.CIPHER) | {"KEY_SIZE": None}, bytes(9), 401),
    "3DES of 25 bytes without KEY_SIZE": (key(s.DES3, 192, s.CIPHER) | {"KEY_SIZE": None}, bytes(25), 401),
    "HMAC of another length": (key(s.HMAC, 256, s.MAC), bytes(31), 401),
    "DES of 7 bytes": (key(s.DES, 64, s.CIPHER), bytes(7), 401),
    "DES of another size": (key(s.DES, 128, s.CIPHER), bytes(16), 401),
    "3DES of another size": (key(s.DES3, 64, s.CIPHER), bytes(8), 401),
    "DES with another KEY_SIZE": (key(s.DES, 128, s.CIPHER), bytes(8), 12000003),
    "3DES of 16 bytes with KEY_SIZE 192": (key(s.DES3, 192, s.CIPHER), bytes(16), 401),
    "AES of 24 bytes with KEY_SIZE 256": (AES, bytes(24), 401),
    "SM4 of 15 bytes": (SM4, bytes(15), 401),
    "SM3 of another length": (key(s.SM3_MAC, 256, s.MAC), bytes(31), 401),
    "longer than 2048 bytes": (ECC_PUBLIC, P256.spki + bytes(2048), 401),
    "ML-DSA longer than 10000": (key(s.ML_DSA, 44, s.VERIFY), bytes(10001), 401),
    "ML-KEM longer than 6000": (key(s.ML_KEM, 768, s.WRAP), bytes(6001), 401),
    "SPKI garbage": (ECC_PUBLIC, b"garbage", 401),
    "SPKI cut": (ECC_PUBLIC, P256.spki[:-1], 401),
    "SPKI off the curve": (ECC_PUBLIC, P256.spki[:-1] + bytes([P256.spki[-1] ^ 1]), 401),
    "SPKI of another algorithm": (ECC_PUBLIC, sample(s.RSA, 2048).spki, 401),
    "SPKI of another curve": (ECC_PUBLIC, sample(s.ECC, 384).spki, 401),
    "SPKI of another size": (key(s.RSA, 3072, s.VERIFY), sample(s.RSA, 2048).spki, 401),
    "SPKI garbage for ML-DSA": (key(s.ML_DSA, 44, s.VERIFY), b"garbage", 12000006),
    "SPKI garbage for ML-KEM": (key(s.ML_KEM, 768, s.WRAP), b"garbage", 12000006),
    "25519 of 31 bytes": (X, bytes(31), 401),
    "25519 as SPKI": (X, X_SAMPLE.spki, 401),
    "no ALGORITHM": (AES | {"ALGORITHM": None}, bytes(32), 12000002),
    "ALGORITHM unknown": (AES | {"ALGORITHM": 98}, bytes(32), 12000003),
    "ALGORITHM HKDF": (AES | {"ALGORITHM": s.HKDF}, bytes(32), 12000003),
    "no PURPOSE": (AES | {"PURPOSE": None}, bytes(32), 12000002),
    "PURPOSE of no class": (AES | {"PURPOSE": s.AGREE}, bytes(32), 12000003),
    "no KEY_SIZE": (AES | {"KEY_SIZE": None}, bytes(32), 12000002),
    "KEY_SIZE unknown": (AES | {"KEY_SIZE": 200}, bytes(32), 12000003),
    "KEY_SIZE no multiple of 8": (key(s.HMAC, 12, s.MAC), bytes(2), 401),
    "PADDING not allowed": (AES | {"PADDING": s.OAEP}, bytes(32), 12000003),
    "DIGEST not allowed": (key(s.HMAC, 256, s.MAC, DIGEST=s.MD5), bytes(32), 12000003),
    "BLOCK_MODE not allowed": (AES | {"BLOCK_MODE": s.OFB}, bytes(32), 12000003),
    "import type unknown": (ECC_PAIR | {"IMPORT_KEY_TYPE": 3}, P256.blob(), 401),
    "header alone": (ECC_PAIR, P256.blob()[:20], 401),
    "header cut": (ECC_PAIR, P256.blob()[:19], 401),
    "fields cut": (ECC_PAIR, P256.blob()[:-1], 401),
    "header of another algorithm": (ECC_PAIR, header_form(s.SM2, 256, P256.fields), 401),
    "header of another size": (ECC_PAIR, header_form(s.ECC, 384, P256.fields), 401),
    "pair without its public half": (ECC_PAIR, P256.blob(x=b"", y=b""), 401),
    "pair without its private half": (ECC_PAIR, P256.blob(z=b""), 401),
    "pair whose halves differ": (ECC_PAIR, P256.blob(z=(5).to_bytes(32, "big")), 401),
    "X25519 pair whose halves differ": (X_PAIR, X_SAMPLE.blob(public=bytes(32)), 401),
    "RSA pair without e": (
        RSA_SIGN | {"KEY_SIZE": 2048, "IMPORT_KEY_TYPE": s.PAIR},
        sample(s.RSA, 2048).blob(e=b""),
        401,
    ),
    "DH value 1": (
        key(s.DH, 2048, s.AGREE, IMPORT_KEY_TYPE=s.PAIR),
        sample(s.DH, 2048).blob(public=(1).to_bytes(DH_P_BYTES, "big")),
        401,
    ),
    "ML-DSA private with a public half": (
        key(s.ML_DSA, 44, s.SIGN, IMPORT_KEY_TYPE=s.PRIVATE),
        header_form(s.ML_DSA, 44, {"public": bytes(1312), "private": bytes(2560)}),
        401,
    ),
    "ECC wrapping key": (key(s.ECC, 256, s.UNWRAP, IMPORT_KEY_TYPE=s.PAIR), P256.blob(), 12000003),
    "X25519 wrapping key": (key(s.X25519, 256, s.UNWRAP, IMPORT_KEY_TYPE=s.PAIR), X_SAMPLE.blob(), 12000003),
}


@pytest.mark.parametrize("name", MISTAKES)
async def test_mistakes_at_import(either: huks.Keystore, name: str) -> None:
    """Each mistake has its documented code, and no key is stored."""
    params, material, code = MISTAKES[name]
    with refused(code) as caught:
        await either.importKeyItem("key", options(material, **params))
    if material:
        s.assert_helpful(caught.value, material[:32])
    assert not await either.hasKeyItem("key", NOTHING)


async def test_bytes_after_the_last_field_are_ignored(keystore: huks.Keystore) -> None:
    """Trailing bytes of the header form do not matter."""
    await keystore.importKeyItem("key", options(P256.blob() + b"more", **ECC_PAIR))
    assert (await keystore.exportKeyItem("key", NOTHING)).outData == P256.spki


@pytest.mark.parametrize("form", ["bare", "header with 32", "header with 64"])
async def test_forms_of_private_25519_keys(keystore: huks.Keystore, form: str) -> None:
    """A private key of curve 25519 comes as 32 bare bytes or in the header form, with its public half or not."""
    fields = sample(s.ED25519, 256).fields
    material = {
        "bare": fields["private"],
        "header with 32": header_form(s.ED25519, 256, fields | {"public": b""}),
        "header with 64": header_form(s.ED25519, 256, fields),
    }[form]
    given = key(s.ED25519, 256, s.SIGN, IMPORT_KEY_TYPE=s.PRIVATE)
    await keystore.importKeyItem("private", options(material, **given))
    await keystore.importKeyItem(
        "public", options(fields["public"], **given | {"PURPOSE": s.VERIFY, "IMPORT_KEY_TYPE": s.PUBLIC})
    )
    signature = await run(keystore, "private", last=b"text", ALGORITHM=s.ED25519, PURPOSE=s.SIGN)
    assert await s.verifies(keystore, "public", b"text", signature, ALGORITHM=s.ED25519)


async def test_a_public_key_cannot_do_private_things(keystore: huks.Keystore) -> None:
    """An imported public half of a key agrees on nothing: 401."""
    await keystore.importKeyItem("x", options(X_SAMPLE.exported, **X))
    await keystore.importKeyItem("ecdh", options(P256.spki, **ECDH))
    for alias, given in (("x", AGREE), ("ecdh", session(s.ECDH, s.AGREE, KEY_SIZE=256))):
        with refused(401, "private"):
            await keystore.initSession(alias, options(**given))


# --- export -------------------------------------------------------------------------------------

PUBLIC_FORMS = [
    (key(s.RSA, 2048, s.SIGNATURE), 294, True),
    (key(s.ECC, 224, s.SIGNATURE), 80, True),
    (ECC, 91, True),
    (key(s.ECC, 521, s.SIGNATURE), 158, True),
    (key(s.SM2, 256, s.SIGNATURE), 91, True),
    (X, 32, False),
    (ED, 32, False),
    (key(s.ML_DSA, 44, s.SIGNATURE), 1312 + 22, True),
    (key(s.ML_KEM, 768, s.WRAP | s.UNWRAP), 1184 + 22, True),
    (key(s.ML_KEM, 1024, s.WRAP | s.UNWRAP), 1568 + 22, True),
]


@pytest.mark.parametrize(("made", "length", "is_der"), PUBLIC_FORMS)
async def test_form_of_exports(either: huks.Keystore, made: Params, length: int, is_der: bool) -> None:
    """Public keys come as SubjectPublicKeyInfo of the documented length, those of 25519 as 32 bytes."""
    out = await exported(either, made)
    assert len(out) == length
    if is_der:
        assert out[0] == 0x30


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (key(s.AES, 128, s.CIPHER), 12000003),
        (key(s.AES, 192, s.CIPHER), 401),
        (AES, 401),
        (SM4, 12000003),
        (key(s.HMAC, 8, s.MAC), 12000003),
        (key(s.HMAC, 160, s.MAC), 401),
    ],
)
async def test_symmetric_keys_are_not_exported(either: huks.Keystore, made: Params, code: int) -> None:
    """A symmetric key has no public half: 401 from 20 bytes on, 12000003 below, as on a device."""
    await either.generateKeyItem("key", options(**made))
    with refused(code, "symmetric"):
        await either.exportKeyItem("key", NOTHING)


async def test_export_of_a_private_half(keystore: huks.Keystore) -> None:
    """A private ECC key that came without its point has nothing to export: 12000001."""
    half = key(s.ECC, 256, s.SIGN, IMPORT_KEY_TYPE=s.PRIVATE)
    await keystore.importKeyItem("key", options(P256.blob(x=b"", y=b""), **half))
    with refused(12000001, "public half"):
        await keystore.exportKeyItem("key", NOTHING)
    with refused(12000011):
        await keystore.exportKeyItem("absent", NOTHING)


@pytest.mark.parametrize(
    ("algorithm", "size", "purpose"), [(s.ML_DSA, 44, s.SIGN), (s.ML_KEM, 768, s.UNWRAP)], ids=["dsa", "kem"]
)
async def test_export_of_a_private_lattice_half(
    keystore: huks.Keystore, algorithm: int, size: int, purpose: int
) -> None:
    """A private key of ML-DSA or ML-KEM that came without its public half has nothing to export: 12000003."""
    if algorithm == s.ML_DSA:
        private = pytest.importorskip(
            "dilithium_py.ml_dsa", reason="dilithium-py is not installed"
        ).ML_DSA_44.keygen()[1]
    else:
        private = pytest.importorskip(
            "kyber_py.ml_kem", reason="kyber-py is not installed"
        ).ML_KEM_768.keygen()[1]
    half = header_form(algorithm, size, {"public": b"", "private": private})
    await keystore.importKeyItem(
        "key", options(half, **key(algorithm, size, purpose, IMPORT_KEY_TYPE=s.PRIVATE))
    )
    with refused(12000003, "public half"):
        await keystore.exportKeyItem("key", NOTHING)


# --- properties, aliases, levels ------------------------------------------------------------------


async def test_properties_show_no_key_bytes(either: huks.Keystore) -> None:
    """Every tag given is there, those of one call are not, and no value holds the key."""
    secret = bytes(range(50, 82))
    described = {"ATTESTATION_CHALLENGE": b"kept", "USER_ID": 7, "ALL_USERS": True, "KEY_STORAGE_FLAG": 1}
    given = properties(**AES, KEY_OVERRIDE=True, **described)
    await either.importKeyItem("key", {"properties": given, "inData": secret})
    found = {
        param.tag: param.value for param in (await either.getKeyItemProperties("key", NOTHING)).properties
    }
    for param in given:
        assert (found.get(param["tag"]) == param["value"]) == (param["tag"] != T.HUKS_TAG_KEY_OVERRIDE)
    assert type(found[T.HUKS_TAG_ALL_USERS]) is bool
    assert found[T.HUKS_TAG_KEY_FLAG] == 1
    assert not any(isinstance(value, bytes) and secret in value for value in found.values())


async def test_storage_levels_are_apart(either: huks.Keystore) -> None:
    """The same alias exists once in each level; the level of a call is CE where it says none."""
    for level in (s.DE, s.CE, s.ECE):
        await either.importKeyItem("key", options(bytes([level]) * 32, **AES, AUTH_STORAGE_LEVEL=level))
    outs = [
        await run(either, "key", last=bytes(16), **CBC, AUTH_STORAGE_LEVEL=level)
        for level in (s.DE, s.CE, s.ECE)
    ]
    assert len(set(outs)) == 3
    assert await run(either, "key", last=bytes(16), **CBC) == outs[1]
    await either.deleteKeyItem("key", NOTHING)
    assert not await either.hasKeyItem("key", NOTHING)
    assert await either.hasKeyItem("key", options(AUTH_STORAGE_LEVEL=s.DE))
    with refused(12000011):
        await either.exportKeyItem("key", options(AUTH_STORAGE_LEVEL=s.CE))
    with refused(401, "STORAGE_LEVEL"):
        await either.hasKeyItem("key", options(AUTH_STORAGE_LEVEL=3))


async def test_a_failing_call_keeps_the_old_key(either: huks.Keystore) -> None:
    """Generation and import that fail leave the key that was there, for each kind of failure."""
    await either.importKeyItem("key", options(bytes(32), **AES))
    before = await run(either, "key", last=bytes(16), **CBC)
    for call, given in (
        (either.generateKeyItem, options(**AES | {"KEY_SIZE": 200})),
        (either.generateKeyItem, options(**AES | {"KEY_STORAGE_FLAG": 0})),
        (either.generateKeyItem, options(**key(s.ECDH, 256, s.AGREE))),
        (either.importKeyItem, options(b"short", **AES)),
        (either.importKeyItem, options(P256.blob(z=bytes(32)), **ECC_PAIR)),
    ):
        with pytest.raises(huks.BusinessError):
            await call("key", given)
        assert await run(either, "key", last=bytes(16), **CBC) == before


async def test_import_ignores_the_temporary_flag(either: huks.Keystore) -> None:
    """KEY_STORAGE_FLAG = TEMP is a mistake of generation alone."""
    with refused(401, "HUKS_TAG_KEY_STORAGE_FLAG"):
        await either.generateKeyItem("key", options(**AES, KEY_STORAGE_FLAG=0))
    await either.importKeyItem("key", options(bytes(32), **AES, KEY_STORAGE_FLAG=0))


async def test_list_of_a_device(device: huks.Keystore, keystore: huks.Keystore) -> None:
    """A device lists up to 2048 aliases and refuses more; a server lists all."""
    for store in (device, keystore):
        for number in range(2048):
            await store.generateKeyItem(f"key {number}", options(**AES))
        assert len((await store.listAliases(NOTHING)).keyAliases) == 2048
        await store.generateKeyItem("one more", options(**AES))
    with refused(401, "2048"):
        await device.listAliases(NOTHING)
    assert len((await keystore.listAliases(NOTHING)).keyAliases) == 2049


# --- where derived and agreed keys go ---------------------------------------------------------------

RESULT = {"ALGORITHM": s.AES, "KEY_SIZE": 256, "PURPOSE": s.CIPHER, "KEY_ALIAS": b"result"}
STORED = RESULT | {"DERIVED_AGREED_KEY_STORAGE_FLAG": s.ONLY_IN_HUKS}


async def derive(keystore: huks.Keystore, last: Params, **base: Any) -> bytes:
    """What a derivation gives at finish, from a fresh base key."""
    await keystore.importKeyItem("base", options(bytes(32), **BASE | base))
    handle = (await keystore.initSession("base", options(**HKDF))).handle
    await keystore.updateSession(handle, data(b""))
    try:
        return (await keystore.finishSession(handle, options(**last))).outData
    finally:
        assert await s.is_gone(keystore, handle)


FLAGS: list[tuple[int | None, Params, str]] = [
    (None, {}, "out"),
    (None, {"DERIVED_AGREED_KEY_STORAGE_FLAG": s.EXPORTABLE}, "out"),
    (None, {"DERIVED_AGREED_KEY_STORAGE_FLAG": 77}, "out"),
    (None, {"DERIVED_AGREED_KEY_STORAGE_FLAG": s.ONLY_IN_HUKS}, "stored"),
    (None, {"KEY_STORAGE_FLAG": 1}, "stored"),
    (None, {"KEY_STORAGE_FLAG": 0}, "out"),
    (None, {"KEY_STORAGE_FLAG": 1, "DERIVED_AGREED_KEY_STORAGE_FLAG": s.EXPORTABLE}, "stored"),
    (s.ONLY_IN_HUKS, {"DERIVED_AGREED_KEY_STORAGE_FLAG": s.ONLY_IN_HUKS}, "stored"),
    (s.ONLY_IN_HUKS, {"KEY_STORAGE_FLAG": 1}, "stored"),
    (s.ONLY_IN_HUKS, {}, "refused"),
    (s.ONLY_IN_HUKS, {"DERIVED_AGREED_KEY_STORAGE_FLAG": s.EXPORTABLE}, "refused"),
    (s.EXPORTABLE, {}, "out"),
    (s.EXPORTABLE, {"DERIVED_AGREED_KEY_STORAGE_FLAG": s.EXPORTABLE}, "out"),
    (s.EXPORTABLE, {"DERIVED_AGREED_KEY_STORAGE_FLAG": s.ONLY_IN_HUKS}, "refused"),
]


@pytest.mark.parametrize(("rule", "flags", "expected"), FLAGS)
async def test_where_a_result_goes(
    either: huks.Keystore, rule: int | None, flags: Params, expected: str
) -> None:
    """Stored when either flag of finish asks for it, given out otherwise; the base key's own flag must agree."""
    base = {"DERIVED_AGREED_KEY_STORAGE_FLAG": rule}
    if expected == "refused":
        with refused(12000012, "HUKS_STORAGE_"):
            await derive(either, RESULT | flags, **base)
    else:
        assert len(await derive(either, RESULT | flags, **base)) == (32 if expected == "out" else 0)
    assert await either.hasKeyItem("result", NOTHING) == (expected == "stored")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"KEY_ALIAS": None}, 401),
        ({"KEY_ALIAS": b""}, 401),
        ({"KEY_ALIAS": b"a" * 129}, 401),
        ({"KEY_ALIAS": b"\xff\xfe"}, 401),
        ({"ALGORITHM": None}, 401),
        ({"ALGORITHM": s.RSA}, 401),
        ({"ALGORITHM": s.HKDF}, 401),
        ({"KEY_SIZE": None}, 401),
        ({"KEY_SIZE": 128}, 401),
        ({"PURPOSE": None}, 401),
        ({"ALGORITHM": s.SM4}, 12000003),
        ({"AUTH_STORAGE_LEVEL": 5}, 401),
    ],
    ids=str,
)
async def test_mistakes_with_a_stored_result(either: huks.Keystore, wrong: Params, code: int) -> None:
    """What a stored result needs, and the session is gone after a mistake."""
    with refused(code):
        await derive(either, STORED | wrong)
    assert (await either.listAliases(NOTHING)).keyAliases == ["base"]


async def test_the_old_tags_of_generation(either: huks.Keystore) -> None:
    """KEY_GENERATE_TYPE asks for a way that only generation refuses; a result and an import just keep it."""
    with refused(12000001, "HUKS_TAG_KEY_GENERATE_TYPE"):
        await either.generateKeyItem("key", options(**AES, KEY_GENERATE_TYPE=1))
    await either.generateKeyItem("key", options(**AES, KEY_GENERATE_TYPE=0))
    await either.importKeyItem("key", options(bytes(32), **AES, KEY_GENERATE_TYPE=2))
    old = {"KEY_GENERATE_TYPE": 1, "IS_KEY_ALIAS": True, "KEY_STORAGE_FLAG": 1, "PADDING": s.NOPAD}
    assert await derive(either, RESULT | old | {"BLOCK_MODE": s.CBC}) == b""
    for alias, value in (("key", 2), ("result", 1)):
        found = (await either.getKeyItemProperties(alias, NOTHING)).properties
        assert {param.tag: param.value for param in found}[T.HUKS_TAG_KEY_GENERATE_TYPE] == value
    assert await run(either, "result", last=bytes(16), **CBC)


async def test_a_stored_result_replaces_or_not(either: huks.Keystore) -> None:
    """An older key of the alias is replaced, unless KEY_OVERRIDE is false: 12000017, and it stays."""
    await either.importKeyItem("result", options(bytes(32), **AES))
    before = await run(either, "result", last=bytes(16), **CBC)
    with refused(12000017, "result"):
        await derive(either, STORED | {"KEY_OVERRIDE": False})
    assert await run(either, "result", last=bytes(16), **CBC) == before
    await derive(either, STORED)
    assert await run(either, "result", last=bytes(16), **CBC) != before


AGREEMENTS: dict[str, tuple[Params, Params, bytes, int]] = {
    "ECDH without KEY_SIZE": (ECDH, session(s.ECDH, s.AGREE), P256.spki, 401),
    "ECDH KEY_SIZE of no curve": (ECDH, session(s.ECDH, s.AGREE, KEY_SIZE=255), P256.spki, 401),
    "ECDH with another curve": (
        ECDH,
        session(s.ECDH, s.AGREE, KEY_SIZE=256),
        sample(s.ECC, 384).spki,
        12000006,
    ),
    "ECDH with an RSA key": (
        ECDH,
        session(s.ECDH, s.AGREE, KEY_SIZE=256),
        sample(s.RSA, 2048).spki,
        12000006,
    ),
    "ECDH with an RSA key of PKCS#1": (
        ECDH,
        session(s.ECDH, s.AGREE, KEY_SIZE=256),
        sample(s.RSA, 2048).spki[24:],
        401,
    ),
    "ECDH with a DH key": (ECDH, session(s.ECDH, s.AGREE, KEY_SIZE=256), sample(s.DH, 2048).spki, 12000006),
    "ECDH with an X25519 SPKI": (ECDH, session(s.ECDH, s.AGREE, KEY_SIZE=256), X_SAMPLE.spki, 401),
    "ECDH with an SM2 key": (ECDH, session(s.ECDH, s.AGREE, KEY_SIZE=256), sample(s.SM2, 256).spki, 12000006),
    "X25519 with an SPKI": (X, AGREE, X_SAMPLE.spki, 401),
    "DH without KEY_SIZE": (
        key(s.DH, 2048, s.AGREE),
        session(s.DH, s.AGREE),
        sample(s.DH, 2048).spki,
        12000002,
    ),
    "DH KEY_SIZE over the group": (
        key(s.DH, 2048, s.AGREE),
        session(s.DH, s.AGREE, KEY_SIZE=3072),
        sample(s.DH, 2048).spki,
        12000003,
    ),
    "DH with a curve": (key(s.DH, 2048, s.AGREE), session(s.DH, s.AGREE, KEY_SIZE=2048), P256.spki, 12000006),
    "DH with garbage": (key(s.DH, 2048, s.AGREE), session(s.DH, s.AGREE, KEY_SIZE=2048), b"garbage", 401),
    "DH with nothing": (key(s.DH, 2048, s.AGREE), session(s.DH, s.AGREE, KEY_SIZE=2048), b"", 401),
}


@pytest.mark.parametrize("name", AGREEMENTS)
async def test_mistakes_of_agreement(either: huks.Keystore, name: str) -> None:
    """A peer's key that does not fit is refused at update with its documented code."""
    made, given, peer, code = AGREEMENTS[name]
    await either.generateKeyItem("key", options(**made))
    handle = (await either.initSession("key", options(**given))).handle
    with refused(code):
        await either.updateSession(handle, data(peer))
    assert await s.is_gone(either, handle)


@pytest.mark.parametrize("size", [224, 256, 384, 521])
async def test_ecdh_does_not_compare_key_size(keystore: huks.Keystore, size: int) -> None:
    """KEY_SIZE of an ECDH session is one of the curve sizes, and not compared with the key's."""
    await keystore.generateKeyItem("key", options(**ECDH))
    assert len(await run(keystore, "key", P256.spki, **session(s.ECDH, s.AGREE, KEY_SIZE=size))) == 32


async def test_a_device_gives_2048_bytes_of_properties() -> None:
    """More properties than a device's buffer holds are 401 there, and given in full by a server."""
    more = options(ALGORITHM=s.AES, KEY_SIZE=256, PURPOSE=s.ENCRYPT, ATTESTATION_CHALLENGE=bytes(4000))
    async with huks.Keystore.open(store="memory:") as keystore:
        await keystore.generateKeyItem("k", more)
        assert (await keystore.getKeyItemProperties("k", NOTHING)).properties
    async with huks.Keystore.open(store="memory:", profile="device") as keystore:
        await keystore.generateKeyItem("k", more)
        with refused(401, "2048"):
            await keystore.getKeyItemProperties("k", NOTHING)


async def test_a_device_password_is_asked_for_after_the_algorithm() -> None:
    """A key that needs a device password: first its parameters are checked, then there is none (12000016)."""
    async with huks.Keystore.open(store="memory:") as keystore:
        with refused(12000002, "HUKS_TAG_ALGORITHM"):
            await keystore.generateKeyItem("k", options(IS_DEVICE_PASSWORD_SET=True, KEY_SIZE=256))
        wanting = {"ALGORITHM": s.AES, "KEY_SIZE": 256, "PURPOSE": s.ENCRYPT, "IS_DEVICE_PASSWORD_SET": True}
        with refused(12000016):
            await keystore.generateKeyItem("k", options(**wanting))
        with refused(12000016):
            await keystore.importKeyItem("k", options(bytes(32), **wanting))
        assert not await keystore.hasKeyItem("k", NOTHING)
