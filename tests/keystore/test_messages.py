"""Messages in one call: what they give, what they refuse, and by which rules."""

import asyncio
import hashlib
import hmac
import itertools
import os
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huks_async import (
    AccessRequest,
    BusinessError,
    Caller,
    HuksAuthStorageLevel,
    HuksKeyDigest,
    HuksKeyPadding,
    HuksKeyStorageType,
    HuksLegacyWarning,
    Keystore,
    Limits,
    as_caller,
)
from huks_async.crypto.rules.matrix import ALGORITHMS
from huks_async.keys.items.item import encode_params
from huks_async.messages import recipients, symmetric
from huks_async.messages.deterministic import DeterministicSealer
from huks_async.model.params import ParamSet
from tests.keystore.support import (
    AGREE,
    CBC,
    DECRYPT,
    ENCRYPT,
    GCM,
    SIGN,
    UNWRAP,
    VERIFY,
    WRAP,
    A,
    T,
    key,
    options,
    refused,
    run,
)
from tests.skips import need

pytestmark = pytest.mark.asyncio

DERIVE, MAC = 16, 128
AES = key(A.HUKS_ALG_AES, 256, ENCRYPT | DECRYPT, BLOCK_MODE=GCM)
SM4 = key(A.HUKS_ALG_SM4, 128, ENCRYPT | DECRYPT)
D, PAD = HuksKeyDigest, HuksKeyPadding


@pytest_asyncio.fixture
async def keystore() -> AsyncIterator[Keystore]:
    """A keystore with one key of each kind that messages take."""
    async with Keystore.open("memory:") as opened:
        for alias, values in {
            "aes": AES,
            "other": AES,
            "sm4": SM4,
            "x": key(A.HUKS_ALG_X25519, 256, AGREE),
            "p256": key(A.HUKS_ALG_ECC, 256, AGREE),
            "p384": key(A.HUKS_ALG_ECC, 384, AGREE),
            "k768": key(A.HUKS_ALG_ML_KEM, 768, WRAP | UNWRAP),
            "k1024": key(A.HUKS_ALG_ML_KEM, 1024, WRAP | UNWRAP),
            "hmac": key(A.HUKS_ALG_HMAC, 256, MAC),
            "derive": key(A.HUKS_ALG_AES, 256, DERIVE),
            "ecc": key(A.HUKS_ALG_ECC, 256, SIGN | VERIFY),
        }.items():
            await opened.generateKeyItem(alias, options(**values))
        yield opened


async def public_of(keystore: Keystore, alias: str) -> bytes:
    return (await keystore.exportKeyItem(alias, options())).outData


Maker = Callable[[Keystore, bytes, bytes], Awaitable[bytes]]


async def _seal_to(keystore: Keystore, aliases: list[str], data: bytes, context: bytes) -> bytes:
    publics = [await public_of(keystore, alias) for alias in aliases]
    return await keystore.seal_to(publics if len(publics) > 1 else publics[0], data, context)


MAKERS: dict[str, tuple[str | list[str], Maker]] = {
    "seal": ("aes", lambda k, d, c: k.seal("aes", d, c)),
    "sm4": ("sm4", lambda k, d, c: k.seal("sm4", d, c)),
    "deterministic": ("aes", lambda k, d, c: k.seal_deterministic("aes", d, c)),
    "x25519": ("x", lambda k, d, c: _seal_to(k, ["x"], d, c)),
    "p256": ("p256", lambda k, d, c: _seal_to(k, ["p256"], d, c)),
    "ml-kem": ("k768", lambda k, d, c: _seal_to(k, ["k768"], d, c)),
    "hybrid": (["x", "k768"], lambda k, d, c: _seal_to(k, ["k768", "x"], d, c)),
    "hybrid-1024": (["k1024", "p384"], lambda k, d, c: _seal_to(k, ["p384", "k1024"], d, c)),
}
KINDS = pytest.mark.parametrize("kind", MAKERS)


@KINDS
async def test_what_was_sealed_is_opened(keystore: Keystore, kind: str) -> None:
    """Any data, any context, any object that has bytes."""
    alias, make = MAKERS[kind]
    for data, context in itertools.product((b"", b"x", os.urandom(70_000)), (b"", b"row 7")):
        assert await keystore.unseal(alias, await make(keystore, data, context), context) == data
    sealed = await make(keystore, memoryview(bytearray(b"abcd"))[1:3], bytearray(b"c"))
    assert await keystore.unseal(alias, bytearray(sealed), memoryview(b"c")) == b"bc"


@KINDS
async def test_whatever_does_not_belong_is_refused_alike(keystore: Keystore, kind: str) -> None:
    """Each bit of what stands before the data, each length, each other context and kind: one code, one text."""
    alias, make = MAKERS[kind]
    sealed = await make(keystore, b"ten bytes.", b"context")
    slow = kind not in ("seal", "sm4", "deterministic")
    wrong: list[tuple[bytes, bytes]] = []
    for place in range(len(sealed)):
        for bit in (0, 7) if slow and place > 16 else range(8):
            changed = bytearray(sealed)
            changed[place] ^= 1 << bit
            wrong.append((bytes(changed), b"context"))
    if slow:
        wrong = wrong[:160] + wrong[160::23] + wrong[-60:]
    wrong += [(sealed[:length], b"context") for length in range(0, len(sealed), 7 if slow else 1)]
    wrong += [(sealed + b"\0", b"context"), (sealed[1:], b"context"), (b"", b""), (b"HM\x01", b"")]
    wrong += [(sealed, other) for other in (b"", b"contex", b"context\0", b"Context")]
    wrong += [
        (sealed[:3] + bytes((each,)) + sealed[4:], b"context") for each in range(256) if each != sealed[3]
    ]
    messages = set()
    for each, context in wrong:
        messages.add((await refused(keystore.unseal(alias, each, context), 12000006)).message)
    assert len(messages) == 1
    assert await keystore.unseal(alias, sealed, b"context") == b"ten bytes."


