"""The attesting functions: chains that OpenSSL accepts, claims that fit the key, and every refusal."""

import base64
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from huks_async import (
    AttestationCa,
    AttestationError,
    AttestationRefusal,
    AttestationReport,
    BusinessError,
    HuksParam,
    Keystore,
    MemoryStore,
    verify_attestation,
)
from huks_async.keys.attestation import SoftwareAuthority
from huks_async.keys.attestation import authority as authority_module
from huks_async.keys.attestation.authority import META
from tests.keys.key_samples import sample
from tests.keystore.attestation_support import Authority, authority
from tests.keystore.support import (
    AES_CBC,
    AGREE,
    DECRYPT,
    ENCRYPT,
    SIGN,
    VERIFY,
    A,
    key,
    options,
    params,
    refused,
    run,
)
from tests.skips import need, skip_unsupported

CHALLENGE = b"challenge"
SIGNING = SIGN | VERIFY
SHA256 = 12
OAEP, PSS, PKCS1 = 1, 2, 3
KEYS: dict[str, dict[str, Any]] = {
    "RSA": key(A.HUKS_ALG_RSA, 2048, SIGNING, DIGEST=SHA256, PADDING=PSS),
    "P-256": key(A.HUKS_ALG_ECC, 256, SIGNING, DIGEST=SHA256),
    "P-384": key(A.HUKS_ALG_ECC, 384, AGREE),
    "P-521": key(A.HUKS_ALG_ECC, 521, SIGNING, DIGEST=14),
    "X25519": key(A.HUKS_ALG_X25519, 256, AGREE),
    "Ed25519": key(A.HUKS_ALG_ED25519, 256, SIGNING),
    "SM2": key(A.HUKS_ALG_SM2, 256, SIGNING, DIGEST=2),
}
COUNTS = {"attestKeyItem": 4, "anonAttestKeyItem": 3, "anonAttestKeyItemOffline": 4}
functions = pytest.mark.parametrize("function", COUNTS)


@pytest_asyncio.fixture
async def keystore() -> AsyncIterator[Keystore]:
    """A keystore with the key `ec`."""
    async with Keystore.open("memory:", namespace="orders") as opened:
        await opened.generateKeyItem("ec", options(**KEYS["P-256"]))
        yield opened


async def chain_of(
    keystore: Keystore, alias: str, function: str = "attestKeyItem", challenge: bytes = CHALLENGE, **more: Any
) -> list[str]:
    """The certificates that a function gives for a key."""
    given = params(ATTESTATION_CHALLENGE=challenge, **more)
    argument: Any = given if function == "anonAttestKeyItemOffline" else {"properties": given}
    return (await getattr(keystore, function)(alias, argument)).certChains


async def report_of(keystore: Keystore, alias: str, **more: Any) -> AttestationReport:
    """What a named attestation of a key says to a verifier that trusts this keystore."""
    chain = await chain_of(keystore, alias, **more)
    return verify_attestation(chain, CHALLENGE, roots=[await keystore.attestation_root()])


def openssl_verifies(folder: Path, chain: list[str], root: str, *options: str) -> None:
    """OpenSSL accepts the chain."""
    need("openssl")
    names = []
    for name, certificates in (("root", [root]), ("middle", chain[1:-1]), ("leaf", chain[:1])):
        path = folder / f"{name}.pem"
        path.write_text("".join(f"{one}\n" for one in certificates))
        names.append(str(path))
    command = ["openssl", "verify", *options, "-CAfile", names[0], "-untrusted", names[1], names[2]]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def openssl_public_key(pem: str) -> str:
    """The public key in a certificate as OpenSSL reads it, in base64."""
    need("openssl")
    command = ["openssl", "x509", "-noout", "-pubkey"]
    shown = subprocess.run(command, input=pem + "\n", capture_output=True, text=True, check=True)
    return "".join(shown.stdout.split("\n")[1:-2])


@pytest.mark.asyncio
@functions
@pytest.mark.parametrize("name", KEYS)
async def test_openssl_accepts_the_chain(
    keystore: Keystore, tmp_path: Path, function: str, name: str
) -> None:
    """For every kind of key and attestation OpenSSL and our verifier agree, on the key that was attested."""
    try:
        await keystore.generateKeyItem("k", options(**KEYS[name]))
    except BusinessError as error:
        if name != "SM2":
            raise
        skip_unsupported(error)
    chain = await chain_of(keystore, "k", function)
    assert len(chain) == COUNTS[function]
    root = await keystore.attestation_root()
    openssl_verifies(tmp_path, chain, root, "-x509_strict")
    report = verify_attestation(chain, CHALLENGE, roots=[root])
    exported = (await keystore.exportKeyItem("k", options())).outData
    assert report.public_key == exported or report.public_key.endswith(b"\0" + exported)
    if name != "SM2":
        assert base64.b64encode(report.public_key).decode() == openssl_public_key(chain[0])


