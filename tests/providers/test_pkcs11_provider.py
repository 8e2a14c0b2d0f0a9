"""Keys in a PKCS#11 token, with SoftHSM: used like any other, and what happens when the token does not answer."""

import asyncio
import itertools
import json
import os
import threading
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509.oid import NameOID

import huks_async as huks
from huks_async.model.tags import InnerTag
from huks_async.providers import Pkcs11Provider
from huks_async.providers.pkcs11.objects import asks_each_time
from huks_async.providers.pkcs11.token import Token
from huks_async.rootkeys import Pkcs11RootKey
from tests.providers.softhsm import (
    DEVICE_MEMORY,
    ENCRYPT_INIT,
    LABEL,
    LOGIN,
    NOT_LOGGED_IN,
    OTHER,
    PIN,
    PIN_LOCKED,
    REMOVED,
    TOKEN_INFO,
    end_library,
    let_threads_end,
    log_out,
    make_slot,
    needs_compiler,
    needs_token,
)
from tests.providers.support import ABILITY, ABILITY_PARAM, NAME, TAG, external, pin, refused, rid
from tests.threads import threads_begun

pytestmark = [needs_token, pytest.mark.asyncio]
STATE = huks.huksExternalCrypto.HuksExternalPinAuthState
RSA, ECC, AES, HMAC = 1, 2, 20, 50
ENCRYPT, DECRYPT = 1, 2
_INNER = {tag.name: tag for tag in InnerTag if "BATCH" in tag.name or tag is InnerTag.USER_AUTH_TYPE_ATL}
SIGN_ECC = external(ALGORITHM=ECC, PURPOSE=4, DIGEST=12)
PATIENCE = 120.0
"""Seconds that a token may take: only a token that hangs takes as long, also on a busy machine."""


@pytest.fixture(scope="module")
def slot(tmp_path_factory):
    """One token for all: a library reads its configuration once in a process."""
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    with pytest.MonkeyPatch.context() as patch:
        made = make_slot(tmp_path_factory.mktemp("softhsm"), patch)
        yield made
        made.work()
        end_library(made.module)


@pytest_asyncio.fixture
async def keystore(slot):
    slot.work()
    abilities = {ABILITY: Pkcs11Provider(slot.module, LABEL)}
    async with huks.Keystore.open(
        "memory:", monitor=False, load_all=False, abilities=abilities, provider_timeout=PATIENCE
    ) as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        yield keystore


async def make(keystore, label, **tags):
    """A key in the token, with its resource open and the PIN proved."""
    await keystore.openResource(rid(label))
    await keystore.authUkeyPin(rid(label), pin(PIN))
    await keystore.generateKeyItem(rid(label), external(**tags))


async def run(keystore, label, *segments, last=b"", **tags):
    handle = (await keystore.initSession(rid(label), external(**tags))).handle
    out = b""
    for segment in segments:
        out += (await keystore.updateSession(handle, external(segment))).outData
    return out + (await keystore.finishSession(handle, external(last))).outData


async def test_the_pin_is_not_among_the_local_variables_of_a_traceback(keystore, monkeypatch):
    """Reports of errors may show them, those of the token's thread, too."""

    def fail(token, session):
        raise huks.BusinessError(12000012, "a failure of no token")

    label = "unshown"
    await keystore.openResource(rid(label))
    param = huks.huksExternalCrypto.HuksExternalCryptoParam(TAG.HUKS_EXT_CRYPTO_TAG_UKEY_PIN, b"sesame")
    monkeypatch.setattr(Token, "_log_out", fail)
    with pytest.raises(huks.BusinessError, match="of no token") as caught:
        await keystore.authUkeyPin(rid(label), [param])
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    names = [frame.name for frame in told.stack]
    assert {"onAuthUkeyPin", "prove", "_prove"} <= set(names)
    here = told.stack.pop(0)
    assert here.name == "test_the_pin_is_not_among_the_local_variables_of_a_traceback"
    assert "sesame" not in "".join(told.format())


def unique(name):
    unique.count = getattr(unique, "count", 0) + 1
    return f"{name} {unique.count}"


async def public(keystore, label):
    return load_der_public_key((await keystore.exportKeyItem(rid(label), external())).outData)


# --- operations, checked by `cryptography` with the exported public key -------------------------------


@pytest.mark.parametrize(
    ("size", "digest", "kind"),
    [(256, 12, hashes.SHA256()), (384, 13, hashes.SHA384()), (521, 14, hashes.SHA512())],
)
async def test_ecdsa(keystore, size, digest, kind):
    """Signatures are DER; one that does not match is 12000006, and so is what is no signature."""
    label = unique("ecc")
    await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=size, PURPOSE=12)
    signature = await run(keystore, label, b"hello ", last=b"world", ALGORITHM=ECC, PURPOSE=4, DIGEST=digest)
    (await public(keystore, label)).verify(signature, b"hello world", ec.ECDSA(kind))
    verify = {"ALGORITHM": ECC, "PURPOSE": 8, "DIGEST": digest}
    await run(keystore, label, b"hello world", last=signature, **verify)
    for data, wrong in ((b"hello", signature), (b"hello world", b"x"), (b"hello world", signature[:-1])):
        with refused(12000006):
            await run(keystore, label, data, last=wrong, **verify)


@pytest.fixture(scope="module")
def rsa_label():
    return unique("rsa")


@pytest.mark.parametrize("digest", [10, 11, 12, 13, 14])
@pytest.mark.parametrize("scheme", ["PKCS1", "PSS max", "PSS digest"])
async def test_rsa_signatures(keystore, rsa_label, digest, scheme):
    """PKCS#1 v1.5 and PSS with both lengths of salt, made there and checked here, and checked there."""
    await keystore.openResource(rid(rsa_label))
    await keystore.authUkeyPin(rid(rsa_label), pin(PIN))
    try:
        key = await public(keystore, rsa_label)
    except huks.ItemNotFoundError:
        await keystore.generateKeyItem(rid(rsa_label), external(ALGORITHM=RSA, KEY_SIZE=2048, PURPOSE=15))
        key = await public(keystore, rsa_label)
    kind = {10: hashes.SHA1, 11: hashes.SHA224, 12: hashes.SHA256, 13: hashes.SHA384, 14: hashes.SHA512}[
        digest
    ]()
    salt = {"PSS max": padding.PSS.MAX_LENGTH, "PSS digest": padding.PSS.DIGEST_LENGTH}
    tags = {"ALGORITHM": RSA, "DIGEST": digest, "PADDING": 3 if scheme == "PKCS1" else 2}
    if scheme == "PSS digest":
        tags["RSA_PSS_SALT_LEN_TYPE"] = 0
    signature = await run(keystore, rsa_label, b"hello ", last=b"world", PURPOSE=4, **tags)
    how = padding.PKCS1v15() if scheme == "PKCS1" else padding.PSS(padding.MGF1(kind), salt[scheme])
    key.verify(signature, b"hello world", how, kind)
    await run(keystore, rsa_label, b"hello world", last=signature, PURPOSE=8, **tags)
    with refused(12000006):
        await run(keystore, rsa_label, b"hello", last=signature, PURPOSE=8, **tags)


async def test_rsa_encryption(keystore):
    """PKCS#1 v1.5 and OAEP with SHA-1, both ways; what the token has not is 12000001."""
    label = unique("rsa")
    await make(keystore, label, ALGORITHM=RSA, KEY_SIZE=2048, PURPOSE=3)
    key = await public(keystore, label)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    for how, tags in ((padding.PKCS1v15(), {"PADDING": 3}), (oaep, {"PADDING": 1, "DIGEST": 10})):
        ciphertext = key.encrypt(b"secret", how)
        assert (
            await run(keystore, label, ciphertext[:9], last=ciphertext[9:], ALGORITHM=RSA, PURPOSE=2, **tags)
            == b"secret"
        )
        ciphertext = await run(keystore, label, last=b"secret", ALGORITHM=RSA, PURPOSE=1, **tags)
        assert await run(keystore, label, last=ciphertext, ALGORITHM=RSA, PURPOSE=2, **tags) == b"secret"
    with refused(12000001):
        await run(keystore, label, last=b"secret", ALGORITHM=RSA, PURPOSE=1, PADDING=1, DIGEST=12)