async def test_messages_of_one_key_and_kind_open_with_no_other(keystore: Keystore) -> None:
    """Every message under every key: its own opens it, the others say the same."""
    made = {kind: await make(keystore, b"data", b"") for kind, (_, make) in MAKERS.items()}
    made["data-key"] = (await keystore.data_key("aes"))[1]
    aliases: list[str | list[str]] = [
        "aes",
        "other",
        "sm4",
        "x",
        "p256",
        "k768",
        ["k768", "x"],
        ["k1024", "p384"],
    ]
    opened = set()
    for (kind, sealed), alias in itertools.product(made.items(), aliases):
        try:
            await keystore.unseal(alias, sealed)
            opened.add((kind, str(alias)))
        except BusinessError as error:
            assert error.code == 12000006, (kind, alias, error)
    assert opened == {
        ("seal", "aes"),
        ("deterministic", "aes"),
        ("data-key", "aes"),
        ("sm4", "sm4"),
        ("x25519", "x"),
        ("p256", "p256"),
        ("ml-kem", "k768"),
        ("hybrid", "['k768', 'x']"),
        ("hybrid-1024", "['k1024', 'p384']"),
    }


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=300), context=st.binary(max_size=40), draw=st.data())
async def test_any_change_of_any_message_is_refused(data: bytes, context: bytes, draw: st.DataObject) -> None:
    """Changed, cut, extended, spliced, with another context: refused, and never another exception."""
    async with Keystore.open("memory:", monitor=False, load_all=False) as keystore:
        await keystore.generateKeyItem("aes", options(**AES))
        make = draw.draw(st.sampled_from([keystore.seal, keystore.seal_deterministic]))
        sealed = await make("aes", data, context)
        start = draw.draw(st.integers(0, len(sealed)))
        length = draw.draw(st.integers(0, len(sealed) - start))
        changed = sealed[:start] + draw.draw(st.binary(max_size=20)) + sealed[start + length :]
        other = draw.draw(st.one_of(st.just(context), st.binary(max_size=40)))
        if (changed, other) == (sealed, context):
            assert await keystore.unseal("aes", changed, other) == data
        else:
            await refused(keystore.unseal("aes", changed, other), 12000006)


@pytest.mark.parametrize("alias", ["aes", "sm4"])
@pytest.mark.parametrize("length", [1024 * 1024 - 7, 1024 * 1024 + 1, 5_000_000])
async def test_long_messages_are_the_same_as_short_ones(keystore: Keystore, alias: str, length: int) -> None:
    """What is done in a worker opens what is done at once, and is refused alike."""
    data = os.urandom(length)
    sealed = await keystore.seal(alias, data, b"c")
    assert await keystore.unseal(alias, sealed, b"c") == data
    sealed = await keystore.seal(alias, bytearray(data), b"c")
    assert await keystore.unseal(alias, memoryview(bytearray(sealed)), b"c") == data
    for changed in (
        sealed[:-1],
        sealed[:200] + b"\0\0\0\0\0\0\0\0" + sealed[208:],
        sealed[:30] + b"\0" * 8 + sealed[38:],
    ):
        await refused(keystore.unseal(alias, changed, b"c"), 12000006)
    await refused(keystore.unseal(alias, sealed, b"d"), 12000006)