@pytest.mark.asyncio
@functions
async def test_the_form_of_the_chain(keystore: Keystore, function: str) -> None:
    """PEM in one unwrapped line without a line end; a random serial number; marked as software throughout."""
    chain = await chain_of(keystore, "ec", function)
    for pem in chain:
        begin, body, end = pem.split("\n")
        assert (begin, end) == ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----")
        base64.b64decode(body, validate=True)
    certificates = [x509.load_pem_x509_certificate(pem.encode()) for pem in chain]
    for certificate in certificates:
        assert "software" in certificate.subject.rfc4514_string()
    again = x509.load_pem_x509_certificate((await chain_of(keystore, "ec", function))[0].encode())
    assert again.serial_number != certificates[0].serial_number
    lifetime = certificates[0].not_valid_after_utc - certificates[0].not_valid_before_utc
    if function == "anonAttestKeyItemOffline":
        assert timedelta(days=29) < lifetime <= timedelta(days=30)
        assert certificates[0].not_valid_after_utc <= certificates[1].not_valid_after_utc
    else:
        assert timedelta(days=3651) <= lifetime <= timedelta(days=3653)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "more", "groups", "usage"),
    [
        pytest.param("P-256", {}, ("signature ECDSA SHA-256, or SM2 with SM3",), None, id="ECDSA"),
        pytest.param("P-521", {}, (), (SIGNING, 14, None), id="ECDSA with SHA-512"),
        pytest.param("RSA", {"PADDING": PSS}, ("signature RSA-PSS SHA-256",), None, id="PSS"),
        pytest.param("RSA", {"PADDING": PKCS1}, (), (SIGNING, SHA256, None), id="PKCS1"),
        pytest.param(
            "RSA",
            {"PADDING": PKCS1, "PURPOSE": ENCRYPT | DECRYPT},
            (),
            (ENCRYPT | DECRYPT, SHA256, None),
            id="PKCS1 encryption",
        ),
        pytest.param("X25519", {}, (), (AGREE, None, None), id="agreement"),
    ],
)
async def test_claims_of_usage(
    keystore: Keystore,
    name: str,
    more: dict[str, int],
    groups: tuple[str, ...],
    usage: tuple[Any, ...] | None,
) -> None:
    """A usual combination is one group claim; others are claimed number by number."""
    await keystore.generateKeyItem("k", options(**KEYS[name] | more))
    report = await report_of(keystore, "k")
    assert report.groups == groups
    assert (report.purposes, report.digest, report.padding) == (usage or (None, None, None))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("digest", "group"), [(SHA256, "encryption RSA-OAEP SHA-256"), (10, "encryption RSA-OAEP")]
)
async def test_claims_of_oaep(keystore: Keystore, digest: int, group: str) -> None:
    """Encryption with OAEP has a group for SHA-256 and one for the other digests."""
    oaep = key(A.HUKS_ALG_RSA, 2048, ENCRYPT | DECRYPT, DIGEST=digest, PADDING=OAEP)
    await keystore.generateKeyItem("k", options(**oaep))
    assert (await report_of(keystore, "k")).groups == (group,)


@pytest.mark.asyncio
async def test_what_is_claimed(keystore: Keystore) -> None:
    """Origin, identity and the caller's free bytes; all at the level of software."""
    pair = sample(A.HUKS_ALG_ECC, 256)
    await keystore.importKeyItem(
        "pair", options(pair.blob(), **key(A.HUKS_ALG_ECC, 256, SIGNING, DIGEST=SHA256), IMPORT_KEY_TYPE=2)
    )
    made = await report_of(
        keystore,
        "ec",
        ATTESTATION_ID_ALIAS=b"any id",
        ATTESTATION_ID_SEC_LEVEL_INFO=b"sec",
        ATTESTATION_ID_VERSION_INFO=b"ver",
    )
    came = await report_of(keystore, "pair")
    assert (made.origin, came.origin) == (2, 1)
    assert (made.key_id, made.security_level_info, made.version_info) == (b"any id", b"sec", b"ver")
    assert (came.key_id, came.security_level_info, came.version_info) == (b"", b"", b"")
    assert made.application == {"processName": "orders", "APL": "", "keystore": "huks_async, software"}
    assert made.application_kind == "service"
    assert (made.level, made.is_software, made.device_ids) == (0, True, {})
    assert {claim.level for claim in made.claims} == {0}
    assert came.public_key == pair.spki