@pytest.mark.parametrize(("mode", "pad"), [(1, 0), (1, 5), (2, 0), (2, 5), (3, 0)])
async def test_aes_in_blocks(keystore, mode, pad):
    """However the data is cut, the result is that of one piece; a known key is checked with `cryptography`."""
    import pkcs11

    label, secret, iv = unique("aes"), bytes(range(32)), bytes(15) + b"\xff"
    module = keystore._abilities[ABILITY]._token._module
    await keystore.openResource(rid(label))
    await keystore.authUkeyPin(rid(label), pin(PIN))
    with pkcs11.lib(module).get_token(token_label=LABEL).open(rw=True) as session:
        session.create_object(
            {
                pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
                pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.AES,
                pkcs11.Attribute.TOKEN: True,
                pkcs11.Attribute.ENCRYPT: True,
                pkcs11.Attribute.DECRYPT: True,
                pkcs11.Attribute.LABEL: label,
                pkcs11.Attribute.VALUE: secret,
            }
        )
    plain = bytes(range(256)) * 2 if not pad and mode != 3 else bytes(200 + n % 50 for n in range(501))
    tags = {"ALGORITHM": AES, "BLOCK_MODE": mode, "PADDING": pad, "IV": iv if mode != 1 else None}
    ours = modes.ECB() if mode == 1 else modes.CBC(iv) if mode == 2 else modes.CTR(iv)
    fill = bytes([16 - len(plain) % 16]) * (16 - len(plain) % 16) if pad else b""
    encryptor = Cipher(algorithms.AES256(secret), ours).encryptor()
    expected = encryptor.update(plain + fill) + encryptor.finalize()
    cuts = [[], [32, 64], [16 * n for n in range(1, 20)]] + ([] if mode == 3 else [[1, 17, 48, 49, 300]])
    for cut in cuts:
        for purpose, given, wanted in ((1, plain, expected), (2, expected, plain)):
            edges = [0, *cut]
            segments = [given[a:b] for a, b in itertools.pairwise(edges)]
            assert (
                await run(keystore, label, *segments, last=given[edges[-1] :], PURPOSE=purpose, **tags)
                == wanted
            )
    if pad:
        with refused(12000006):
            await run(
                keystore, label, last=os.urandom(15) + expected[:1] + expected[:16], PURPOSE=2, **tags
            ) and None
            raise AssertionError("one in 2 ** 8 paddings is right")


@pytest.mark.parametrize("before", [0, 1, 3])
async def test_a_counter_passes_its_last_value(keystore, before):
    """AES-CTR goes on at zero however the data is cut; in one piece the token refused it. ECB gives the key stream."""
    label = unique("aes")
    await make(keystore, label, ALGORITHM=AES, KEY_SIZE=256, PURPOSE=3)
    first = (1 << 128) - 1 - before
    counters = b"".join(((first + n) % (1 << 128)).to_bytes(16, "big") for n in range(8))
    stream = await run(
        keystore, label, last=counters, ALGORITHM=AES, BLOCK_MODE=1, PADDING=0, PURPOSE=ENCRYPT
    )
    plain = bytes(range(100, 221))
    expected = bytes(a ^ b for a, b in zip(plain, stream, strict=False))
    tags = {"ALGORITHM": AES, "BLOCK_MODE": 3, "PADDING": 0, "IV": counters[:16]}
    for cut in ([], [16], [1], [17], [48], [64], [80], [15, 16, 17, 90], [0, 121]):
        for purpose, given, wanted in ((ENCRYPT, plain, expected), (DECRYPT, expected, plain)):
            edges = [0, *cut]
            segments = [given[a:b] for a, b in itertools.pairwise(edges)]
            last = given[edges[-1] :]
            assert await run(keystore, label, *segments, last=last, PURPOSE=purpose, **tags) == wanted


async def test_gcm_and_hmac(keystore):
    """GCM: nonce, associated data and tag; HMAC over segments."""
    label = unique("aes")
    await make(keystore, label, ALGORITHM=AES, KEY_SIZE=256, PURPOSE=3)
    tags = {"ALGORITHM": AES, "BLOCK_MODE": 32, "NONCE": bytes(12), "AAD": b"to whom"}
    sealed = await run(keystore, label, b"top ", last=b"secret", PURPOSE=1, **tags)
    assert len(sealed) == 10 + 16
    assert (
        await run(keystore, label, sealed[:4], last=sealed[4:-16], PURPOSE=2, AE_TAG=sealed[-16:], **tags)
        == b"top secret"
    )
    with refused(12000006):
        await run(keystore, label, last=sealed[:-16], PURPOSE=2, AE_TAG=bytes(16), **tags)
    with refused(401, "NONCE"):
        await run(keystore, label, ALGORITHM=AES, BLOCK_MODE=32, PURPOSE=1)

    label = unique("mac")
    await make(keystore, label, ALGORITHM=HMAC, KEY_SIZE=256, PURPOSE=128)
    one = await run(keystore, label, b"a" * 5000, last=b"b", ALGORITHM=HMAC, PURPOSE=128, DIGEST=12)
    assert one == await run(
        keystore, label, b"a" * 2500, b"a" * 2500, last=b"b", ALGORITHM=HMAC, PURPOSE=128, DIGEST=12
    )
    assert len(one) == 32


async def test_key_bytes_are_the_tokens(keystore):
    """The token itself says that what generateKeyItem made is sensitive and never extractable."""
    import pkcs11

    labels = {unique("own"): (ECC, 256, 12), unique("own"): (AES, 256, 3), unique("own"): (HMAC, 256, 128)}
    for label, (algorithm, size, purpose) in labels.items():
        await make(keystore, label, ALGORITHM=algorithm, KEY_SIZE=size, PURPOSE=purpose)
        with refused(12000017, "not replaced"):
            await keystore.generateKeyItem(
                rid(label), external(ALGORITHM=algorithm, KEY_SIZE=size, PURPOSE=purpose)
            )
    module = keystore._abilities[ABILITY]._token._module
    with pkcs11.lib(module).get_token(token_label=LABEL).open() as session:
        for label in labels:
            kinds = (pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.ObjectClass.SECRET_KEY)
            (key,) = [
                o for o in session.get_objects({pkcs11.Attribute.LABEL: label}) if o.object_class in kinds
            ]
            assert key[pkcs11.Attribute.SENSITIVE]
            assert key[pkcs11.Attribute.NEVER_EXTRACTABLE]


async def test_parameters_that_tokens_do_not_take(keystore):
    """Each with its documented code."""
    label = unique("ecc")
    await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    for code, tags in (
        (401, {"PURPOSE": 4}),
        (401, {"ALGORITHM": ECC, "PURPOSE": 4}),
        (12000003, {"ALGORITHM": ECC, "PURPOSE": 4, "DIGEST": 2}),
        (12000001, {"ALGORITHM": ECC, "PURPOSE": 256}),
        (12000001, {"ALGORITHM": 150, "PURPOSE": 4, "DIGEST": 12}),
        (12000002, {"ALGORITHM": AES, "PURPOSE": 1}),
        (12000001, {"ALGORITHM": AES, "PURPOSE": 1, "BLOCK_MODE": 31}),
        (401, {"ALGORITHM": AES, "PURPOSE": 1, "BLOCK_MODE": 2}),
        (12000011, {"ALGORITHM": AES, "PURPOSE": 1, "BLOCK_MODE": 1}),
    ):
        with refused(code):
            await keystore.initSession(rid(label), external(**tags))
    await keystore.openResource(rid("new"))
    for code, tags in (
        (12000002, {}),
        (12000002, {"ALGORITHM": ECC, "KEY_SIZE": 256}),
        (12000003, {"ALGORITHM": ECC, "KEY_SIZE": 255, "PURPOSE": 12}),
        (12000003, {"ALGORITHM": RSA, "KEY_SIZE": 512, "PURPOSE": 12}),
        (12000003, {"ALGORITHM": ECC, "KEY_SIZE": 256, "PURPOSE": 256}),
        (12000001, {"ALGORITHM": 150, "KEY_SIZE": 256, "PURPOSE": 12}),
    ):
        with refused(code):
            await keystore.generateKeyItem(rid("new"), external(**tags))
    with refused(12000001):
        await keystore.importWrappedKeyItem(rid("new"), rid(label), external(b"x"))
    for wrong in (
        "pkcs11:",
        "pkcs11:object=",
        "pkcs11:foo=1",
        "pkcs11:object=a;object=b",
        "pkcs11:token=two;object=a",
        "",
    ):
        with refused(12000018):
            await keystore.openResource(rid(wrong))