@pytest.mark.parametrize("length", [1, 256 * 1024])
async def test_a_long_context_of_a_deterministic_message_does_not_hold_the_loop(
    keystore: Keystore, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """It is worked on in another thread, as the data is."""
    threads, seal = [], DeterministicSealer.seal

    def noted(self: DeterministicSealer, data: bytes, context: bytes) -> bytes:
        threads.append(threading.get_ident())
        return seal(self, data, context)

    monkeypatch.setattr(DeterministicSealer, "seal", noted)
    data, context = bytes(length), bytes(1024 * 1024)
    sealed = await keystore.seal_deterministic("aes", data, context)
    assert threads[0] != threading.get_ident()
    assert await keystore.unseal("aes", sealed, context) == data
    await keystore.seal_deterministic("aes", b"short", b"context")
    assert threads[1] == threading.get_ident()


@pytest.mark.parametrize("kind", ["x25519", "ml-kem"])
async def test_a_long_context_of_a_message_to_a_recipient_does_not_hold_the_loop(
    keystore: Keystore, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It is hashed in another thread, when the message is made and when it is opened."""
    threads = []
    suite = recipients._Form.suite

    def noted(self: recipients._Form) -> object:
        threads.append(threading.get_ident())
        return suite(self)

    monkeypatch.setattr(recipients._Form, "suite", noted)
    alias, make = MAKERS[kind]
    context = bytes(1024 * 1024)
    assert await keystore.unseal(alias, await make(keystore, b"short", context), context) == b"short"
    assert len(threads) == 2
    assert threading.get_ident() not in threads
    assert await keystore.unseal(alias, await make(keystore, b"short", b"context"), b"context") == b"short"
    assert threads[2:] == [threading.get_ident()] * 2


async def test_equal_data_shows_in_deterministic_messages_alone(keystore: Keystore) -> None:
    """Same data, key and context: the same bytes, in another process too; with seal never."""
    sealed = [await keystore.seal("aes", b"data", b"c") for _ in range(3)]
    assert len({each[56:] for each in sealed}) == 3
    found = {await keystore.seal_deterministic("aes", b"data", b"c") for _ in range(3)}
    assert len(found) == 1
    assert await keystore.seal_deterministic("aes", b"data", b"d") not in found
    assert await keystore.seal_deterministic("other", b"data", b"c") not in found


async def test_a_salt_serves_a_bounded_number_of_messages(
    keystore: Keystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then another one is taken, and messages of all of them open, also beyond those that are kept."""
    monkeypatch.setattr(symmetric, "_MESSAGES_UNDER_ONE_SALT", 2)
    monkeypatch.setattr(symmetric, "_SALTS_KEPT", 3)
    sealed = [await keystore.seal("other", bytes((n,))) for n in range(12)]
    assert len({each[8:24] for each in sealed}) == 6
    assert len({each[56:68] for each in sealed}) == 12
    for _ in range(2):
        assert [await keystore.unseal("other", each) for each in sealed] == [bytes((n,)) for n in range(12)]


async def test_a_data_key_is_32_random_bytes_and_what_unseal_gives(keystore: Keystore) -> None:
    """Fresh each time; bound to its context; opened by nobody else."""
    pairs = [await keystore.data_key("aes", b"bucket") for _ in range(4)]
    assert len({plain for plain, _ in pairs}) == 4
    for plain, wrapped in pairs:
        assert len(plain) == 32
        assert plain not in wrapped
        assert await keystore.unseal("aes", wrapped, b"bucket") == plain
        await refused(keystore.unseal("aes", wrapped), 12000006)
        await refused(keystore.unseal("other", wrapped, b"bucket"), 12000006)
    plain, wrapped = await keystore.data_key("sm4")
    assert await keystore.unseal("sm4", wrapped) == plain


# --- signatures, codes, derivation ---------------------------------------------------------------

SIGNING: dict[str, dict[str, Any]] = {
    "rsa": key(A.HUKS_ALG_RSA, 2048, SIGN | VERIFY),
    "rsa-pkcs1": key(
        A.HUKS_ALG_RSA, 2048, SIGN | VERIFY, PADDING=PAD.HUKS_PADDING_PKCS1_V1_5, DIGEST=D.HUKS_DIGEST_SHA512
    ),
    "p224": key(A.HUKS_ALG_ECC, 224, SIGN | VERIFY),
    "p256": key(A.HUKS_ALG_ECC, 256, SIGN | VERIFY, DIGEST=D.HUKS_DIGEST_SHA384),
    "p384": key(A.HUKS_ALG_ECC, 384, SIGN | VERIFY),
    "p521": key(A.HUKS_ALG_ECC, 521, SIGN | VERIFY),
    "ed25519": key(A.HUKS_ALG_ED25519, 256, SIGN | VERIFY),
    "sm2": key(A.HUKS_ALG_SM2, 256, SIGN | VERIFY),
    "ml-dsa": key(A.HUKS_ALG_ML_DSA, 65, SIGN | VERIFY),
}


@pytest.mark.parametrize("name", SIGNING)
async def test_a_signature_verifies_and_nothing_else_does(name: str) -> None:
    """Of short and of long messages; another message, key, length or bit: 12000006."""
    async with Keystore.open("memory:") as keystore:
        for alias in ("mine", "yours"):
            await keystore.generateKeyItem(alias, options(**SIGNING[name]))
        for data in (b"", b"message", os.urandom(3_000_000)):
            signature = await keystore.sign("mine", data)
            await keystore.verify("mine", bytearray(data), bytearray(signature))
            for wrong in (
                b"",
                b"\0",
                signature[:-1],
                signature + b"\0",
                signature[1:],
                bytes(len(signature)),
                bytes(10_000),
            ):
                await refused(keystore.verify("mine", data, wrong), 12000006)
            for place in range(0, len(signature), 1 + len(signature) // 40):
                changed = signature[:place] + bytes((signature[place] ^ 1,)) + signature[place + 1 :]
                await refused(keystore.verify("mine", data, changed), 12000006)
            await refused(keystore.verify("mine", data + b".", signature), 12000006)
            await refused(keystore.verify("yours", data, signature), 12000006)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("rsa", ["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]),
        ("rsa-pkcs1", ["-sha512"]),
        ("p224", ["-sha256"]),
        ("p256", ["-sha384"]),
        ("p384", ["-sha384"]),
        ("p521", ["-sha512"]),
    ],
)
async def test_openssl_verifies_with_the_documented_defaults(
    name: str, arguments: list[str], tmp_path: Path
) -> None:
    """What the key leaves open is as the documentation says."""
    need("openssl")
    async with Keystore.open("memory:") as keystore:
        await keystore.generateKeyItem("k", options(**SIGNING[name]))
        (tmp_path / "public.der").write_bytes(await public_of(keystore, "k"))
        (tmp_path / "signature").write_bytes(await keystore.sign("k", b"message"))
    (tmp_path / "data").write_bytes(b"message")
    done = await anyio.run_process(
        [
            "openssl",
            "dgst",
            *arguments,
            "-keyform",
            "DER",
            "-verify",
            "public.der",
            "-signature",
            "signature",
            "data",
        ],
        cwd=tmp_path,
        check=False,
    )
    assert done.stdout == b"Verified OK\n", done.stderr


async def test_a_session_verifies_what_sign_made(keystore: Keystore) -> None:
    """And sign is verified by the bare library; a key that fixes no digest signs a hash."""
    signature = await keystore.sign("ecc", b"message")
    public = load_der_public_key(await public_of(keystore, "ecc"))
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature, b"message", ec.ECDSA(hashes.SHA256()))
    values = key(A.HUKS_ALG_ECC, 256, SIGN | VERIFY, DIGEST=D.HUKS_DIGEST_NONE)
    await keystore.generateKeyItem("none", options(**values))
    digest = hashlib.sha256(b"message").digest()
    await keystore.verify("none", digest, await keystore.sign("none", digest))
    assert "hash value" in (await refused(keystore.sign("none", b"message"), 401)).message


MACS: dict[str, tuple[dict[str, Any], Callable[[bytes, bytes], bytes] | None]] = {
    "hmac": (key(A.HUKS_ALG_HMAC, 256, MAC), lambda k, d: hmac.digest(k, d, "sha256")),
    "hmac-sha512": (
        key(A.HUKS_ALG_HMAC, 256, MAC, DIGEST=D.HUKS_DIGEST_SHA512),
        lambda k, d: hmac.digest(k, d, "sha512"),
    ),
    "aes": (key(A.HUKS_ALG_AES, 256, MAC), lambda k, d: hmac.digest(k, d, "sha256")),
    "sm3": (key(A.HUKS_ALG_SM3, 256, MAC), None),
}


@pytest.mark.parametrize("name", MACS)
@pytest.mark.parametrize("length", [0, 10, 2_000_000])
async def test_a_code_is_that_of_the_standard_library(name: str, length: int) -> None:
    """And check_mac takes it, and nothing else; a shorter one is wrong."""
    values, expected = MACS[name]
    secret, data = os.urandom(32), os.urandom(length)
    async with Keystore.open("memory:") as keystore:
        await keystore.importKeyItem("k", options(secret, **values))
        code = await keystore.mac("k", data)
        if expected is not None:
            assert code == expected(secret, data)
        else:
            h = hmac.new(secret, data, "sm3") if "sm3" in hashlib.algorithms_available else None
            assert h is None or h.digest() == code
        await keystore.check_mac("k", data, code)
        for wrong in (b"", code[:-1], code + b"\0", bytes(len(code)), bytes((code[0] ^ 1,)) + code[1:]):
            await refused(keystore.check_mac("k", data, wrong), 12000006)
        await refused(keystore.check_mac("k", data + b".", code), 12000006)


async def test_cmac_is_that_of_openssl(tmp_path: Path) -> None:
    """CMAC with 3DES, whose warning comes each time."""
    need("openssl")
    secret = bytes(range(1, 17))
    async with Keystore.open("memory:") as keystore:
        await keystore.importKeyItem("k", options(secret, **key(A.HUKS_ALG_CMAC, 128, MAC)))
        for _ in range(2):
            with pytest.warns(HuksLegacyWarning) as caught:
                code = await keystore.mac("k", b"message")
            assert caught[0].filename == __file__
    done = await anyio.run_process(
        [
            "openssl",
            "mac",
            "-cipher",
            "DES-EDE3-CBC",
            "-macopt",
            f"hexkey:{(secret + secret[:8]).hex()}",
            "CMAC",
        ],
        input=b"message",
    )
    assert bytes.fromhex(done.stdout.decode().strip()) == code


@pytest.mark.parametrize("length", [1, 16, 32, 77, 8160])
@pytest.mark.parametrize("context", [b"", b"files/2026"])
async def test_derive_is_hkdf(length: int, context: bytes) -> None:
    """RFC 5869 with SHA-256, no salt, and the context as info."""
    secret = os.urandom(32)
    async with Keystore.open("memory:") as keystore:
        await keystore.importKeyItem("k", options(secret, **key(A.HUKS_ALG_AES, 256, DERIVE)))
        expected = HKDF(hashes.SHA256(), length, None, context).derive(secret)
        assert await keystore.derive("k", context, length) == expected
        assert await keystore.derive("k", context, length) == expected


async def test_a_length_that_cannot_be_derived_is_named(keystore: Keystore) -> None:
    """Too short, too long, or no number."""
    for length, code in ((0, 401), (-1, 401), (8161, 12000006), (10**9, 401), (2**80, 401)):
        assert "derive" in (await refused(keystore.derive("derive", b"", length), code)).message
    for length in (True, "16", 16.0, None):
        await refused(keystore.derive("derive", b"", length), 401)  # type: ignore[arg-type]


# --- rules ---------------------------------------------------------------------------------------


async def test_keys_keep_to_their_purposes_and_modes(keystore: Keystore) -> None:
    """A key for one direction, a mode or a digest of its own, or half a pair: refused with the session's code."""
    for alias, values in {
        "encrypt": key(A.HUKS_ALG_AES, 256, ENCRYPT),
        "decrypt": key(A.HUKS_ALG_AES, 256, DECRYPT),
        "cbc": key(A.HUKS_ALG_AES, 256, ENCRYPT | DECRYPT, BLOCK_MODE=CBC),
        "pkcs7": key(A.HUKS_ALG_AES, 256, ENCRYPT | DECRYPT, PADDING=PAD.HUKS_PADDING_PKCS7),
        "sign": key(A.HUKS_ALG_ECC, 256, SIGN),
        "verify": key(A.HUKS_ALG_ECC, 256, VERIFY),
        "wrap": key(A.HUKS_ALG_ML_KEM, 768, WRAP),
        "unwrap-ecc": key(A.HUKS_ALG_ECC, 256, UNWRAP),
        "p224": key(A.HUKS_ALG_ECC, 224, AGREE),
    }.items():
        await keystore.generateKeyItem(alias, options(**values))
    sealed = await keystore.seal("encrypt", b"data")
    assert "DECRYPT" in (await refused(keystore.unseal("encrypt", sealed), 401)).message
    for make in (keystore.seal, keystore.seal_deterministic, keystore.data_key):
        arguments = () if make == keystore.data_key else (b"data",)
        for alias in ("decrypt", "cbc"):
            assert "ENCRYPT" in (await refused(make(alias, *arguments), 401)).message
        await refused(make("pkcs7", *arguments), 401)
        for alias in ("hmac", "derive", "x", "ecc", "k768"):
            await refused(make(alias, *arguments), 401 if alias == "derive" else 12000003)
    await refused(keystore.seal_deterministic("sm4", b""), 12000003)
    await refused(keystore.verify("sign", b"", bytes(70)), 401)
    await refused(keystore.sign("verify", b""), 401)
    for alias in ("wrap", "ecc", "unwrap-ecc"):
        await refused(keystore.unseal(alias, sealed), 401)
    await refused(keystore.unseal("p224", sealed), 12000003)
    await refused(keystore.unseal("hmac", sealed), 12000003)
    for aliases in (["x", "p256"], ["k768", "p384"], ["k768", "aes"], ["x", "x"]):
        await refused(keystore.unseal(aliases, sealed), 12000003)
    for aliases in ([], ["x"], ["x", "k768", "p256"], 7, None, b"x"):
        await refused(keystore.unseal(aliases, sealed), 401)  # type: ignore[arg-type]
    await keystore.importKeyItem(
        "public", options(await public_of(keystore, "x"), **key(A.HUKS_ALG_X25519, 256, AGREE))
    )
    assert "private half" in (await refused(keystore.unseal("public", sealed), 401)).message


@pytest.mark.parametrize("flag", [None, *(int(each) for each in HuksKeyStorageType)])
async def test_what_a_key_keeps_inside_no_message_gives_out(keystore: Keystore, flag: int | None) -> None:
    """A key says where its results go: a message gives out what a session would, and ends alike where it may not."""
    kept = {} if flag is None else {"DERIVED_AGREED_KEY_STORAGE_FLAG": flag}
    secret = os.urandom(32)
    base = key(A.HUKS_ALG_AES, 256, DERIVE, DIGEST=int(D.HUKS_DIGEST_SHA256), **kept)
    await keystore.importKeyItem("base", options(secret, **base))
    values = {"DIGEST": int(D.HUKS_DIGEST_SHA256), "DERIVE_KEY_SIZE": 32, "INFO": b"context"}

    async def derived() -> bytes:
        opened = options(**key(A.HUKS_ALG_HKDF, 256, DERIVE, **values))
        async with keystore.session("base", opened) as session:
            await session.update(b"")
            return await session.finish()

    if flag == HuksKeyStorageType.HUKS_STORAGE_ONLY_USED_IN_HUKS:
        await refused(derived(), 12000012)
        for _ in range(2):
            message = (await refused(keystore.derive("base", b"context", 32), 12000012)).message
            assert "ONLY_USED_IN_HUKS" in message, message
            assert "store it as a key" in message, "the way out, and not that it takes another key"
            assert "it takes" not in message
    else:
        expected = HKDF(hashes.SHA256(), 32, None, b"context").derive(secret)
        assert await derived() == await keystore.derive("base", b"context", 32) == expected
    # what is no secret of the key goes out whatever the flag says, as from a session
    for alias, values in {
        "flagged-x": key(A.HUKS_ALG_X25519, 256, AGREE, **kept),
        "flagged-mac": key(A.HUKS_ALG_HMAC, 256, MAC, **kept),
        "flagged-aes": AES | kept,
    }.items():
        await keystore.generateKeyItem(alias, options(**values))
    sealed = await keystore.seal_to(await public_of(keystore, "flagged-x"), b"data")
    assert await keystore.unseal("flagged-x", sealed) == b"data"
    assert await keystore.unseal("flagged-aes", await keystore.seal("flagged-aes", b"data")) == b"data"
    assert len(await keystore.mac("flagged-mac", b"data")) == 32


async def test_public_keys_that_are_none_are_named(keystore: Keystore) -> None:
    """Bytes of no key: 401; keys of other algorithms, and pairs that are none: 12000003."""
    for alias, values in {
        "rsa": key(A.HUKS_ALG_RSA, 2048, SIGN | VERIFY),
        "ed": key(A.HUKS_ALG_ED25519, 256, SIGN | VERIFY),
        "p224": key(A.HUKS_ALG_ECC, 224, AGREE),
    }.items():
        await keystore.generateKeyItem(alias, options(**values))
    x, p256, k768 = [await public_of(keystore, each) for each in ("x", "p256", "k768")]
    for wrong in (b"", b"\0" * 31, p256[:-1], os.urandom(91), "key", None, [], [x], [x, k768, x]):
        assert "public_key" in (await refused(keystore.seal_to(wrong, b""), 401)).message  # type: ignore[arg-type]
    for other in (
        await public_of(keystore, "rsa"),
        await public_of(keystore, "p224"),
        [x, p256],
        [x, x],
        [k768, k768],
    ):
        assert "ML-KEM-768" in (await refused(keystore.seal_to(other, b""), 12000003)).message
    # a point of low order, with which everybody agrees on zeros
    await refused(keystore.seal_to(bytes(32), b""), 12000006)


async def test_every_algorithm_under_every_function(keystore: Keystore) -> None:
    """Works, or is refused with a documented code and a message that names function, key and way out."""
    size = {A.HUKS_ALG_RSA: 2048, A.HUKS_ALG_DSA: 2048, A.HUKS_ALG_DH: 2048}
    worked = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HuksLegacyWarning)
        for number, algorithm in ALGORITHMS.items():
            for usage in algorithm.usages:
                sizes = usage.sizes or algorithm.sizes
                first = sizes[-1].stop - 8 if isinstance(sizes[-1], range) else sizes[-1]
                bits = size.get(algorithm.number, 256 if first > 4096 else first)
                alias = f"{algorithm.number.name[9:]}-{usage.purposes}"
                await keystore.generateKeyItem(alias, options(**key(number, bits, usage.purposes)))
                for name, call in {
                    "seal": lambda a=alias: keystore.seal(a, b"data"),
                    "unseal": lambda a=alias: keystore.unseal(a, bytes(200)),
                    "data_key": lambda a=alias: keystore.data_key(a),
                    "seal_deterministic": lambda a=alias: keystore.seal_deterministic(a, b"data"),
                    "sign": lambda a=alias: keystore.sign(a, b"data"),
                    "verify": lambda a=alias: keystore.verify(a, b"data", bytes(64)),
                    "mac": lambda a=alias: keystore.mac(a, b"data"),
                    "check_mac": lambda a=alias: keystore.check_mac(a, b"data", bytes(32)),
                    "derive": lambda a=alias: keystore.derive(a, b"context", 16),
                }.items():
                    try:
                        await call()
                    except BusinessError as error:
                        if error.code == 12000006 and name in ("unseal", "verify", "check_mac"):
                            worked.add((alias, name))  # the key serves it, and what was given is wrong
                            continue
                        assert error.code in (401, 12000001, 12000003), (alias, name, error)
                        assert name in error.message, (alias, name, error)
                        assert alias in error.message, (alias, name, error)
                        assert "made for" in error.message, (alias, name, error)
                    else:
                        worked.add((alias, name))
    sealing, signing, macs = ("seal", "unseal", "data_key"), ("sign", "verify"), ("mac", "check_mac")
    expected = {("AES-3", name) for name in (*sealing, "seal_deterministic")} | {
        ("SM4-3", name) for name in sealing
    }
    expected |= {
        (f"{each}-12", name) for each in ("RSA", "ECC", "DSA", "ED25519", "SM2", "ML_DSA") for name in signing
    }
    expected |= {
        (f"{each}-{MAC}", name) for each in ("AES", "DES", "3DES", "HMAC", "SM3", "CMAC") for name in macs
    }
    expected |= {(f"{each}-{DERIVE}", "derive") for each in ("AES", "DES", "3DES")}
    expected |= {("X25519-256", "unseal"), ("ECC-256", "unseal"), ("ML_KEM-96", "unseal")}
    assert worked == expected


async def test_a_key_that_needs_authentication_is_refused(keystore: Keystore) -> None:
    """12000001, as for all work without a session: none of the functions has a place for a token."""
    state = keystore._open_state()

    async def protect(alias: str, copy: str, **values: int) -> None:
        item = await state.shelf.find(alias, 1)
        numbers = item.params.numbers | {int(T[f"HUKS_TAG_{name}"]): value for name, value in values.items()}
        await state.shelf.save(
            copy, 1, encode_params(ParamSet(numbers, item.params.blobs)), item.material, override=True
        )

    for alias in ("aes", "ecc", "hmac", "derive", "x", "k768"):
        await protect(alias, f"auth-{alias}", USER_AUTH_TYPE=1)
    sealed = await keystore.seal("aes", b"data")
    for call in (
        keystore.seal("auth-aes", b""),
        keystore.unseal("auth-aes", sealed),
        keystore.data_key("auth-aes"),
        keystore.seal_deterministic("auth-aes", b""),
        keystore.sign("auth-ecc", b""),
        keystore.verify("auth-ecc", b"", b"\0"),
        keystore.mac("auth-hmac", b""),
        keystore.check_mac("auth-hmac", b"", b""),
        keystore.derive("auth-derive", b"", 16),
        keystore.unseal("auth-x", sealed),
        keystore.unseal("auth-k768", sealed),
        keystore.unseal(["k768", "auth-x"], sealed),
    ):
        assert "works in sessions" in (await refused(call, 12000001)).message
    await protect("aes", "free", USER_AUTH_TYPE=1, NO_AUTH_REQUIRED=1)
    assert await keystore.unseal("free", await keystore.seal("free", b"x")) == b"x"


async def test_an_alias_at_several_levels(keystore: Keystore) -> None:
    """Each level has its own key, ready or not, in any order; a level that is no int is refused even when ready."""
    levels: list[Any] = [0, 1, 2]
    for level in levels:
        await keystore.generateKeyItem("many", options(**AES, AUTH_STORAGE_LEVEL=level))
    levels += [HuksAuthStorageLevel(level) for level in levels]
    for _ in range(3):
        for level, other in itertools.product(levels, levels):
            sealed = await keystore.seal("many", b"data", level=level)
            if level == other:
                assert await keystore.unseal("many", sealed, level=other) == b"data"
            else:
                await refused(keystore.unseal("many", sealed, level=other), 12000006)
            for wrong in (True, 1.0, 0.0, "1", None, 3, -(10**5000)):
                await refused(keystore.seal("many", b"data", level=wrong), 401)
    await keystore.deleteKeyItem("many", options(AUTH_STORAGE_LEVEL=2))
    await refused(keystore.seal("many", b"data", level=2), 12000011)
    for level in (0, 1, 1, 0):
        sealed = await keystore.seal("many", b"data", level=level)
        assert await keystore.unseal("many", sealed, level=level) == b"data"


async def test_a_level_beyond_printing(keystore: Keystore) -> None:
    """Of thousands of digits, which the interpreter refuses to print: 401, as for any other wrong level."""
    level = 10**5000
    for call in (
        keystore.seal("aes", b"", level=level),
        keystore.unseal("aes", b"", level=level),
        keystore.data_key("aes", level=level),
        keystore.seal_deterministic("aes", b"", level=level),
        keystore.sign("ecc", b"", level=level),
        keystore.verify("ecc", b"", b"", level=level),
        keystore.mac("hmac", b"", level=level),
        keystore.check_mac("hmac", b"", b"", level=level),
        keystore.derive("derive", b"", 16, level=level),
    ):
        assert "int of" in (await refused(call, 401)).message


async def test_arguments_of_wrong_types_are_named(keystore: Keystore) -> None:
    """Data, context, alias and level; with a key that is ready and with one that is not."""
    for _ in range(2):
        for wrong in (None, "text", 7, [b"x"], memoryview(bytes(8)).cast("I")):
            for call in (
                keystore.seal("aes", wrong),
                keystore.unseal("aes", wrong),
                keystore.seal_deterministic("aes", wrong),
                keystore.sign("ecc", wrong),
                keystore.verify("ecc", wrong, b"s"),
                keystore.verify("ecc", b"", wrong),
                keystore.mac("hmac", wrong),
                keystore.check_mac("hmac", b"", wrong),
                keystore.derive("derive", wrong, 16),
                keystore.seal("aes", b"", wrong),
                keystore.unseal("aes", b"", wrong),
                keystore.data_key("aes", wrong),
                keystore.seal_to(bytes(32), b"", wrong),
            ):
                await refused(call, 401)
        for alias in ("", 7, None, {}, b"aes", "x" * 129, "\ud800"):
            for make in (keystore.seal, keystore.mac, keystore.sign, keystore.seal_deterministic):
                await refused(make(alias, b""), 401)
        for level in (9, -1, "1", None, 1.0):
            await refused(keystore.seal("ecc", b"", level=level), 401)
            await refused(keystore.seal("aes", b"", level=level), 401)
        await refused(keystore.seal("absent", b""), 12000011)
        await refused(keystore.seal("aes", b"", level=0), 12000011)
        await keystore.seal("aes", b"data")
        await keystore.unseal("aes", await keystore.seal("aes", b"data"))


async def test_too_much_is_refused_and_named() -> None:
    """The limit of a call; what cannot be cut into parts; a context that is none."""
    async with Keystore.open("memory:", limits=Limits(max_call_bytes=2_000_000)) as keystore:
        await keystore.generateKeyItem("aes", options(**AES))
        await keystore.generateKeyItem("ecc", options(**key(A.HUKS_ALG_ECC, 256, SIGN | VERIFY)))
        assert len(await keystore.seal("aes", bytes(2_000_000))) == 2_000_084
        assert await keystore.unseal("aes", await keystore.seal("aes", bytes(2_000_000))) == bytes(2_000_000)
        for call in (
            keystore.seal("aes", bytes(2_000_001)),
            keystore.unseal("aes", (await keystore.seal("aes", b""))[:68] + bytes(2_000_020)),
            keystore.sign("ecc", bytes(2_000_001)),
            keystore.verify("ecc", bytes(2_000_001), b"s"),
            keystore.seal_deterministic("aes", bytes(256 * 1024 + 1)),
            keystore.seal_to(bytes(range(32)), bytes(1024 * 1024 + 1)),
            keystore.seal("aes", b"", bytes(1024 * 1024 + 1)),
            keystore.unseal("aes", b"", bytes(1024 * 1024 + 1)),
        ):
            assert "bytes" in (await refused(call, 401)).message


MIB = 1024 * 1024
SEALED_TO = {
    "x": (["x"], 32),
    "p256": (["p256"], 65),
    "p384": (["p384"], 97),
    "p521": (["p521"], 133),
    "k768": (["k768"], 1088),
    "k1024": (["k1024"], 1568),
    "hybrid": (["k768", "x"], 1120),
    "hybrid-1024": (["k1024", "p384"], 1665),
}
"""Each way to seal to public keys: the keys, and the bytes of the encapsulated key."""


@pytest.mark.parametrize("kind", SEALED_TO)
@pytest.mark.parametrize("most", [MIB, 5000, 20])
async def test_the_longest_messages_to_public_keys_are_opened(kind: str, most: int) -> None:
    """1 MiB, or the limit of a call if that is less, with the longest context; one byte more is refused."""
    aliases, encapsulated = SEALED_TO[kind]
    limits = Limits() if most == MIB else Limits(max_call_bytes=most)
    async with Keystore.open("memory:", limits=limits) as keystore:
        for alias in aliases:
            values = {
                "x": key(A.HUKS_ALG_X25519, 256, AGREE),
                "p": key(A.HUKS_ALG_ECC, int(alias[1:] or 0), AGREE),
                "k": key(A.HUKS_ALG_ML_KEM, int(alias[1:] or 0), WRAP | UNWRAP),
            }[alias[0]]
            await keystore.generateKeyItem(alias, options(**values))
        data, context = os.urandom(most), bytes(MIB)
        opening: str | list[str] = aliases if len(aliases) > 1 else aliases[0]
        for length in (
            most,
            most - 1,
            most - encapsulated,
            most - encapsulated - 16,
            most - encapsulated - 17,
        ):
            if length >= 0:
                sealed = await _seal_to(keystore, aliases, data[:length], context)
                assert len(sealed) == 8 + encapsulated + length + 16
                assert await keystore.unseal(opening, sealed, context) == data[:length]
        await refused(_seal_to(keystore, aliases, data + b"x", b""), 401)
        await refused(_seal_to(keystore, aliases, data, context + b"x"), 401)
        sealed = await _seal_to(keystore, aliases, data, b"")
        await refused(keystore.unseal(opening, sealed + b"x", b""), 12000006 if most == MIB else 401)
        await refused(keystore.unseal(opening, sealed[:-1] + bytes([sealed[-1] ^ 1]), b""), 12000006)


@pytest.mark.parametrize("most", [64 * MIB, 2 * MIB, 5000, 20, 1])
async def test_messages_at_their_limits_are_served(most: int) -> None:
    """All other functions at the most data and the longest context, and one byte beyond either."""
    limits = Limits(max_call_bytes=most)
    assert Limits().max_call_bytes == 64 * MIB
    async with Keystore.open("memory:", limits=limits) as keystore:
        for alias, values in {
            "aes": AES,
            "sm4": SM4,
            "hmac": key(A.HUKS_ALG_HMAC, 256, MAC),
            "ecc": key(A.HUKS_ALG_ECC, 256, SIGN | VERIFY),
            "ed": key(A.HUKS_ALG_ED25519, 256, SIGN | VERIFY),
            "derive": key(A.HUKS_ALG_AES, 256, DERIVE, DIGEST=D.HUKS_DIGEST_SHA512),
        }.items():
            await keystore.generateKeyItem(alias, options(**values))
        data, context = bytes(most), bytes(MIB)
        for alias in ("aes", "sm4") if most < 64 * MIB else ("aes",):
            for used in (b"", context):
                assert await keystore.unseal(alias, await keystore.seal(alias, data, used), used) == data
            await refused(keystore.seal(alias, data + b"x"), 401)
            await refused(keystore.seal(alias, b"", context + b"x"), 401)
        plain, wrapped = await keystore.data_key("aes", context) if most >= 32 else (b"", b"")
        if wrapped:
            assert await keystore.unseal("aes", wrapped, context) == plain
        short = data[: 256 * 1024]
        sealed = await keystore.seal_deterministic("aes", short, context)
        assert await keystore.unseal("aes", sealed, context) == short
        sealed = await keystore.seal_deterministic("aes", short)
        assert await keystore.unseal("aes", sealed) == short
        await refused(keystore.seal_deterministic("aes", short + b"x"), 401)
        for alias in ("ecc", "ed"):
            signature = await keystore.sign(alias, data)
            if most >= len(signature):
                await keystore.verify(alias, data, signature)
            await refused(keystore.sign(alias, data + b"x"), 401)
        await keystore.check_mac("hmac", data, await keystore.mac("hmac", data))
        await refused(keystore.mac("hmac", data + b"x"), 401)
        assert len(await keystore.derive("derive", context, 255 * 64)) == 255 * 64
        await refused(keystore.derive("derive", context + b"x", 32), 401)
        await refused(keystore.derive("derive", context, 255 * 64 + 1), 12000006)


async def test_a_key_that_is_replaced_or_deleted_serves_no_more(keystore: Keystore) -> None:
    """What is kept with a key goes with it, at once."""
    sealed = await keystore.seal("aes", b"data")
    signature = await keystore.sign("ecc", b"data")
    assert await keystore.unseal("aes", sealed) == b"data"
    await keystore.generateKeyItem("aes", options(**AES))
    await keystore.generateKeyItem("ecc", options(**key(A.HUKS_ALG_ECC, 256, SIGN | VERIFY)))
    await refused(keystore.unseal("aes", sealed), 12000006)
    await refused(keystore.verify("ecc", b"data", signature), 12000006)
    assert await keystore.unseal("aes", await keystore.seal("aes", b"new")) == b"new"
    await keystore.deleteKeyItem("aes", options())
    await refused(keystore.seal("aes", b""), 12000011)
    await refused(keystore.unseal("aes", sealed), 12000011)


async def test_another_namespace_has_other_keys(tmp_path: Path) -> None:
    """The same alias in one store: another key."""
    sealed = {}
    for namespace in ("a", "b", "a"):
        async with Keystore.open(f"sqlite:///{tmp_path}/keys.db", namespace=namespace) as keystore:
            if namespace in sealed:
                assert await keystore.unseal("k", sealed[namespace]) == b"data"
                await refused(keystore.unseal("k", sealed["b"]), 12000006)
                continue
            await refused(keystore.seal("k", b"data"), 12000011)
            await keystore.generateKeyItem("k", options(**AES))
            sealed[namespace] = await keystore.seal("k", b"data")


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
async def test_every_event_loop_carries_messages(backend: str) -> None:
    """Short and long ones, on each loop that the library supports."""

    async def main() -> None:
        async with Keystore.open("memory:") as keystore:
            await keystore.generateKeyItem("aes", options(**AES))
            await keystore.generateKeyItem("rsa", options(**SIGNING["rsa"]))
            for length in (10, 4_000_000):
                data = os.urandom(length)
                assert await keystore.unseal("aes", await keystore.seal("aes", data)) == data
                await keystore.verify("rsa", data, await keystore.sign("rsa", data))

    def run_loop() -> None:
        name = "trio" if backend == "trio" else "asyncio"
        anyio.run(main, backend=name, backend_options={"use_uvloop": True} if backend == "uvloop" else {})

    await asyncio.to_thread(run_loop)


async def test_sessions_of_the_same_key_are_not_disturbed(keystore: Keystore) -> None:
    """A session between two messages gives what it gives; a message is no output of a session."""
    values = {"ALGORITHM": A.HUKS_ALG_AES, "BLOCK_MODE": GCM, "PADDING": 0}
    sealed = await keystore.seal("aes", b"data")
    out = await run(keystore, "aes", b"data", PURPOSE=ENCRYPT, NONCE=bytes(12), **values)
    opened = await run(
        keystore, "aes", out[:-16], PURPOSE=DECRYPT, NONCE=bytes(12), AE_TAG=out[-16:], **values
    )
    assert opened == b"data"
    with pytest.raises(BusinessError):
        await run(
            keystore,
            "aes",
            sealed[68:-16],
            PURPOSE=DECRYPT,
            NONCE=sealed[56:68],
            AE_TAG=sealed[-16:],
            **values,
        )


async def test_the_device_profile_holds_for_messages() -> None:
    """SM4-GCM, which a device does not have, and the limit of a call."""
    async with Keystore.open("memory:", profile="device") as keystore:
        await keystore.generateKeyItem("aes", options(**AES))
        await keystore.generateKeyItem("sm4", options(**SM4))
        await refused(keystore.seal("sm4", b""), 12000003)
        await refused(keystore.seal("aes", bytes(983_041)), 401)
        assert len(await keystore.seal("aes", bytes(983_040))) == 983_124


async def test_a_closed_keystore_and_another_loop_are_refused() -> None:
    """As for every other function."""
    async with Keystore.open("memory:") as keystore:
        await keystore.generateKeyItem("aes", options(**AES))
        await keystore.seal("aes", b"")

        def elsewhere() -> int:
            async def call() -> None:
                await keystore.seal("aes", b"")

            with pytest.raises(BusinessError) as caught:
                asyncio.run(call())
            return caught.value.code

        assert await asyncio.to_thread(elsewhere) == 12000012
    await refused(keystore.seal("aes", b""), 12000012)


async def test_cancelled_calls_leave_nothing(keystore: Keystore) -> None:
    """Whenever the cancellation comes: no session, no job, and the next call works."""
    await keystore.generateKeyItem("rsa", options(**key(A.HUKS_ALG_RSA, 4096, SIGN | VERIFY)))
    data = os.urandom(8_000_000)
    sealed = await keystore.seal("aes", data)
    calls = (
        lambda: keystore.seal("aes", data),
        lambda: keystore.unseal("aes", sealed),
        lambda: keystore.sign("rsa", b"data"),
        lambda: keystore.mac("hmac", data),
    )
    for number in range(60):
        task = asyncio.ensure_future(calls[number % 4]())
        for _ in range(number % 7):
            await asyncio.sleep(0 if number % 3 else 0.0005)
        task.cancel()
        await asyncio.wait([task])
    assert await keystore.unseal("aes", await keystore.seal("aes", b"after")) == b"after"
    async with asyncio.timeout(120):
        while keystore.statistics().jobs:
            await asyncio.sleep(0.01)
    assert keystore.statistics().open == 0


async def test_many_tasks_at_once(keystore: Keystore) -> None:
    """Each gets its own message back."""

    async def one(number: int) -> None:
        data = number.to_bytes(4, "big") * (1 if number % 20 else 400_000)
        assert await keystore.unseal("aes", await keystore.seal("aes", data, data[:4]), data[:4]) == data

    await asyncio.gather(*(one(number) for number in range(200)))


async def test_rsa_pss_of_sign_has_a_salt_as_long_as_the_digest() -> None:
    """The documented default, checked by the library below."""
    async with Keystore.open("memory:") as keystore:
        await keystore.generateKeyItem("rsa", options(**SIGNING["rsa"]))
        public = load_der_public_key(await public_of(keystore, "rsa"))
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        public.verify(await keystore.sign("rsa", b"m"), b"m", scheme, hashes.SHA256())  # type: ignore[union-attr, call-arg, arg-type]


async def test_tink_opens_what_is_inside(keystore: Keystore) -> None:
    """Tink's AES-GCM and AES-SIV primitives, with the derived keys imported in the clear."""
    tink = pytest.importorskip("tink", reason="the extra `bench` has Tink")
    import base64
    import json

    from tink import aead, daead, json_proto_keyset_format, secret_key_access

    aead.register()
    daead.register()

    def primitive(kind: str, proto: bytes, what: Any) -> Any:
        data = {
            "typeUrl": f"type.googleapis.com/google.crypto.tink.{kind}",
            "value": base64.b64encode(proto).decode(),
            "keyMaterialType": "SYMMETRIC",
        }
        each = {"keyData": data, "status": "ENABLED", "keyId": 1, "outputPrefixType": "RAW"}
        keyset = json.dumps({"primaryKeyId": 1, "key": [each]})
        return json_proto_keyset_format.parse(keyset, secret_key_access.TOKEN).primitive(what)

    assert tink
    secret = os.urandom(32)
    await keystore.importKeyItem("mine", options(secret, **AES))
    sealed = await keystore.seal("mine", b"data", b"context")
    made = HKDF(hashes.SHA256(), 64, sealed[8:24], b"huks_async message " + sealed[:8]).derive(secret)
    gcm = primitive("AesGcmKey", b"\x1a\x20" + made[:32], aead.Aead)
    assert gcm.decrypt(sealed[56:], b"context") == b"data"
    found = await keystore.seal_deterministic("mine", b"data", b"context")
    made = HKDF(hashes.SHA256(), 96, None, b"huks_async message " + found[:8]).derive(secret)
    siv = primitive("AesSivKey", b"\x12\x40" + made[:64], daead.DeterministicAead)
    assert siv.encrypt_deterministically(b"data", b"context") == found[40:]


class _Asked:
    """A policy that notes what it is asked and permits some of it."""

    def __init__(self) -> None:
        self.requests: list[AccessRequest] = []
        self.denied: set[str | None] = set()

    def may_act_for(self, caller: Caller, user_id: int) -> bool:
        return False

    def groups_of(self, caller: Caller) -> tuple[str, ...]:
        return ()

    def may_use(self, request: AccessRequest) -> bool:
        self.requests.append(request)
        return request.alias not in self.denied


async def test_a_policy_is_asked_as_about_the_session_each_time() -> None:
    """Function, key and purpose; what it does not allow is 201, whatever was kept before."""
    policy = _Asked()
    async with Keystore.open("memory:", policy=policy) as keystore:
        await keystore.generateKeyItem("aes", options(**AES))
        await keystore.generateKeyItem("ecc", options(**key(A.HUKS_ALG_ECC, 256, SIGN | VERIFY)))
        await keystore.generateKeyItem("hmac", options(**key(A.HUKS_ALG_HMAC, 256, MAC)))
        await keystore.generateKeyItem("derive", options(**key(A.HUKS_ALG_AES, 256, DERIVE)))
        await keystore.generateKeyItem("x", options(**key(A.HUKS_ALG_X25519, 256, AGREE)))
        await keystore.generateKeyItem("kem", options(**key(A.HUKS_ALG_ML_KEM, 768, WRAP | UNWRAP)))
        to_x = await keystore.seal_to(await public_of(keystore, "x"), b"data")
        to_kem = await keystore.seal_to(await public_of(keystore, "kem"), b"data")
        sealed, signature = await keystore.seal("aes", b"data"), await keystore.sign("ecc", b"data")
        code = await keystore.mac("hmac", b"data")
        calls: list[tuple[Callable[[], Awaitable[object]], str, str, int]] = [
            (lambda: keystore.seal("aes", b""), "initSession", "aes", ENCRYPT),
            (lambda: keystore.data_key("aes"), "initSession", "aes", ENCRYPT),
            (lambda: keystore.seal_deterministic("aes", b""), "initSession", "aes", ENCRYPT),
            (lambda: keystore.unseal("aes", sealed), "initSession", "aes", DECRYPT),
            (lambda: keystore.unseal("x", to_x), "initSession", "x", AGREE),
            (lambda: keystore.unseal("kem", to_kem), "decapsulate", "kem", UNWRAP),
            (lambda: keystore.sign("ecc", b""), "initSession", "ecc", SIGN),
            (lambda: keystore.verify("ecc", b"data", signature), "initSession", "ecc", VERIFY),
            (lambda: keystore.mac("hmac", b""), "initSession", "hmac", MAC),
            (lambda: keystore.check_mac("hmac", b"data", code), "initSession", "hmac", MAC),
            (lambda: keystore.derive("derive", b"", 16), "initSession", "derive", DERIVE),
        ]
        for call, function, alias, purpose in calls * 2:
            policy.requests.clear()
            await call()
            assert [(each.function, each.alias, each.purposes) for each in policy.requests] == [
                (function, alias, purpose)
            ]
        policy.denied = {"aes", "x", "kem", "ecc", "hmac", "derive", "absent"}
        for call, *_ in calls:
            await refused(call(), 201)
        await refused(keystore.unseal("absent", sealed), 201)


async def test_each_caller_has_keys_of_its_own() -> None:
    """Within `as_caller`, and by `for_caller`: another caller's key is not there, nor what was kept with it."""
    async with Keystore.open("memory:") as keystore:
        await keystore.generateKeyItem("aes", options(**AES))
        sealed = await keystore.seal("aes", b"data")
        with as_caller("other"):
            await refused(keystore.seal("aes", b"data"), 12000011)
            await keystore.generateKeyItem("aes", options(**AES))
            theirs = await keystore.seal("aes", b"data")
            await refused(keystore.unseal("aes", sealed), 12000006)
        other = keystore.for_caller("other")
        assert await other.unseal("aes", theirs) == b"data"
        await refused(other.unseal("aes", sealed), 12000006)
        await refused(keystore.unseal("aes", theirs), 12000006)
        assert await keystore.unseal("aes", sealed) == b"data"