@pytest.mark.asyncio
@functions
async def test_another_challenge(keystore: Keystore, function: str) -> None:
    """A chain answers one challenge; for another it is refused."""
    chain = await chain_of(keystore, "ec", function, b"yesterday's")
    with pytest.raises(AttestationError) as caught:
        verify_attestation(chain, CHALLENGE, roots=[await keystore.attestation_root()])
    assert caught.value.refusal is AttestationRefusal.WRONG_CHALLENGE


@pytest.mark.asyncio
@functions
async def test_what_is_refused(keystore: Keystore, function: str) -> None:
    """The documented codes; 401 becomes 12000018 in the offline form."""
    bad = 12000018 if function == "anonAttestKeyItemOffline" else 401

    async def refuse(code: int, alias: Any, **more: Any) -> None:
        await refused(chain_of(keystore, alias, function, **more), code)

    await keystore.generateKeyItem("aes", options(**AES_CBC))
    await keystore.generateKeyItem("kem", options(**key(A.HUKS_ALG_ML_KEM, 768, 96)))
    await keystore.generateKeyItem("p224", options(**key(A.HUKS_ALG_ECC, 224, SIGNING, DIGEST=SHA256)))
    await refuse(bad, "ec", challenge=b"")
    await refuse(bad, "")
    await refuse(bad, "x" * 129)
    await refuse(bad, 7)
    await refuse(bad, "aes")
    await refuse(bad, "kem")
    await refuse(12000001, "p224")
    # anybody can import the public key of a stranger, who alone holds the private half
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    strangers = stranger.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    await keystore.importKeyItem("alone", options(strangers, **key(A.HUKS_ALG_ECC, 256, 8, DIGEST=SHA256)))
    await refuse(12000001, "alone")
    await refuse(12000011, "nobody")
    await refuse(12000011, "ec", AUTH_STORAGE_LEVEL=0)
    await refuse(12000012, "ec", ATTESTATION_ID_UDID=b"id")
    await refuse(bad, "ec", ATTESTATION_APPLICATION_ID=b"somebody else")
    await refuse(bad, "ec", challenge=bytes(10_241))
    call = getattr(keystore, function)
    nothing: Any = [] if function == "anonAttestKeyItemOffline" else options()
    await refused(call("ec", nothing), bad)
    await refused(call("ec", 7), bad)


@pytest.mark.asyncio
async def test_the_offline_form_takes_parameters(keystore: Keystore) -> None:
    """It takes a list, not options, and only the offline value of its own mode."""
    challenge = params(ATTESTATION_CHALLENGE=CHALLENGE)
    await refused(keystore.anonAttestKeyItemOffline("ec", {"properties": challenge}), 12000018)  # type: ignore[arg-type]
    mode = 524 | 2 << 28
    await refused(keystore.anonAttestKeyItemOffline("ec", [*challenge, HuksParam(mode, 0)]), 12000018)
    assert (await keystore.anonAttestKeyItemOffline("ec", [*challenge, HuksParam(mode, 1)])).certChains


@pytest.mark.asyncio
async def test_the_device_profile() -> None:
    """An ordinary application lacks the permissions for a named attestation and for ids of the device."""
    async with Keystore.open("memory:", profile="device") as keystore:
        await keystore.generateKeyItem("ec", options(**KEYS["P-256"]))
        await keystore.generateKeyItem("aes", options(**AES_CBC))
        await refused(chain_of(keystore, "ec"), 201)
        await refused(chain_of(keystore, "ec", "anonAttestKeyItem", ATTESTATION_ID_UDID=b"x"), 201)
        await refused(chain_of(keystore, "aes", "anonAttestKeyItem"), 401)
        assert len(await chain_of(keystore, "ec", "anonAttestKeyItem")) == 3
        await refused(keystore.attestKeyItemAsUser(100, "ec", options()), 202)


@pytest.mark.asyncio
async def test_a_security_level_is_for_keys_that_are_made() -> None:
    """Who uses a key names none but TEE's (0)."""
    async with Keystore.open("memory:") as keystore:
        await keystore.generateKeyItem("ec", options(**KEYS["P-256"], KEY_SECURITY_LEVEL=0))
        for level, code, newer in ((0, None, None), (1, 401, 12000018), (2, 401, 12000018)):
            given = options(ATTESTATION_CHALLENGE=CHALLENGE, KEY_SECURITY_LEVEL=level)
            for call, refusal in (
                (keystore.attestKeyItem("ec", given), code),
                (keystore.anonAttestKeyItem("ec", given), code),
                (keystore.anonAttestKeyItemOffline("ec", given["properties"]), newer),
                (keystore.getKeyItemProperties("ec", given), code),
            ):
                if refusal is None:
                    await call
                else:
                    await refused(call, refusal)