async def test_locators_and_certificates(keystore):
    """getResourceId gives a PKCS#11 URI; a certificate in the token is found by it."""
    import pkcs11

    module = keystore._abilities[ABILITY]._token._module
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a b")])
    own, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    cert = (
        x509.CertificateBuilder(name, name, own.public_key(), 1, now, now + timedelta(1)).sign(
            own, hashes.SHA256()
        )
    ).public_bytes(Encoding.DER)
    info = [
        ABILITY_PARAM,
        {"tag": TAG.HUKS_EXT_CRYPTO_TAG_BUNDLE_NAME, "value": b"default"},
        {"tag": TAG.HUKS_EXT_CRYPTO_TAG_RESOURCE_INFO, "value": "a b/é".encode()},
    ]
    resource = await keystore.getResourceId(NAME, info)
    assert json.loads(resource)["index"] == "pkcs11:object=a%20b%2F%C3%A9"
    await keystore.openResource(resource)
    await keystore.authUkeyPin(resource, pin(PIN))
    with pkcs11.lib(module).get_token(token_label=LABEL).open(rw=True) as session:
        attributes = pkcs11.util.x509.decode_x509_certificate(cert)
        session.create_object(
            {
                **attributes,
                pkcs11.Attribute.TOKEN: True,
                pkcs11.Attribute.LABEL: "a b/é",
                pkcs11.Attribute.ID: b"\1",
            }
        )
    (found,) = await keystore.export_certificates(resource)
    assert found.cert == cert
    assert json.loads(found.resourceId)["index"] == "pkcs11:object=a%20b%2F%C3%A9;id=%01"
    assert cert in [each.cert for each in await keystore.list_certificates(NAME, info[:2])]


async def test_odd_certificates_hide_no_others(keystore):
    """One is named by its id alone where its label is no text, or too long; one that has no name is left out."""
    import pkcs11
    from pkcs11.attributes import AttributeMapper

    any_label = AttributeMapper()
    any_label.attribute_types = any_label.attribute_types | {pkcs11.Attribute.LABEL: (bytes, bytes)}
    label, module = unique("certified"), keystore._abilities[ABILITY]._token._module
    await keystore.openResource(rid(label))
    await keystore.authUkeyPin(rid(label), pin(PIN))
    objects = [
        (label.encode(), b"\x11", f"pkcs11:object={label.replace(' ', '%20')};id=%11"),
        ("é".encode("latin-1"), b"\x12", "pkcs11:id=%12"),
        (b"l" * 600, b"\x13", "pkcs11:id=%13"),
        (b"m" * 505, b"", None),
        (b"", b"\x14" * 200, None),
        (b"", b"", None),
    ]
    with pkcs11.lib(module).get_token(token_label=LABEL).open(rw=True, attribute_mapper=any_label) as session:
        made = [
            session.create_object(
                {
                    pkcs11.Attribute.CLASS: pkcs11.ObjectClass.CERTIFICATE,
                    pkcs11.Attribute.CERTIFICATE_TYPE: pkcs11.CertificateType.X_509,
                    pkcs11.Attribute.TOKEN: True,
                    pkcs11.Attribute.SUBJECT: b"0\0",
                    pkcs11.Attribute.LABEL: name,
                    pkcs11.Attribute.ID: key_id,
                    pkcs11.Attribute.VALUE: bytes((number,)),
                }
            )
            for number, (name, key_id, _) in enumerate(objects)
        ]
        bundle = {"tag": TAG.HUKS_EXT_CRYPTO_TAG_BUNDLE_NAME, "value": b"default"}
        try:
            listed = await keystore.list_certificates(NAME, [ABILITY_PARAM, bundle])
            found = {one.cert: one.resourceId for one in listed if one.cert < bytes((len(objects),))}
            for number, (_, _, name) in enumerate(objects):
                told = found.pop(bytes((number,)), None)
                assert (told and json.loads(told)["index"]) == name
                if told:
                    assert [one.cert for one in await keystore.export_certificates(told)] == [
                        bytes((number,))
                    ]
            # what has no name of its own is found by the one that its caller has
            (one,) = await keystore.export_certificates(rid("m" * 505))
            assert (one.cert, json.loads(one.resourceId)["index"]) == (b"\3", "m" * 505)
        finally:
            for each in made:
                each.destroy()


# --- PIN ----------------------------------------------------------------------------------------------


async def test_each_caller_proves_the_pin(slot):
    """The process is logged in for one caller; another one is not let in by that, and a wrong PIN logs all out."""
    slot.work()
    provider = Pkcs11Provider(slot.module, LABEL)
    async with huks.Keystore.open(
        "memory:", monitor=False, abilities={ABILITY: provider}, provider_timeout=PATIENCE
    ) as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        label = unique("shared")
        await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
        with huks.as_caller("another"):
            await keystore.openResource(rid(label))
            assert await keystore.getUkeyPinAuthState(rid(label)) is STATE.HUKS_EXT_CRYPTO_PIN_NO_AUTH
            with refused(12000023):
                await keystore.initSession(rid(label), SIGN_ECC)
            await keystore.authUkeyPin(rid(label), pin(PIN))
            await run(keystore, label, ALGORITHM=ECC, PURPOSE=4, DIGEST=12)
        await run(keystore, label, ALGORITHM=ECC, PURPOSE=4, DIGEST=12)
        with huks.as_caller("another"):
            await keystore.clearUkeyPinAuthState(rid(label))
            with refused(12000023):
                await keystore.initSession(rid(label), SIGN_ECC)
        await run(keystore, label, ALGORITHM=ECC, PURPOSE=4, DIGEST=12)
        session = await keystore.initSession(rid(label), SIGN_ECC)
        with huks.as_caller("another"), refused(12000022):
            await keystore.authUkeyPin(rid(label), pin(b"0000"))
        with refused(12000023):
            await keystore.finishSession(session.handle, external(b"x"))
        await keystore.authUkeyPin(rid(label), pin(PIN))
        assert (await keystore.finishSession(session.handle, external(b"x"))).outData


def at_login(token, monkeypatch):
    """Two events of the token's thread: it is about to log in; it may go on."""
    reached, go, log_in = threading.Event(), threading.Event(), token._log_in

    def slow(session, given):
        reached.set()
        assert go.wait(PATIENCE)
        log_in(session, given)

    monkeypatch.setattr(token, "_log_in", slow)
    return reached, go


async def test_clearing_while_another_caller_proves_the_pin(slot, monkeypatch):
    """Who cleared is not let in by the other's login; who proved it keeps it, also if the log-out was asked for before."""
    slot.work()
    provider = Pkcs11Provider(slot.module, LABEL)
    async with huks.Keystore.open(
        "memory:", monitor=False, abilities={ABILITY: provider}, provider_timeout=PATIENCE
    ) as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        label = unique("cleared")
        await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
        other = keystore.for_caller("another")
        await other.openResource(rid(label))
        reached, go = at_login(provider._token, monkeypatch)
        proving = asyncio.create_task(other.authUkeyPin(rid(label), pin(PIN)))
        await until(reached.is_set)
        await keystore.clearUkeyPinAuthState(rid(label))
        go.set()
        await proving
        assert await keystore.getUkeyPinAuthState(rid(label)) is STATE.HUKS_EXT_CRYPTO_PIN_NO_AUTH
        with refused(12000023):
            await keystore.initSession(rid(label), SIGN_ECC)
        await run(other, label, ALGORITHM=ECC, PURPOSE=4, DIGEST=12)

        held = threading.Event()
        holding = asyncio.create_task(provider._token.run(lambda session: held.wait(PATIENCE)))
        await asyncio.sleep(0)
        proving = asyncio.create_task(keystore.authUkeyPin(rid(label), pin(PIN)))
        clearing = asyncio.create_task(other.clearUkeyPinAuthState(rid(label)))
        for _ in range(10):  # both wait for the thread, in this order
            await asyncio.sleep(0)
        held.set()
        await asyncio.gather(holding, proving, clearing)
        await run(keystore, label, ALGORITHM=ECC, PURPOSE=4, DIGEST=12)


