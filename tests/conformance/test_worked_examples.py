"""The documented samples, one test each, named by their numbers: keys (A), ciphers (B), signatures (C), MACs (D)."""

import os
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, hmac, padding
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_private_key

import huks_async as huks
from tests.conformance import support as s
from tests.conformance.support import NOTHING, Params, data, options, refused, run
from tests.keys.key_samples import openssl, sample

# what is weak today is part of the samples; that it warns is tested where it is built
pytestmark = [pytest.mark.asyncio, pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning")]

PLAIN = b"123456"
AES_SAMPLE_KEY = bytes.fromhex("fb8b9f12a08319be6a6f632a7c86baca640b8896e2fa77bc71e30f0f9e3ce5f9")
PKCS1 = rsa_padding.PKCS1v15()


async def stored_numbers(keystore: huks.Keystore, alias: str) -> dict[int, Any]:
    """The stored properties of a key, by tag."""
    found = await keystore.getKeyItemProperties(alias, NOTHING)
    return {param.tag: param.value for param in found.properties}


# --- A: keys ------------------------------------------------------------------------------------


async def test_a1_generate_dh(keystore: huks.Keystore) -> None:
    """A generated DH key is exported as a SubjectPublicKeyInfo in the group ffdhe2048."""
    await keystore.generateKeyItem("dh_key", options(ALGORITHM=s.DH, PURPOSE=s.AGREE, KEY_SIZE=2048))
    spki = (await keystore.exportKeyItem("dh_key", NOTHING)).outData
    text = openssl("pkey", "-pubin", "-inform", "DER", "-noout", "-text", stdin=spki).decode()
    assert "2048 bit" in text
    assert "ffdhe2048" in text
    assert (await stored_numbers(keystore, "dh_key"))[huks.HuksTag.HUKS_TAG_KEY_FLAG] == 2


async def test_a2_import_aes(keystore: huks.Keystore) -> None:
    """An imported AES key without a mode works in every mode, with the results of a plain library."""
    await keystore.importKeyItem(
        "AES256Alias_sample",
        options(AES_SAMPLE_KEY, ALGORITHM=s.AES, KEY_SIZE=256, PURPOSE=s.CIPHER),
    )
    base = {"ALGORITHM": s.AES, "PURPOSE": s.ENCRYPT, "KEY_SIZE": 256}
    block = bytes(range(48))
    for mode, reference in ((s.ECB, modes.ECB()), (s.CBC, modes.CBC(s.IV16)), (s.CTR, modes.CTR(s.IV16))):
        expected = Cipher(algorithms.AES(AES_SAMPLE_KEY), reference).encryptor().update(block)
        given = None if mode == s.ECB else s.IV16
        out = await run(
            keystore,
            "AES256Alias_sample",
            last=block,
            **base,
            BLOCK_MODE=mode,
            PADDING=s.NOPAD,
            IV=given,
        )
        assert out == expected, mode
    gcm = {"BLOCK_MODE": s.GCM, "PADDING": s.NOPAD, "NONCE": s.NONCE12, "AAD": b"aad"}
    out = await run(keystore, "AES256Alias_sample", last=block, **base, **gcm)
    assert out == AESGCM(AES_SAMPLE_KEY).encrypt(s.NONCE12, block, b"aad")
    assert (await stored_numbers(keystore, "AES256Alias_sample"))[huks.HuksTag.HUKS_TAG_KEY_FLAG] == 1


async def test_a3_import_rsa_pair(keystore: huks.Keystore) -> None:
    """An RSA pair in the header form (535 bytes) is exported with its numbers, and round trips."""
    key = sample(s.RSA, 2048)
    blob = key.blob()
    assert len(blob) == 535
    assert blob[:20].hex() == "0100000000080000000100000300000000010000"
    await keystore.importKeyItem(
        "RSA_sample",
        options(blob, ALGORITHM=s.RSA, KEY_SIZE=2048, PURPOSE=s.CIPHER, IMPORT_KEY_TYPE=s.PAIR),
    )
    assert (await keystore.exportKeyItem("RSA_sample", NOTHING)).outData == key.spki
    assert len(key.spki) == 294
    base = {"ALGORITHM": s.RSA, "KEY_SIZE": 2048, "PADDING": s.PKCS1, "DIGEST": s.NO_DIGEST}
    sealed = await run(keystore, "RSA_sample", last=PLAIN, **base, PURPOSE=s.ENCRYPT)
    private = load_pem_private_key(key.pem, None)
    assert isinstance(private, rsa.RSAPrivateKey)
    assert private.decrypt(sealed, PKCS1) == PLAIN
    assert await run(keystore, "RSA_sample", last=sealed, **base, PURPOSE=s.DECRYPT) == PLAIN


async def test_a4_import_x25519_public(keystore: huks.Keystore) -> None:
    """Any 32 bytes are an X25519 public key, even with the sample's purpose VERIFY, and come back."""
    public = bytes.fromhex("302A300506032B656E032100D2369ECF") + bytes(16)
    await keystore.importKeyItem(
        "X25519_sample",
        options(public, ALGORITHM=s.X25519, KEY_SIZE=256, PURPOSE=s.VERIFY, IMPORT_KEY_TYPE=s.PUBLIC),
    )
    assert (await keystore.exportKeyItem("X25519_sample", NOTHING)).outData == public


async def test_a5_existence(keystore: huks.Keystore) -> None:
    """hasKeyItem tells, isKeyItemExist tells of a key that is there and rejects for one that is not."""
    await keystore.generateKeyItem("key", options(ALGORITHM=s.AES, KEY_SIZE=128, PURPOSE=s.CIPHER))
    assert await keystore.hasKeyItem("key", NOTHING) is True
    assert await keystore.isKeyItemExist("key", NOTHING) is True
    assert await keystore.hasKeyItem("absent", NOTHING) is False
    with refused(12000011, "absent"):
        await keystore.isKeyItemExist("absent", NOTHING)


async def test_a6_export(keystore: huks.Keystore) -> None:
    """A generated asymmetric key is exported in the documented form."""
    await keystore.generateKeyItem(
        "key", options(ALGORITHM=s.ECC, KEY_SIZE=256, PURPOSE=s.SIGNATURE, DIGEST=s.SHA256)
    )
    spki = (await keystore.exportKeyItem("key", NOTHING)).outData
    public = load_der_public_key(spki)
    assert len(spki) == 91
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == "secp256r1"


async def test_a7_properties(keystore: huks.Keystore) -> None:
    """The properties are the tags of generation and those the keystore adds, without key bytes."""
    given = {
        "ALGORITHM": s.AES,
        "KEY_SIZE": 128,
        "PURPOSE": s.CIPHER,
        "BLOCK_MODE": s.CBC,
        "PADDING": s.PKCS7,
    }
    await keystore.generateKeyItem("key", options(**given, KEY_OVERRIDE=True))
    found = await stored_numbers(keystore, "key")
    tag = huks.HuksTag
    for name, value in given.items():
        assert found[tag[f"HUKS_TAG_{name}"]] == value
    assert found[tag.HUKS_TAG_KEY_FLAG] == 2
    assert found[tag.HUKS_TAG_AUTH_STORAGE_LEVEL] == s.CE
    assert found[tag.HUKS_TAG_OS_VERSION] == found[tag.HUKS_TAG_OS_PATCHLEVEL] == 1
    assert isinstance(found[tag.HUKS_TAG_PROCESS_NAME], bytes)
    assert tag.HUKS_TAG_KEY_VERSION in found
    assert tag.HUKS_TAG_KEY not in found
    assert tag.HUKS_TAG_KEY_OVERRIDE not in found


async def test_a8_list_aliases(keystore: huks.Keystore) -> None:
    """The list has exactly the aliases of the level that was asked for."""
    key = {"ALGORITHM": s.AES, "KEY_SIZE": 128, "PURPOSE": s.CIPHER}
    for alias, level in (("de one", s.DE), ("de two", s.DE), ("ce", s.CE), ("default", None)):
        await keystore.generateKeyItem(alias, options(**key, AUTH_STORAGE_LEVEL=level))
    listed = await keystore.listAliases(options(AUTH_STORAGE_LEVEL=s.DE))
    assert sorted(listed.keyAliases) == ["de one", "de two"]
    assert sorted((await keystore.listAliases(NOTHING)).keyAliases) == ["ce", "default"]


async def test_a9_delete(keystore: huks.Keystore) -> None:
    """A deleted key is gone for every function, and cannot be deleted again."""
    await keystore.generateKeyItem("key", options(ALGORITHM=s.AES, KEY_SIZE=128, PURPOSE=s.CIPHER))
    await keystore.deleteKeyItem("key", NOTHING)
    assert await keystore.hasKeyItem("key", NOTHING) is False
    for call in (
        keystore.isKeyItemExist("key", NOTHING),
        keystore.exportKeyItem("key", NOTHING),
        keystore.getKeyItemProperties("key", NOTHING),
        keystore.initSession("key", options(ALGORITHM=s.AES, PURPOSE=s.ENCRYPT)),
        keystore.deleteKeyItem("key", NOTHING),
    ):
        with refused(12000011):
            await call


# --- B: ciphers ---------------------------------------------------------------------------------


async def round_trip(keystore: huks.Keystore, key: Params, session: Params, plain: bytes = PLAIN) -> bytes:
    """The sample's sequence, with the data in finish and in update; gives a ciphertext."""
    await keystore.generateKeyItem("key", options(**key))
    base = key | session
    sealed = b""
    for updates, last in (((), plain), ((plain,), b""), ((plain[:2],), plain[2:])):
        sealed = await run(keystore, "key", *updates, last=last, **(base | {"PURPOSE": s.ENCRYPT}))
        opened = base | {"PURPOSE": s.DECRYPT}
        if base["BLOCK_MODE"] == s.GCM:
            sealed, opened["AE_TAG"] = sealed[:-16], sealed[-16:]
        assert await run(keystore, "key", last=sealed, **opened) == plain
        assert await run(keystore, "key", sealed, **opened) == plain
    await keystore.deleteKeyItem("key", NOTHING)
    return sealed


@pytest.mark.filterwarnings("ignore::huks_async.HuksCompatibilityWarning")
async def test_b1_aes_cbc_with_a_short_iv(keystore: huks.Keystore) -> None:
    """The sample's 12-byte IV runs: extended with zeros, as a plain library confirms, and warned of."""
    key = {"ALGORITHM": s.AES, "KEY_SIZE": 128, "PURPOSE": s.CIPHER, "BLOCK_MODE": s.CBC, "PADDING": s.PKCS7}
    assert len(await round_trip(keystore, key, {"IV": s.NONCE12})) == 16
    secret = os.urandom(16)
    await keystore.importKeyItem("known", options(secret, **key))
    with pytest.warns(huks.HuksCompatibilityWarning, match="12 bytes"):
        sealed = await run(keystore, "known", last=PLAIN, **(key | {"PURPOSE": s.ENCRYPT, "IV": s.NONCE12}))
    padder = padding.PKCS7(128).padder()
    block = padder.update(PLAIN) + padder.finalize()
    assert sealed == Cipher(algorithms.AES(secret), modes.CBC(s.NONCE12 + bytes(4))).encryptor().update(block)


async def test_b2_aes_gcm(keystore: huks.Keystore) -> None:
    """Ciphertext and 16 bytes of tag come out; the tag goes in at init, and a changed one is refused."""
    key = {"ALGORITHM": s.AES, "KEY_SIZE": 128, "PURPOSE": s.CIPHER, "BLOCK_MODE": s.GCM, "PADDING": s.NOPAD}
    aead = {"AAD": b"1234567890123456", "NONCE": s.NONCE12}
    assert len(await round_trip(keystore, key, aead)) == 6
    secret = os.urandom(16)
    await keystore.importKeyItem("known", options(secret, **key))
    sealed = await run(keystore, "known", last=PLAIN, **(key | aead | {"PURPOSE": s.ENCRYPT}))
    assert sealed == AESGCM(secret).encrypt(s.NONCE12, PLAIN, aead["AAD"])
    tag = bytearray(sealed[-16:])
    tag[3] ^= 1
    with refused(12000006):
        await run(
            keystore, "known", last=sealed[:-16], **(key | aead | {"PURPOSE": s.DECRYPT, "AE_TAG": tag})
        )


async def test_b3_rsa_pkcs1(keystore: huks.Keystore) -> None:
    """Two encryptions of one plaintext are 256 bytes each and differ; both decrypt."""
    base = {
        "ALGORITHM": s.RSA,
        "KEY_SIZE": 2048,
        "PADDING": s.PKCS1,
        "DIGEST": s.NO_DIGEST,
        "BLOCK_MODE": s.ECB,
    }
    await keystore.generateKeyItem("key", options(**base, PURPOSE=s.CIPHER))
    first = await run(keystore, "key", last=PLAIN, **base, PURPOSE=s.ENCRYPT)
    second = await run(keystore, "key", PLAIN, **base, PURPOSE=s.ENCRYPT)
    assert len(first) == len(second) == 256
    assert first != second
    public = load_der_public_key((await keystore.exportKeyItem("key", NOTHING)).outData)
    assert isinstance(public, rsa.RSAPublicKey)
    for sealed in (first, second, public.encrypt(PLAIN, PKCS1)):
        assert await run(keystore, "key", last=sealed, **base, PURPOSE=s.DECRYPT) == PLAIN


async def test_b4_rsa_oaep(keystore: huks.Keystore) -> None:
    """OAEP is that of SHA-256 with MGF1 of SHA-256 and an empty label; a session needs KEY_SIZE."""
    base = {"ALGORITHM": s.RSA, "PADDING": s.OAEP, "DIGEST": s.SHA256, "BLOCK_MODE": s.ECB}
    await keystore.generateKeyItem("key", options(**base, KEY_SIZE=2048, PURPOSE=s.CIPHER))
    public = load_der_public_key((await keystore.exportKeyItem("key", NOTHING)).outData)
    assert isinstance(public, rsa.RSAPublicKey)
    oaep = rsa_padding.OAEP(rsa_padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    ours = await run(keystore, "key", last=PLAIN, **base, KEY_SIZE=2048, PURPOSE=s.ENCRYPT)
    assert len(ours) == 256
    for sealed in (ours, public.encrypt(PLAIN, oaep)):
        assert await run(keystore, "key", sealed, **base, KEY_SIZE=2048, PURPOSE=s.DECRYPT) == PLAIN
    with refused(12000004, "HUKS_TAG_KEY_SIZE"):
        await keystore.initSession("key", options(**base, PURPOSE=s.ENCRYPT))


async def test_b5_sm2(keystore: huks.Keystore) -> None:
    """The ciphertext is a DER sequence of x, y, C3 and C2, and round trips."""
    base = {"ALGORITHM": s.SM2, "KEY_SIZE": 256, "DIGEST": s.SM3}
    await keystore.generateKeyItem("key", options(**base, PURPOSE=s.CIPHER))
    sealed = await run(keystore, "key", last=PLAIN, **base, PURPOSE=s.ENCRYPT)
    text = openssl("asn1parse", "-inform", "DER", stdin=sealed).decode()
    kinds = [line.split("prim:")[1].split()[0] for line in text.splitlines() if "prim:" in line]
    assert kinds == ["INTEGER", "INTEGER", "OCTET", "OCTET"]
    assert await run(keystore, "key", sealed, **base, PURPOSE=s.DECRYPT) == PLAIN


async def test_b6_des_cbc(keystore: huks.Keystore) -> None:
    """DES is 3DES with the same key three times, as a plain library confirms."""
    key = {"ALGORITHM": s.DES, "KEY_SIZE": 64, "PURPOSE": s.CIPHER, "BLOCK_MODE": s.CBC, "PADDING": s.NOPAD}
    iv = b"12345678"
    await keystore.generateKeyItem("key", options(**key))
    base = key | {"IV": iv}
    sealed = await run(keystore, "key", last=iv, **(base | {"PURPOSE": s.ENCRYPT}))
    assert len(sealed) == 8
    assert await run(keystore, "key", last=sealed, **(base | {"PURPOSE": s.DECRYPT})) == iv
    secret = os.urandom(8)
    await keystore.importKeyItem("known", options(secret, **key))
    assert await run(keystore, "known", last=iv, **(base | {"PURPOSE": s.ENCRYPT})) == Cipher(
        TripleDES(secret * 3), modes.CBC(iv)
    ).encryptor().update(iv)


@pytest.mark.parametrize("mode", [s.ECB, s.CBC, s.CTR])
@pytest.mark.parametrize("algorithm", [s.AES, s.SM4])
async def test_b7_other_modes(keystore: huks.Keystore, algorithm: int, mode: int) -> None:
    """AES and SM4 in ECB, CBC and CTR equal a plain library."""
    secret, block = os.urandom(16), os.urandom(64)
    key = {"ALGORITHM": algorithm, "KEY_SIZE": 128, "BLOCK_MODE": mode, "PADDING": s.NOPAD}
    await keystore.importKeyItem("key", options(secret, **key, PURPOSE=s.CIPHER))
    base = key | ({} if mode == s.ECB else {"IV": s.IV16})
    cipher = algorithms.AES(secret) if algorithm == s.AES else algorithms.SM4(secret)
    reference = {s.ECB: modes.ECB(), s.CBC: modes.CBC(s.IV16), s.CTR: modes.CTR(s.IV16)}[mode]
    sealed = await run(keystore, "key", block[:10], last=block[10:], **base, PURPOSE=s.ENCRYPT)
    assert sealed == Cipher(cipher, reference).encryptor().update(block)
    assert await run(keystore, "key", sealed[:17], last=sealed[17:], **base, PURPOSE=s.DECRYPT) == block


@pytest.mark.parametrize(("mode", "nonce_bytes"), [(s.GCM, 12), (s.CCM, 7)])
async def test_b_nonce_made_by_the_keystore(keystore: huks.Keystore, mode: int, nonce_bytes: int) -> None:
    """Without a nonce one is made and follows the tag; with it the ciphertext decrypts."""
    base = {"ALGORITHM": s.AES, "KEY_SIZE": 256, "BLOCK_MODE": mode, "PADDING": s.NOPAD}
    await keystore.generateKeyItem("key", options(**base, PURPOSE=s.CIPHER))
    out = await run(keystore, "key", last=PLAIN, **base, PURPOSE=s.ENCRYPT)
    assert len(out) == 6 + 16 + nonce_bytes
    parts = {"AE_TAG": out[6:22], "NONCE": out[22:]}
    assert await run(keystore, "key", last=out[:6], **base, **parts, PURPOSE=s.DECRYPT) == PLAIN


async def test_b_padding_and_mode_mistakes(keystore: huks.Keystore) -> None:
    """Another padding than the key's, a partial block and an unknown mode have their documented codes."""
    base = {"ALGORITHM": s.AES, "KEY_SIZE": 128, "PURPOSE": s.ENCRYPT, "IV": s.IV16}
    key = options(ALGORITHM=s.AES, KEY_SIZE=128, PURPOSE=s.CIPHER, BLOCK_MODE=s.CBC, PADDING=s.PKCS7)
    await keystore.generateKeyItem("cbc", key)
    with refused(401, "HUKS_TAG_PADDING", "HUKS_PADDING_PKCS7"):
        await keystore.initSession("cbc", options(**base, BLOCK_MODE=s.CBC, PADDING=s.NOPAD))
    await keystore.generateKeyItem("open", options(ALGORITHM=s.AES, KEY_SIZE=128, PURPOSE=s.CIPHER))
    with refused(401, "multiple of 16"):
        await run(keystore, "open", last=bytes(15), **base, BLOCK_MODE=s.ECB, PADDING=s.NOPAD)
    with refused(12000003, "HUKS_TAG_BLOCK_MODE"):
        await keystore.initSession("open", options(**base, BLOCK_MODE=99, PADDING=s.NOPAD))
    with refused(12000002, "HUKS_TAG_BLOCK_MODE"):
        await keystore.initSession("open", options(**base, PADDING=s.NOPAD))


# --- C: signatures ------------------------------------------------------------------------------


async def sign_and_verify(keystore: huks.Keystore, key: Params) -> tuple[bytes, bytes]:
    """The sample's steps and its negatives; gives signature and exported key."""
    await keystore.generateKeyItem("key", options(**key, PURPOSE=s.SIGNATURE))
    session = await keystore.initSession("key", options(b"ignored", **key, PURPOSE=s.SIGN))
    signature = (await keystore.finishSession(session.handle, options(PLAIN, **key, PURPOSE=s.SIGN))).outData
    session = await keystore.initSession("key", options(PLAIN, **key, PURPOSE=s.VERIFY))
    assert (await keystore.updateSession(session.handle, options(PLAIN, **key))).outData == b""
    assert (await keystore.finishSession(session.handle, options(signature, **key))).outData == b""
    flipped = signature[:-1] + bytes([signature[-1] ^ 1])
    assert not await s.verifies(keystore, "key", PLAIN, flipped, **key)
    assert not await s.verifies(keystore, "key", b"123457", signature, **key)
    return signature, (await keystore.exportKeyItem("key", NOTHING)).outData


async def test_c1_ecdsa(keystore: huks.Keystore) -> None:
    """An ECDSA signature in DER verifies on the exported key."""
    signature, spki = await sign_and_verify(
        keystore, {"ALGORITHM": s.ECC, "KEY_SIZE": 256, "DIGEST": s.SHA256}
    )
    public = load_der_public_key(spki)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature, PLAIN, ec.ECDSA(hashes.SHA256()))


async def test_c2_sm2(keystore: huks.Keystore, tmp_path: Any) -> None:
    """An SM2 signature verifies with OpenSSL's command under the user id 1234567812345678."""
    signature, spki = await sign_and_verify(keystore, {"ALGORITHM": s.SM2, "KEY_SIZE": 256, "DIGEST": s.SM3})
    for name, content in (("key", spki), ("signature", signature), ("text", PLAIN)):
        (tmp_path / name).write_bytes(content)
    files = ["-inkey", tmp_path / "key", "-sigfile", tmp_path / "signature", "-in", tmp_path / "text"]
    form = ["-pubin", "-keyform", "DER", "-rawin", "-digest", "sm3", "-pkeyopt", "distid:1234567812345678"]
    openssl("pkeyutl", "-verify", *files, *form)


async def test_c3_rsa_pss(keystore: huks.Keystore) -> None:
    """Without a salt tag PSS has the longest salt (222 bytes), and another salt is refused."""
    key = {"ALGORITHM": s.RSA, "KEY_SIZE": 2048, "DIGEST": s.SHA256, "PADDING": s.PSS}
    signature, spki = await sign_and_verify(keystore, key)
    public = load_der_public_key(spki)
    assert isinstance(public, rsa.RSAPublicKey)
    mask = rsa_padding.MGF1(hashes.SHA256())
    public.verify(signature, PLAIN, rsa_padding.PSS(mask, 222), hashes.SHA256())
    with pytest.raises(InvalidSignature):
        public.verify(signature, PLAIN, rsa_padding.PSS(mask, 32), hashes.SHA256())
    short = await run(keystore, "key", last=PLAIN, **key, PURPOSE=s.SIGN, RSA_PSS_SALT_LEN_TYPE=0)
    public.verify(short, PLAIN, rsa_padding.PSS(mask, 32), hashes.SHA256())
    assert not await s.verifies(keystore, "key", PLAIN, short, **key)


async def test_c4_rsa_pkcs1(keystore: huks.Keystore) -> None:
    """A PKCS #1 signature verifies on the exported key and is the same every time."""
    key = {"ALGORITHM": s.RSA, "KEY_SIZE": 2048, "DIGEST": s.SHA256, "PADDING": s.PKCS1}
    signature, spki = await sign_and_verify(keystore, key)
    public = load_der_public_key(spki)
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(signature, PLAIN, PKCS1, hashes.SHA256())
    assert await run(keystore, "key", PLAIN, **key, PURPOSE=s.SIGN) == signature


# --- D: MACs ------------------------------------------------------------------------------------


async def test_d1_hmac(keystore: huks.Keystore) -> None:
    """HMAC-SHA384 equals a plain library, however the message is cut."""
    key = {"ALGORITHM": s.HMAC, "KEY_SIZE": 256, "PURPOSE": s.MAC, "DIGEST": s.SHA384}
    secret = os.urandom(32)
    await keystore.importKeyItem("key", options(secret, **key))
    reference = hmac.HMAC(secret, hashes.SHA384())
    reference.update(PLAIN)
    expected = reference.finalize()
    assert len(expected) == 48
    assert await run(keystore, "key", last=PLAIN, **key) == expected
    for cut in range(len(PLAIN) + 1):
        session = await keystore.initSession("key", options(**key))
        first = await keystore.updateSession(session.handle, options(PLAIN[:cut], **key))
        assert first.outData == b""
        last = await keystore.finishSession(session.handle, options(PLAIN[cut:], **key))
        assert last.outData == expected


async def test_d2_cmac(keystore: huks.Keystore, device: huks.Keystore) -> None:
    """CMAC of small devices: the device profile refuses it, the server has it, equal to OpenSSL's command."""
    key = {"ALGORITHM": s.CMAC, "KEY_SIZE": 128, "PURPOSE": s.MAC}
    secret = os.urandom(16)
    session = key | {"BLOCK_MODE": s.CBC, "PADDING": s.NOPAD, "IV": bytes(8)}
    with refused(12000003, "HUKS_TAG_ALGORITHM"):
        await device.generateKeyItem("key", options(**key))
    await keystore.importKeyItem("key", options(secret, **key))
    mac = await run(keystore, "key", PLAIN[:1], last=PLAIN[1:], **session)
    command = ["mac", "-cipher", "DES-EDE-CBC", "-macopt", f"hexkey:{secret.hex()}", "-binary", "CMAC"]
    assert mac == openssl(*command, stdin=PLAIN)


async def test_data_alone_is_enough_for_update_and_finish(keystore: huks.Keystore) -> None:
    """Samples repeat all options at every step; the data alone gives the same."""
    key = {"ALGORITHM": s.HMAC, "KEY_SIZE": 256, "PURPOSE": s.MAC, "DIGEST": s.SHA256}
    await keystore.generateKeyItem("key", options(**key))
    outs = set()
    for repeated in (key, {}):
        session = await keystore.initSession("key", options(**key))
        await keystore.updateSession(session.handle, options(PLAIN, **repeated))
        outs.add((await keystore.finishSession(session.handle, data(b""))).outData)
    assert len(outs) == 1