@pytest.mark.asyncio
async def test_another_users_key(tmp_path: Path) -> None:
    """The forms with a user attest that user's key."""

    class Anybody:
        def may_act_for(self, caller: object, user_id: int) -> bool:
            return True

        def groups_of(self, caller: object) -> tuple[str, ...]:
            return ()

    async with Keystore.open("memory:", policy=Anybody()) as keystore:
        await keystore.generateKeyItemAsUser(101, "k", options(**KEYS["P-256"]))
        exported = (await keystore.exportKeyItemAsUser(101, "k", options())).outData
        given = options(ATTESTATION_CHALLENGE=CHALLENGE)
        await refused(keystore.attestKeyItem("k", given), 12000011)
        for chain in (
            (await keystore.attestKeyItemAsUser(101, "k", given)).certChains,
            (await keystore.anonAttestKeyItemAsUser(101, "k", given)).certChains,
            (await keystore.anonAttestKeyItemOfflineAsUser(101, "k", given["properties"])).certChains,
        ):
            report = verify_attestation(chain, CHALLENGE, roots=[await keystore.attestation_root()])
            assert report.public_key == exported


@pytest.mark.asyncio
async def test_one_authority_for_a_store(tmp_path: Path) -> None:
    """All who open a store, at once or later, have the same authority; another store has another."""
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    roots: list[str] = []

    async def ask() -> None:
        async with Keystore.open(url, monitor=False) as keystore:
            roots.append(await keystore.attestation_root())

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(ask)
    await ask()
    async with Keystore.open("memory:") as other:
        assert await other.attestation_root() not in roots
    assert len(roots) == 6
    assert len(set(roots)) == 1


def everything_in(folder: Path) -> bytes:
    """The bytes of all files of a folder."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.mark.asyncio
async def test_the_authority_is_sealed(tmp_path: Path) -> None:
    """Its keys are not in the database, and a changed or foreign authority is refused as damaged."""
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    async with Keystore.open(url, monitor=False) as keystore:
        await keystore.generateKeyItem("ec", options(**KEYS["P-256"]))
        await chain_of(keystore, "ec")
        store = keystore._open_state().store
        sealed = await store.get_meta(META)
        issuer = await keystore._open_state().authority("device")
    assert sealed is not None
    private = issuer.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert private[36:68] not in everything_in(tmp_path)
    for wrong in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:10], b"", b"HKa2" + sealed[4:]):
        async with Keystore.open(url, monitor=False) as keystore:
            await keystore._open_state().store.replace_meta(META, wrong)
            await refused(chain_of(keystore, "ec"), 12000012)
            assert await run(keystore, "ec", b"text", **KEYS["P-256"] | {"PURPOSE": SIGN})
    assert "PRIVATE" not in repr(issuer)
    assert "private_key" not in repr(issuer)


@pytest.mark.asyncio
async def test_the_offline_authority_is_renewed() -> None:
    """It is kept for a month, and made anew when less than an hour of it is left."""
    clock = [datetime(2026, 1, 1, tzinfo=UTC)]
    store = MemoryStore()
    await store.open()
    software = SoftwareAuthority(store, bytes(32), lambda: clock[0])
    first = await software.issuer("offline")
    clock[0] += timedelta(days=30, seconds=-3600)
    assert await software.issuer("offline") is first
    clock[0] += timedelta(seconds=1)
    second = await software.issuer("offline")
    assert second.chain[0].not_valid_after_utc > first.chain[0].not_valid_after_utc
    assert second.chain[1:] == first.chain[1:]
    await store.aclose()


@pytest.mark.asyncio
async def test_a_clock_that_was_ahead_spoils_no_authority() -> None:
    """Neither the store's own, made while it was, nor the one for the offline form."""
    now = datetime.now(UTC)
    clock = [now + timedelta(days=400)]
    store = MemoryStore()
    await store.open()
    software = SoftwareAuthority(store, bytes(32), lambda: clock[0])
    ahead = await software.issuer("offline")
    clock[0] = now
    offline = await software.issuer("offline")
    assert offline.chain[0] != ahead.chain[0]
    for issuer in (offline, await software.issuer("device"), await software.issuer("anonymous")):
        assert all(one.not_valid_before_utc < now < one.not_valid_after_utc for one in issuer.chain)
    await store.aclose()