async def test_clearing_what_is_being_proved(keystore, monkeypatch):
    """A caller that gave up proving the PIN, and cleared it, is not logged in when the token comes to an end with it."""
    label = unique("given up")
    await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    token = keystore._open_state().providers.registry.all()[0].ability._token
    reached, go = at_login(token, monkeypatch)
    proving = asyncio.create_task(keystore.authUkeyPin(rid(label), pin(PIN)))
    await until(reached.is_set)
    proving.cancel()
    await asyncio.wait([proving])
    await keystore.clearUkeyPinAuthState(rid(label))
    go.set()
    assert await keystore.getUkeyPinAuthState(rid(label)) is STATE.HUKS_EXT_CRYPTO_PIN_NO_AUTH
    assert not token._logged_in
    await keystore.authUkeyPin(rid(label), pin(PIN))
    await run(keystore, label, ALGORITHM=ECC, PURPOSE=4, DIGEST=12)


@needs_compiler
async def test_a_pin_that_is_locked(keystore, slot):
    """12000021 from the token's own answer, and the state says so."""
    await keystore.openResource(rid("locked"))
    slot.fail(PIN_LOCKED, LOGIN)
    with refused(12000021):
        await keystore.authUkeyPin(rid("locked"), pin(PIN))
    assert await keystore.getUkeyPinAuthState(rid("locked")) is STATE.HUKS_EXT_CRYPTO_PIN_LOCKED
    slot.work()
    await keystore.authUkeyPin(rid("locked"), pin(PIN))
    assert await keystore.getUkeyPinAuthState(rid("locked")) is STATE.HUKS_EXT_CRYPTO_PIN_AUTH_SUCCEEDED


async def test_what_is_no_text_is_no_pin(keystore):
    """And no PIN is shown."""
    await keystore.openResource(rid("p"))
    with refused(12000018, "UTF-8"):
        await keystore.authUkeyPin(rid("p"), pin(b"\xff\xfe"))
    with refused(12000022) as caught:
        await keystore.authUkeyPin(rid("p"), pin(b"sesame99"))
    assert "sesame" not in str(caught.value)


@needs_compiler
async def test_a_token_that_refuses_one_key_for_want_of_a_login_takes_the_pin_again(keystore, slot):
    """It is logged in still, and is logged out: it would look at no PIN, and serve a process that proved none."""
    label = unique("refused")
    await make(keystore, label, ALGORITHM=AES, KEY_SIZE=256, PURPOSE=3)
    tags = {"ALGORITHM": AES, "PURPOSE": ENCRYPT, "BLOCK_MODE": 1, "PADDING": 0}
    before = slot.sessions()
    for _ in range(2):
        handle = (await keystore.initSession(rid(label), external(**tags))).handle
        slot.fail(NOT_LOGGED_IN, ENCRYPT_INIT)
        with refused(12000023):
            await keystore.updateSession(handle, external(bytes(16)))
        slot.work()
        assert not keystore._abilities[ABILITY]._token._logged_in
        with refused(12000022):
            await keystore.authUkeyPin(rid(label), pin(b"0000"))
        before += 1  # python-pkcs11 leaves the session of a wrong PIN open
        await keystore.authUkeyPin(rid(label), pin(PIN))
        await keystore.updateSession(handle, external(bytes(16)))
        await keystore.finishSession(handle, external(b""))
        assert slot.sessions() == before


@pytest.mark.parametrize("first", ["generateKeyItem", "initSession"])
async def test_a_token_that_was_logged_out_by_others_takes_the_pin_again(keystore, first):
    """And what it hides meanwhile is told to be perhaps hidden, with the way out."""
    label, new = unique("hidden"), unique("new")
    await make(keystore, label, ALGORITHM=AES, KEY_SIZE=256, PURPOSE=3)
    await keystore.openResource(rid(new))
    log_out(keystore._abilities[ABILITY]._token._session.token.slot.slot_id)
    tags = {"ALGORITHM": AES, "PURPOSE": ENCRYPT, "BLOCK_MODE": 1, "PADDING": 0}
    made = external(ALGORITHM=AES, KEY_SIZE=256, PURPOSE=3)
    if first == "generateKeyItem":
        with refused(12000023):
            await keystore.generateKeyItem(rid(new), made)
    else:
        with refused(12000011, "authUkeyPin"):
            await keystore.initSession(rid(label), external(**tags))
    await keystore.authUkeyPin(rid(new), pin(PIN))
    await run(keystore, label, last=bytes(16), **tags)
    await keystore.generateKeyItem(rid(new), made)


async def test_a_key_that_asks_for_the_pin_at_each_use_is_refused(keystore):
    """12000001 when the session is opened, since no PIN is kept; the PIN that was proved stays proved for others."""
    import pkcs11

    label, other = unique("PIV 9c"), unique("PIV 9a")
    await make(keystore, other, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    module = keystore._abilities[ABILITY]._token._module
    with pkcs11.lib(module).get_token(token_label=LABEL).open(rw=True) as session:
        session.generate_keypair(
            pkcs11.KeyType.RSA,
            2048,
            label=label,
            store=True,
            private_template={pkcs11.Attribute.ALWAYS_AUTHENTICATE: True},
        )
    await keystore.openResource(rid(label))
    with refused(12000001, "CKA_ALWAYS_AUTHENTICATE"):
        await keystore.initSession(rid(label), external(ALGORITHM=RSA, PURPOSE=4, DIGEST=12, PADDING=3))
    await run(keystore, other, last=b"x", ALGORITHM=ECC, PURPOSE=4, DIGEST=12)
    await keystore.authUkeyPin(rid(label), pin(PIN))
    await run(keystore, other, last=b"x", ALGORITHM=ECC, PURPOSE=4, DIGEST=12)


@pytest.mark.parametrize("error", ["AttributeTypeInvalid", "AttributeSensitive", "FunctionFailed"])
async def test_a_token_that_does_not_tell_whether_a_key_asks_for_the_pin(error):
    """It does not, whichever way the token says nothing; a token that is gone is told all the same."""
    import pkcs11

    class Silent:
        object_class = pkcs11.ObjectClass.PRIVATE_KEY

        def __init__(self, look):
            slot = SimpleNamespace(get_token=look)
            self.session = SimpleNamespace(token=SimpleNamespace(slot=slot))

        def __getitem__(self, attribute):
            raise getattr(pkcs11, error)

    def gone():
        raise pkcs11.DeviceRemoved

    assert not asks_each_time(Silent(lambda: SimpleNamespace(flags=0)))
    if error == "FunctionFailed":
        with pytest.raises(pkcs11.DeviceRemoved):
            asks_each_time(Silent(gone))


# --- the token pulled out, hanging, and back ---------------------------------------------------------------

_STEPS = ["openResource", "authUkeyPin", "getUkeyPinAuthState", "generateKeyItem", "exportKeyItem", "initSession",
          "updateSession", "finishSession", "abortSession", "closeResource", "getProperty"]  # fmt: skip
# hashing a message does not need the token
_NEEDS_NO_TOKEN = {"abortSession", "closeResource"}


def _step(keystore, name, label, handle):
    resource = rid(label)
    return {
        "openResource": lambda: keystore.openResource(rid(label + " other")),
        "authUkeyPin": lambda: keystore.authUkeyPin(resource, pin(PIN)),
        "getUkeyPinAuthState": lambda: keystore.getUkeyPinAuthState(resource),
        "generateKeyItem": lambda: keystore.generateKeyItem(
            resource, external(ALGORITHM=AES, KEY_SIZE=256, PURPOSE=3)
        ),
        "exportKeyItem": lambda: keystore.exportKeyItem(resource, external()),
        "initSession": lambda: keystore.initSession(resource, SIGN_ECC),
        "updateSession": lambda: keystore.updateSession(handle, external(b"x")),
        "finishSession": lambda: keystore.finishSession(handle, external(b"x")),
        "abortSession": lambda: keystore.abortSession(handle, external()),
        "closeResource": lambda: keystore.closeResource(resource),
        "getProperty": lambda: keystore.getProperty(resource, "SKF_GetDevInfo"),
    }[name]


async def _works_again(keystore, label):
    for attempt in (keystore.closeResource(rid(label)), keystore.openResource(rid(label))):
        await attempt
    await keystore.authUkeyPin(rid(label), pin(PIN))
    signature = await run(keystore, label, last=b"data", ALGORITHM=ECC, PURPOSE=4, DIGEST=12)
    (await public(keystore, label)).verify(signature, b"data", ec.ECDSA(hashes.SHA256()))


# python-pkcs11 ends a search when its iterator goes, and cannot raise there what a token that is gone says to that
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", ["folder", "removed"])
@pytest.mark.parametrize("step", _STEPS)
async def test_the_token_is_pulled_out_at_each_step(keystore, slot, step, how):
    """12000006 at once; nothing hangs; when it is back, opening it and the PIN make it work again."""
    if how == "removed" and slot.module.endswith("libsofthsm2.so"):
        pytest.skip("cc is not installed")
    label = unique("pulled")
    await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    handle = (await keystore.initSession(rid(label), SIGN_ECC)).handle
    await keystore.updateSession(handle, external(b"x"))
    call = _step(keystore, step, label, handle)
    if how == "folder":
        slot.pull_out()
    else:
        slot.fail(REMOVED)
    began = time.monotonic()
    try:
        if step in _NEEDS_NO_TOKEN:
            await call()
        elif step == "updateSession":
            # a message is hashed here; the token is missed when it is to sign
            with suppress(huks.BusinessError):
                await call()
            with OneOf(12000006, 12000011):
                await keystore.finishSession(handle, external(b"x"))
        else:
            with refused(12000006):
                await call()
        with OneOf(12000006, 12000011, 12000023):
            await keystore.initSession(rid(label), SIGN_ECC)
        assert time.monotonic() - began < PATIENCE
    finally:
        slot.put_back() if how == "folder" else slot.work()
    await _works_again(keystore, label)
    with OneOf(12000011):
        await keystore.updateSession(handle, external(b"x"))


class OneOf:
    def __init__(self, *codes):
        self.codes = codes

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        assert isinstance(error, huks.BusinessError), error
        assert error.code in self.codes, error
        return True


@needs_compiler
@pytest.mark.parametrize("step", [s for s in _STEPS if s not in _NEEDS_NO_TOKEN])
async def test_a_token_that_hangs_is_12000024(keystore, slot, step):
    """Each call ends after its time while the library hangs in its thread, the event loop goes on, and later it works."""
    label = unique("hangs")
    await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    handle = (await keystore.initSession(rid(label), SIGN_ECC)).handle
    call = _step(keystore, step, label, handle)
    keystore._open_state().providers._asker.timeout = 0.2
    slot.hang()
    try:
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        # its first tick is due before the time of the call is over, however late the loop is
        await asyncio.sleep(0)
        if step == "updateSession":
            with suppress(huks.BusinessError):
                await call()
        else:
            with refused(12000024):
                await call()
            assert ticks >= 1  # a loop that the library holds up ticks no time
        with OneOf(12000024, 12000011):
            await keystore.initSession(rid(label), SIGN_ECC)
        ticking.cancel()
    finally:
        slot.work()
        keystore._open_state().providers._asker.timeout = PATIENCE
    await _works_again(keystore, label)


# --- processes --------------------------------------------------------------------------------------------


async def test_a_child_of_a_fork_opens_its_own(keystore, slot):
    """The parent's provider is refused in the child; a new one on the same library works there, and the parent goes on."""
    label = unique("forked")
    await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    provider = keystore._abilities[ABILITY]
    child = os.fork()
    if child == 0:
        code = 1
        try:

            async def main():
                try:
                    await provider._token.connect()
                except huks.BusinessError as error:
                    if error.code != 12000012:
                        return
                fresh = {ABILITY: Pkcs11Provider(slot.module, LABEL)}
                async with huks.Keystore.open(
                    "memory:", monitor=False, load_all=False, abilities=fresh, provider_timeout=PATIENCE
                ) as own:
                    await own.registerProvider(NAME, [ABILITY_PARAM])
                    await own.openResource(rid(label))
                    await own.authUkeyPin(rid(label), pin(PIN))
                    await run(own, label, last=b"x", ALGORITHM=ECC, PURPOSE=4, DIGEST=12)
                nonlocal_code.append(0)

            nonlocal_code = []
            worker = threading.Thread(target=lambda: asyncio.new_event_loop().run_until_complete(main()))
            worker.start()
            worker.join(100)
            code = 0 if nonlocal_code else 1
        finally:
            os._exit(code)
    for _ in range(2200):
        done, status = os.waitpid(child, os.WNOHANG)  # noqa: ASYNC222
        if done:
            break
        await asyncio.sleep(0.05)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)  # noqa: ASYNC222
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 0
    await run(keystore, label, last=b"x", ALGORITHM=ECC, PURPOSE=4, DIGEST=12)


async def test_missing_libraries_and_tokens_are_named(slot, tmp_path):
    """registerProvider is 12000020 for each."""
    slot.work()
    for module, label in ((str(tmp_path / "none.so"), LABEL), (slot.module, "unknown")):
        async with huks.Keystore.open(
            "memory:", monitor=False, load_all=False, abilities={ABILITY: Pkcs11Provider(module, label)}
        ) as keystore:
            with refused(12000020):
                await keystore.registerProvider(NAME, [ABILITY_PARAM])


@needs_compiler
async def test_proving_the_pin_again_leaves_no_session_behind(keystore, slot):
    """The session of the last login is the only one."""
    await keystore.openResource(rid("again"))
    await keystore.authUkeyPin(rid("again"), pin(PIN))
    before = slot.sessions()
    for _ in range(3):
        await keystore.authUkeyPin(rid("again"), pin(PIN))
    assert slot.sessions() == before
    await keystore.clearUkeyPinAuthState(rid("again"))
    assert slot.sessions() == before


PROTECTION = {
    "USER_AUTH_TYPE": 1,
    "AUTH_TIMEOUT": 5,
    "KEY_AUTH_ACCESS_TYPE": 1,
    "KEY_SECURE_SIGN_TYPE": 1,
    "CHALLENGE_TYPE": 0,
    "CHALLENGE_POS": 0,
    "KEY_AUTH_PURPOSE": 4,
    "USER_AUTH_MODE": 1,
    "KEY_ACCESS_GROUP": b"group",
    "IS_DEVICE_PASSWORD_SET": True,
}