@pytest.mark.asyncio
@functions
async def test_an_authority_that_is_not_valid_yet(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store may keep one that an earlier version made while the clock was ahead: 12000012 tells the ways out."""
    now = datetime.now(UTC)
    ahead, make = now + timedelta(days=400), authority_module._make
    monkeypatch.setattr(authority_module, "_BEGIN", ahead)
    monkeypatch.setattr(authority_module, "_make", lambda now: make(now + timedelta(days=401)))
    async with Keystore.open("memory:") as keystore:
        await keystore.generateKeyItem("ec", options(**KEYS["P-256"]))
        root = await keystore.attestation_root()
        with pytest.raises(BusinessError) as caught:
            await chain_of(keystore, "ec", function)
        assert caught.value.code == 12000012
        assert f"{ahead:%Y-%m-%d}" in caught.value.message
        assert "attestation_ca" in caught.value.message
        # it stays what it was: the clock may be wrong now instead
        assert await keystore.attestation_root() == root


def operator() -> tuple[Authority, Authority]:
    """An operator's root and the authority below it, valid now."""
    start = datetime.now(UTC) - timedelta(days=1)
    times: dict[str, Any] = {"start": start, "end": start + timedelta(days=900)}
    root = authority(name="operator root", **times)
    return root, authority(root, "operator", key=rsa.generate_private_key(65537, 2048), below=0, **times)


@pytest.mark.asyncio
@functions
async def test_an_operators_authority(tmp_path: Path, function: str) -> None:
    """With an authority of its own an operator's root is what verifiers trust, for all three forms."""
    root, issuer = operator()
    private = issuer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain_pem = b"".join(one.certificate.public_bytes(Encoding.PEM) for one in (issuer, root))
    ca = AttestationCa.from_pem(private, chain_pem, claim_level=2)
    async with Keystore.open("memory:", attestation_ca=ca) as keystore:
        await keystore.generateKeyItem("ec", options(**KEYS["P-256"]))
        chain = await chain_of(keystore, "ec", function)
        assert await keystore._open_state().store.get_meta(META) is None
        assert (
            x509.load_pem_x509_certificate((await keystore.attestation_root()).encode()) == root.certificate
        )
    assert len(chain) == 3
    report = verify_attestation(chain, CHALLENGE, roots=[root.certificate])
    assert (report.level, report.not_after) == (2, issuer.certificate.not_valid_after_utc)
    openssl_verifies(tmp_path, chain, chain[-1])


def test_authorities_that_are_none() -> None:
    """A key and chain that do not belong together, or that may not certify, are refused at once."""
    root, issuer = operator()
    stranger = ec.generate_private_key(ec.SECP256R1())
    plain = authority(root, "plain", extensions=[])
    chain = (issuer.certificate, root.certificate)
    calls: list[tuple[Any, ...]] = [
        (stranger, chain),
        (issuer.key, ()),
        (issuer.key, chain[::-1]),
        (plain.key, (plain.certificate, root.certificate)),
        (b"key", chain),
        (issuer.key, b"chain"),
        (issuer.key, "chain"),
        (issuer.key, 5),
        (issuer.key, None),
        (issuer.key, (b"certificate",)),
        (issuer.key, (issuer.certificate, 5)),
        (issuer.key, chain, 4),
        (issuer.key, chain, "2"),
    ]
    for arguments in calls:
        with pytest.raises(BusinessError) as caught:
            AttestationCa(*arguments)
        assert caught.value.code == 401
    assert AttestationCa(issuer.key, list(chain)).chain == chain  # type: ignore[arg-type]
    with pytest.raises(BusinessError) as caught:
        AttestationCa.from_pem(b"rubbish", b"rubbish")
    assert caught.value.code == 401


@pytest.mark.asyncio
async def test_an_authority_that_has_expired() -> None:
    """It certifies nothing any more, 12000012, and the message says when its time was over."""
    now = datetime.now(UTC)
    key = rsa.generate_private_key(65537, 2048)
    old = authority(name="old", key=key, start=now - timedelta(days=9), end=now - timedelta(days=1))
    async with Keystore.open("memory:", attestation_ca=AttestationCa(key, (old.certificate,))) as keystore:
        await keystore.generateKeyItem("ec", options(**KEYS["P-256"]))
        with pytest.raises(BusinessError) as caught:
            await chain_of(keystore, "ec", "attestKeyItem")
    assert caught.value.code == 12000012
    assert f"{now - timedelta(days=1):%Y-%m-%d}" in caught.value.message