@pytest.mark.parametrize("tag", [*PROTECTION, *_INNER])
async def test_protection_that_a_token_does_not_know_is_refused(keystore, tag):
    """12000001 when a key is made, and for sessions: a key would look safer than it is."""
    given = external(ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    extra = (
        {"tag": _INNER[tag], "value": True if tag.startswith("IS") else 1}
        if tag in _INNER
        else {"tag": huks.HuksTag[f"HUKS_TAG_{tag}"], "value": PROTECTION[tag]}
    )
    label = unique("guarded")
    await keystore.openResource(rid(label))
    await keystore.authUkeyPin(rid(label), pin(PIN))
    with refused(12000001, tag):
        await keystore.generateKeyItem(rid(label), {"properties": [*given["properties"], extra]})
    with refused(12000011):
        await keystore.exportKeyItem(rid(label), external())
    with refused(12000001, tag):
        await keystore.initSession(rid(label), {"properties": [*SIGN_ECC["properties"], extra]})


async def test_a_key_that_was_made_for_another_purpose_is_refused_at_once(keystore):
    """401 when the session is opened, as for keys of the keystore."""
    verifies, encrypts = unique("verifies"), unique("encrypts")
    await make(keystore, verifies, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=8)
    await make(keystore, encrypts, ALGORITHM=AES, KEY_SIZE=256, PURPOSE=1)
    with refused(401, "CKA_SIGN"):
        await keystore.initSession(rid(verifies), SIGN_ECC)
    with refused(401, "CKA_DECRYPT"):
        await keystore.initSession(rid(encrypts), external(ALGORITHM=AES, PURPOSE=2, BLOCK_MODE=1, PADDING=0))
    with refused(12000011):
        await keystore.initSession(rid(encrypts), SIGN_ECC)


async def test_what_a_working_token_refuses_is_no_failure_of_it(keystore):
    """12000001 with its own word; the key stays open, and the PIN proved."""
    label = unique("short")
    await make(keystore, label, ALGORITHM=HMAC, KEY_SIZE=128, PURPOSE=4)
    with refused(12000001, "KeySizeRange"):
        await run(keystore, label, last=b"x", ALGORITHM=HMAC, PURPOSE=128, DIGEST=14)
    ecc = unique("not RSA")
    await make(keystore, ecc, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    with refused(401, "HUKS_TAG_ALGORITHM"):
        await keystore.initSession(rid(ecc), external(ALGORITHM=RSA, PURPOSE=4, DIGEST=12, PADDING=3))
    await run(keystore, ecc, last=b"x", ALGORITHM=ECC, PURPOSE=4, DIGEST=12)


# --- the PIN of several callers and keys -----------------------------------------------------------------


async def test_a_pin_that_another_caller_proves_refuses_nobody(keystore):
    """The token is logged out for a moment meanwhile, in which it works for nobody."""
    label = unique("proved")
    await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    other = keystore.for_caller("other")
    await other.openResource(rid(label))
    proving = asyncio.ensure_future(other.authUkeyPin(rid(label), pin(PIN)))
    while not proving.done():
        await run(keystore, label, last=b"x", ALGORITHM=ECC, PURPOSE=4, DIGEST=12)
        assert await keystore.getUkeyPinAuthState(rid(label)) == STATE.HUKS_EXT_CRYPTO_PIN_AUTH_SUCCEEDED
    await proving


async def test_a_session_behind_a_wrong_pin_goes_on_when_the_pin_is_proved_again(keystore):
    """Its call is refused for want of the PIN (12000023), also if it was waiting while the PIN was looked at."""
    label = unique("behind")
    await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    other = keystore.for_caller("other")
    await other.openResource(rid(label))
    handle = (await keystore.initSession(rid(label), SIGN_ECC)).handle
    await keystore.updateSession(handle, external(b"hello "))
    wrong = asyncio.ensure_future(other.authUkeyPin(rid(label), pin(b"999999")))
    await asyncio.sleep(0)
    with refused(12000023):
        await keystore.finishSession(handle, external(b"world"))
    with refused(12000022):
        await wrong
    await keystore.authUkeyPin(rid(label), pin(PIN))
    signature = (await keystore.finishSession(handle, external(b"world"))).outData
    (await public(keystore, label)).verify(signature, b"hello world", ec.ECDSA(hashes.SHA256()))


async def test_closing_one_key_leaves_the_pin_to_the_callers_others(keystore):
    """So does clearing the PIN of one; with the last of them it is forgotten."""
    one, two, three = unique("first"), unique("second"), unique("third")
    for label in (one, two, three):
        await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    handle = (await keystore.initSession(rid(one), SIGN_ECC)).handle
    await keystore.closeResource(rid(two))
    await keystore.clearUkeyPinAuthState(rid(three))
    assert await keystore.getUkeyPinAuthState(rid(three)) == STATE.HUKS_EXT_CRYPTO_PIN_NO_AUTH
    with refused(12000023):
        await keystore.initSession(rid(three), SIGN_ECC)
    await keystore.finishSession(handle, external(b"x"))
    await keystore.closeResource(rid(one))
    await keystore.openResource(rid(one))
    with refused(12000023):
        await keystore.initSession(rid(one), SIGN_ECC)
    await keystore.authUkeyPin(rid(three), pin(PIN))
    await run(keystore, three, last=b"x", ALGORITHM=ECC, PURPOSE=4, DIGEST=12)


async def held_until_all_wait(token, *calls):
    """Begin calls in this order while the token's thread is held, then let it go; gives their tasks, done."""
    go = threading.Event()
    holding = asyncio.create_task(token.run(lambda session: go.wait(PATIENCE)))
    await asyncio.sleep(0)
    tasks = []
    for call in calls:
        tasks.append(asyncio.create_task(call))
        for _ in range(10):
            await asyncio.sleep(0)
    go.set()
    await holding
    await asyncio.wait(tasks)
    return tasks


async def test_a_key_that_was_cleared_waits_for_the_right_pin(keystore):
    """Not for a PIN that is on its way to the token, and may be wrong."""
    one, two = unique("cleared"), unique("kept")
    for label in (one, two):
        await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    await keystore.clearUkeyPinAuthState(rid(one))
    using, proving = await held_until_all_wait(
        keystore._abilities[ABILITY]._token,
        keystore.initSession(rid(one), SIGN_ECC),
        keystore.authUkeyPin(rid(one), pin(b"000000")),
    )
    with refused(12000023):
        await using
    with refused(12000022):
        await proving
    await keystore.authUkeyPin(rid(two), pin(PIN))
    with refused(12000023):
        await keystore.initSession(rid(one), SIGN_ECC)
    await keystore.authUkeyPin(rid(one), pin(PIN))
    await run(keystore, one, last=b"x", ALGORITHM=ECC, PURPOSE=4, DIGEST=12)


async def test_what_is_cleared_while_the_pin_is_looked_at(keystore):
    """The key that is cleared stays so; another one, for which the PIN is right, is not forgotten with it."""
    one, two = unique("cleared"), unique("kept")
    for label in (one, two):
        await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    token = keystore._abilities[ABILITY]._token
    for cleared, kept in ((one, two), (two, one)):
        await keystore.clearUkeyPinAuthState(rid(kept))
        tasks = await held_until_all_wait(
            token, keystore.authUkeyPin(rid(kept), pin(PIN)), keystore.clearUkeyPinAuthState(rid(cleared))
        )
        await asyncio.gather(*tasks)
        await run(keystore, kept, last=b"x", ALGORITHM=ECC, PURPOSE=4, DIGEST=12)
        with refused(12000023):
            await keystore.initSession(rid(cleared), SIGN_ECC)
        tasks = await held_until_all_wait(
            token, keystore.authUkeyPin(rid(cleared), pin(PIN)), keystore.clearUkeyPinAuthState(rid(cleared))
        )
        await asyncio.gather(*tasks)
        with refused(12000023):
            await keystore.initSession(rid(cleared), SIGN_ECC)
        await run(keystore, kept, last=b"x", ALGORITHM=ECC, PURPOSE=4, DIGEST=12)
        await keystore.authUkeyPin(rid(cleared), pin(PIN))


async def test_a_pin_that_was_on_its_way_to_a_cleared_key_and_was_dropped_counts_for_no_new_key(keystore):
    """All keys of the caller are cleared then, and the PIN is forgotten as it is when the last one is cleared."""
    one, two, new = unique("kept"), unique("cleared"), unique("new")
    for label in (new, one, two):
        await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    await keystore.closeResource(rid(new))
    await keystore.clearUkeyPinAuthState(rid(two))
    token, go = keystore._abilities[ABILITY]._token, threading.Event()
    holding = asyncio.create_task(token.run(lambda session: go.wait(PATIENCE)))
    proving = asyncio.create_task(keystore.authUkeyPin(rid(two), pin(b"000000")))
    for _ in range(10):
        await asyncio.sleep(0)
    await keystore.clearUkeyPinAuthState(rid(one))
    proving.cancel()
    await asyncio.wait([proving])
    go.set()
    await holding
    await keystore.openResource(rid(new))
    with refused(12000023):
        await keystore.initSession(rid(new), SIGN_ECC)


@needs_compiler
async def test_a_key_that_a_failed_driver_closes_leaves_the_pin_to_no_cleared_one(keystore, slot):
    """The closed key was the last for which it counted."""
    one, two, new = unique("fails"), unique("cleared"), unique("new")
    await make(keystore, new, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    await keystore.closeResource(rid(new))
    await make(keystore, one, ALGORITHM=AES, KEY_SIZE=256, PURPOSE=3)
    await make(keystore, two, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    await keystore.clearUkeyPinAuthState(rid(two))
    tags = {"ALGORITHM": AES, "PURPOSE": 1, "BLOCK_MODE": 1, "PADDING": 0}
    handle = (await keystore.initSession(rid(one), external(**tags))).handle
    slot.fail(DEVICE_MEMORY, ENCRYPT_INIT)
    with refused(12000006):
        await keystore.updateSession(handle, external(bytes(16)))
    slot.work()
    assert not keystore._abilities[ABILITY]._token._logged_in
    await keystore.openResource(rid(new))
    with refused(12000023):
        await keystore.initSession(rid(new), SIGN_ECC)


@needs_compiler
@pytest.mark.parametrize("failure", ["pulled out", "driver"])
async def test_what_was_open_at_a_token_that_failed_is_forgotten(keystore, slot, failure):
    """The provider keeps no key, session or caller that the keystore has given up."""
    label = unique("failed")
    provider = keystore._abilities[ABILITY]
    await make(keystore, label, ALGORITHM=HMAC, KEY_SIZE=256, PURPOSE=4)
    for _ in range(3):
        handle = (
            await keystore.initSession(rid(label), external(ALGORITHM=HMAC, PURPOSE=128, DIGEST=12))
        ).handle
        await keystore.updateSession(handle, external(b"x"))
    slot.fail(REMOVED if failure == "pulled out" else DEVICE_MEMORY, TOKEN_INFO)
    with refused(12000006):
        await keystore.getUkeyPinAuthState(rid(label))
    slot.work()
    assert not provider._resources
    assert not provider._sessions
    assert not provider._token._proved
    assert not provider._token._marks
    with refused(12000011):
        await keystore.finishSession(handle, external(b"x"))


async def test_a_finish_that_was_refused_can_be_repeated(keystore):
    """With data that is complete; the token's half of the session was gone, and the keystore's stayed."""
    label = unique("finish refused")
    await make(keystore, label, ALGORITHM=AES, KEY_SIZE=256, PURPOSE=3)
    tags = {"ALGORITHM": AES, "BLOCK_MODE": 1, "PADDING": 0}
    handle = (await keystore.initSession(rid(label), external(PURPOSE=1, **tags))).handle
    with refused(401, "whole blocks"):
        await keystore.finishSession(handle, external(b"short"))
    sealed = (await keystore.finishSession(handle, external(b"long enough text"))).outData
    assert await run(keystore, label, last=sealed, PURPOSE=2, **tags) == b"long enough text"

    handle = (await keystore.initSession(rid(label), external(PURPOSE=1, **tags))).handle
    with refused(401, "whole blocks"):
        await keystore.finishSession(handle, external(b"short"))
    await keystore.abortSession(handle, external())
    assert not keystore._abilities[ABILITY]._sessions


@needs_compiler
async def test_a_session_whose_update_failed_at_the_token_is_forgotten(keystore, slot):
    """As the keystore forgets it."""
    label = unique("update fails")
    await make(keystore, label, ALGORITHM=AES, KEY_SIZE=256, PURPOSE=3)
    tags = {"ALGORITHM": AES, "PURPOSE": 1, "BLOCK_MODE": 1, "PADDING": 0}
    handle = (await keystore.initSession(rid(label), external(**tags))).handle
    slot.fail(DEVICE_MEMORY, ENCRYPT_INIT)
    with refused(12000006):
        await keystore.updateSession(handle, external(bytes(16)))
    slot.work()
    assert not keystore._abilities[ABILITY]._sessions


# python-pkcs11 ends a search when its iterator goes, and cannot raise there what a token that is gone says to that
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@needs_compiler
@pytest.mark.parametrize("failure", ["pulled out", "driver"])
@pytest.mark.parametrize("step", ["updateSession", "finishSession"])
async def test_a_token_that_a_session_missed_is_opened_again(keystore, slot, failure, step):
    """Without closing the key, which has been closed; the caller's other keys are told at their next call."""
    label, other = unique("missed"), unique("not used")
    provider = keystore._abilities[ABILITY]
    await make(keystore, label, ALGORITHM=AES, KEY_SIZE=256, PURPOSE=3)
    if failure == "pulled out":
        await keystore.openResource(rid(other))
    tags = {"ALGORITHM": AES, "PURPOSE": 1, "BLOCK_MODE": 1, "PADDING": 0}
    handle = (await keystore.initSession(rid(label), external(**tags))).handle
    slot.fail(REMOVED if failure == "pulled out" else DEVICE_MEMORY, ENCRYPT_INIT)
    with refused(12000006):
        await getattr(keystore, step)(handle, external(bytes(16)))
    slot.work()
    assert not provider._resources
    assert not provider._token._marks
    assert not provider._token._logged_in
    await keystore.openResource(rid(label))
    await keystore.authUkeyPin(rid(label), pin(PIN))
    await run(keystore, label, last=bytes(16), **tags)
    if failure == "pulled out":
        with refused(12000011):
            await keystore.authUkeyPin(rid(other), pin(PIN))
        await keystore.openResource(rid(other))


# --- several tokens of one library ------------------------------------------------------------------------


@needs_compiler
async def test_calls_of_one_library_come_one_after_the_other(keystore, slot):
    """Because it is initialized without locks of its own: another token and a root key wait for one that hangs."""
    module = os.path.join(slot.folder, "..", slot.folder.name, os.path.basename(slot.module))
    second = Pkcs11Provider(module, OTHER)
    await keystore.openResource(rid("held up"))
    async with huks.Keystore.open(
        "memory:", monitor=False, load_all=False, abilities={ABILITY: second}, provider_timeout=PATIENCE
    ) as other:
        await other.registerProvider(NAME, [ABILITY_PARAM])
        slot.hang()
        try:
            held = [
                asyncio.ensure_future(keystore.openResource(rid("hangs"))),
                asyncio.ensure_future(other.openResource(rid("waits"))),
                asyncio.ensure_future(Pkcs11RootKey(slot.module, OTHER, PIN.decode()).generate()),
            ]
            await until(lambda: slot.calls()[0] > 0)
            await asyncio.sleep(0.2)
            assert not any(call.done() for call in held)
        finally:
            slot.work()
        await asyncio.gather(*held)
    assert slot.calls() == (0, 1)


@needs_compiler
async def test_a_root_key_beside_a_provider_leaves_no_session_behind(keystore, slot):
    """Whether a caller of the provider is logged in at the token or not, who stays so."""
    label, key = unique("beside"), bytes(range(32))
    root_key = Pkcs11RootKey(slot.module, LABEL, PIN.decode(), label=unique("root"))
    await root_key.generate()
    await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    for _ in range(2):
        before = slot.sessions()
        wrapped = await root_key.wrap(key)
        assert await root_key.unwrap(wrapped) == key
        with refused(12000017):
            await root_key.generate()
        assert slot.sessions() == before
        await run(keystore, label, last=b"x", ALGORITHM=ECC, PURPOSE=4, DIGEST=12)
        await keystore.clearUkeyPinAuthState(rid(label))
        assert not keystore._abilities[ABILITY]._token._logged_in
        assert await root_key.unwrap(wrapped) == key
        with refused(12000022):
            await Pkcs11RootKey(slot.module, LABEL, "999999", label=root_key._label).open()
        await keystore.authUkeyPin(rid(label), pin(PIN))


async def test_who_looks_for_a_missing_token_ends_nobodys_session(keystore, slot):
    """A library is initialized again only while no other token of it is in use."""
    label = unique("goes on")
    await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    handle = (await keystore.initSession(rid(label), SIGN_ECC)).handle
    missing = Pkcs11Provider(slot.module, "not there")
    async with huks.Keystore.open(
        "memory:", monitor=False, load_all=False, abilities={ABILITY: missing}, provider_timeout=PATIENCE
    ) as seeking:
        for _ in range(3):
            with refused(12000020, "NoSuchToken"):
                await seeking.registerProvider(NAME, [ABILITY_PARAM])
    signature = (await keystore.finishSession(handle, external(b"hello"))).outData
    (await public(keystore, label)).verify(signature, b"hello", ec.ECDSA(hashes.SHA256()))


# --- the end of a provider's use --------------------------------------------------------------------------


@pytest.fixture
def threads():
    """The threads of tokens. Those of earlier tests had time to end, and so had their sessions."""

    def alive():
        return threads_begun("huks-token")

    let_threads_end()
    return alive


async def until(reached):
    async with asyncio.timeout(PATIENCE):
        while not reached():
            await asyncio.sleep(0.01)


def opened(provider, *, provider_timeout=PATIENCE, **more):
    abilities = {ABILITY: provider, "Second": provider}
    return huks.Keystore.open(
        "memory:",
        monitor=False,
        load_all=False,
        abilities=abilities,
        provider_timeout=provider_timeout,
        **more,
    )


async def test_its_thread_ends_with_the_last_keystore(slot, threads):
    """Also if the token was never there; a provider that is used again gets another thread."""
    provider = Pkcs11Provider(slot.module, LABEL)
    slot.pull_out()
    async with opened(provider) as first:
        with refused(12000020):
            await first.registerProvider(NAME, [ABILITY_PARAM])
        await until(lambda: not threads())
    slot.put_back()
    for _ in range(2):
        async with opened(provider) as first:
            await first.registerProvider(NAME, [ABILITY_PARAM])
            async with opened(provider) as second:
                await second.registerProvider(NAME, [ABILITY_PARAM])
            assert len(threads()) == 1
            await first.openResource(rid("still there"))
        await until(lambda: not threads())


@needs_compiler
async def test_its_session_at_the_token_ends_with_the_last_keystore(slot, threads):
    """With the login, also when a caller's PIN was not cleared; what begins right after it finds a token at work."""
    provider, label = Pkcs11Provider(slot.module, LABEL), unique("leaves")
    before = slot.sessions()
    for number in range(3):
        async with opened(provider) as keystore:
            await keystore.registerProvider(NAME, [ABILITY_PARAM])
            await keystore.openResource(rid(label))
            with refused(12000023):
                await keystore.generateKeyItem(rid(label), external(ALGORITHM=AES, KEY_SIZE=256, PURPOSE=3))
            await keystore.authUkeyPin(rid(label), pin(PIN))
            assert slot.sessions() == before + 1
            if number == 0:
                await keystore.generateKeyItem(rid(label), external(ALGORITHM=AES, KEY_SIZE=256, PURPOSE=3))
        if number:
            await until(lambda: not threads())
            assert slot.sessions() == before
    await until(lambda: not threads())


@needs_compiler
async def test_a_token_that_hangs_costs_one_thread(slot, threads):
    """However often a registration is tried, cancelled or cut short; and none when the token answers again."""
    provider, label = Pkcs11Provider(slot.module, LABEL), unique("held up")
    before = slot.sessions()
    async with opened(provider) as other:
        await other.registerProvider(NAME, [ABILITY_PARAM])
        await make(other, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
    await until(lambda: not threads())
    slot.hang()
    try:
        async with opened(provider, provider_timeout=0.1) as keystore:
            for _ in range(3):
                with refused(12000020):
                    await keystore.registerProvider(NAME, [ABILITY_PARAM])
                task = asyncio.ensure_future(keystore.registerProvider(NAME, [ABILITY_PARAM]))
                await asyncio.sleep(0.01)
                task.cancel()
                with suppress(asyncio.CancelledError, huks.BusinessError):
                    await task
        assert len(threads()) == 1
    finally:
        slot.work()
    await until(lambda: not threads())
    assert slot.sessions() == before
    async with opened(provider) as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await keystore.openResource(rid(label))
        await public(keystore, label)
    await until(lambda: not threads())


@needs_compiler
@pytest.mark.parametrize("step", ["authUkeyPin", "openResource", "initSession", "updateSession"])
async def test_closing_while_a_call_hangs_leaves_nothing(slot, threads, step):
    """The keystore closes in time; when the token answers again, the login, session and thread of the call end."""
    provider, label = Pkcs11Provider(slot.module, LABEL), unique("closed")
    before = slot.sessions()
    async with opened(provider) as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
        handle = (await keystore.initSession(rid(label), SIGN_ECC)).handle
        calls = {
            "authUkeyPin": lambda: keystore.authUkeyPin(rid(label), pin(PIN)),
            "openResource": lambda: keystore.openResource(rid("another")),
            "initSession": lambda: keystore.initSession(rid(label), SIGN_ECC),
            "updateSession": lambda: keystore.updateSession(handle, external(b"x")),
        }
        keystore._open_state().providers._asker.timeout = 0.2
        slot.hang()
        task = asyncio.ensure_future(calls[step]())
        await asyncio.sleep(0.05)
    try:
        assert len(threads()) <= 1
    finally:
        slot.work()
    with suppress(huks.BusinessError):
        await task
    await until(lambda: not threads())
    assert slot.sessions() == before
    async with opened(provider) as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await keystore.openResource(rid(label))
        with refused(12000023):  # whatever PIN was proved before
            await keystore.initSession(rid(label), SIGN_ECC)
        await keystore.authUkeyPin(rid(label), pin(PIN))
        await run(keystore, label, last=b"x", ALGORITHM=ECC, PURPOSE=4, DIGEST=12)


@needs_compiler
async def test_keystores_that_share_a_token_do_not_disturb_one_another(slot, threads):
    """Others come and go, each in an event loop of its own; the PIN that one has proved stays its own."""
    provider, label = Pkcs11Provider(slot.module, LABEL), unique("shared")
    before = slot.sessions()

    async def visit(name):
        async with opened(provider, namespace=name) as visitor:
            await visitor.registerProvider(NAME, [ABILITY_PARAM])
            own = rid(label, bundle=name)
            await visitor.openResource(own)
            with refused(12000023):
                await visitor.initSession(own, SIGN_ECC)

    def visits(name):
        for _ in range(5):
            asyncio.run(visit(name))

    async with opened(provider) as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
        guests = asyncio.gather(*(asyncio.to_thread(visits, name) for name in ("left", "right")))
        while not guests.done():
            await run(keystore, label, last=b"x", ALGORITHM=ECC, PURPOSE=4, DIGEST=12)
        await guests
        assert len(threads()) == 1
    await until(lambda: not threads())
    assert slot.sessions() == before


@needs_compiler
async def test_a_provider_that_was_made_before_a_fork_is_the_childs_if_it_was_not_used(slot, threads):
    """So that programs may make it before they fork their workers, even while another provider holds the token."""
    unused, used, label = (
        Pkcs11Provider(slot.module, LABEL),
        Pkcs11Provider(slot.module, LABEL),
        unique("child"),
    )
    async with opened(used) as keystore:
        await keystore.registerProvider(NAME, [ABILITY_PARAM])
        await make(keystore, label, ALGORITHM=ECC, KEY_SIZE=256, PURPOSE=12)
        slot.hang()
        task = asyncio.ensure_future(keystore.openResource(rid("another")))
        await until(lambda: slot.calls()[0] > 0)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                slot.work()

                async def main():
                    async with opened(unused) as own:
                        await own.registerProvider(NAME, [ABILITY_PARAM])
                        await own.openResource(rid(label))
                        await public(own, label)

                worker = threading.Thread(target=lambda: (asyncio.run(main()), done.append(1)))
                done = []
                worker.start()
                worker.join(PATIENCE)
                code = 0 if done else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(await asyncio.to_thread(lambda: os.waitpid(child, 0)[1])) == 0
        slot.work()
        await task
    await until(lambda: not threads())


async def test_without_the_extra_the_error_names_it(monkeypatch):
    """The module is imported late, and what is missing is said."""
    let_threads_end()  # without the module they would leave their sessions open
    monkeypatch.setitem(__import__("sys").modules, "pkcs11", None)
    async with huks.Keystore.open(
        "memory:", monitor=False, load_all=False, abilities={ABILITY: Pkcs11Provider("x.so", "t")}
    ) as keystore:
        with refused(12000020, "huks-async[pkcs11]"):
            await keystore.registerProvider(NAME, [ABILITY_PARAM])


@pytest.mark.parametrize("module", ["", "a\0b", "a\ud800b", b"bytes", 5, None], ids=ascii)
async def test_a_module_that_is_no_path_is_refused_at_once(module):
    """401 with the name of the argument, before any library is loaded."""
    with pytest.raises(huks.BusinessError, match="Pkcs11Provider: module must be the path") as caught:
        Pkcs11Provider(module, "token")
    assert caught.value.code == 401


@pytest.mark.parametrize("token", ["a\ud800b", b"bytes", 5, None], ids=ascii)
async def test_a_token_that_is_no_text_is_refused_at_once(token):
    """401 with the name of the argument."""
    with pytest.raises(huks.BusinessError, match="Pkcs11Provider: token ") as caught:
        Pkcs11Provider("x.so", token)
    assert caught.value.code == 401
