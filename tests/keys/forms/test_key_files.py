"""Key files of other programs are imported and used, or refused with what they are and the way out.

`pytest -rA` shows the number of each.
"""

import functools
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

import huks_async as huks
from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.forms import convert, key_files
from huks_async.keys.forms.describe import describe
from huks_async.model.errors import BusinessError
from tests.conformance import support as s
from tests.conformance.openssl import OpenSsl
from tests.keys.forms.key_file_table import (
    BASES,
    OPENSSL_FILES,
    SECRET_KEYS,
    Refused,
    Taken,
    expectation,
    half_said,
)
from tests.keys.forms.makers.run import BASE, FILES, KEPT, MAKERS, MissingProgramError, make

pytestmark = [
    pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning"),
    pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning"),
]

MESSAGE = b"What another program signs is verified here. " * 20
AGREE = {"x25519": huks.HuksKeyAlg.HUKS_ALG_X25519, "dh2048": huks.HuksKeyAlg.HUKS_ALG_DH}
# tags of a signature, and the words that make OpenSSL sign alike
SIGNED: dict[str, tuple[dict[str, int], tuple[str, ...]]] = {
    "rsa2048": ({"DIGEST": 12, "PADDING": s.PKCS1}, ("dgst", "-sha256")),
    "p224": ({"DIGEST": 12}, ("dgst", "-sha256")),
    "p256": ({"DIGEST": 12}, ("dgst", "-sha256")),
    "p384": ({"DIGEST": 13}, ("dgst", "-sha384")),
    "p521": ({"DIGEST": 14}, ("dgst", "-sha512")),
    "dsa2048": ({"DIGEST": 12}, ("dgst", "-sha256")),
    "sm2": ({"DIGEST": 2}, ("dgst", "-sm3", "-sigopt", "distid:1234567812345678")),
}
# the library below computes the public half of other keys
WITHOUT_PUBLIC_HALF = {"sm2.half.pem"}
KEPT_FILES = [(maker, path.name) for maker in KEPT for path in sorted((FILES / maker).iterdir())]


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSsl:
    return OpenSsl(tmp_path)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @functools.cache
    def folder(maker: str) -> Path | str:
        target = tmp_path_factory.mktemp(maker)
        try:
            make(maker, target)
        except MissingProgramError as missing:
            return str(missing)
        return target

    return folder


@functools.cache
def known(base: str) -> KeyMaterial:
    """A key of `files/base`, read by the library below: the other side of each test."""
    algorithm, size = BASES[base]
    pem = (BASE / f"{base}.pem").read_bytes()
    material = convert.from_pem(pem)
    assert (material.algorithm, material.size) == (algorithm, size)
    # the library below has no SM2, and writes the order of the group into DH keys
    if base not in ("sm2", "dh2048"):
        spki = (
            load_pem_private_key(pem, None)
            .public_key()
            .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )
        assert convert.to_spki(material) == spki
    return material


def read(name: str, data: bytes) -> KeyMaterial:
    """Read a file with its passphrase, which files that are not encrypted leave unused."""
    algorithm = BASES[name.split(".")[1]][0] if name.endswith(".raw") else None
    return key_files.read(data, algorithm=algorithm, password=b"secret")


def needs_bcrypt(data: bytes) -> bool:
    return (
        b"OPENSSH PRIVATE" in data
        and key_files.needs_passphrase(data)
        and importlib.util.find_spec("bcrypt") is None
    )


async def check(maker: str, name: str, data: bytes, openssl: OpenSsl) -> None:
    """A file is what the table says: read, imported and used; or refused with name and way out."""
    if needs_bcrypt(data):
        pytest.skip("bcrypt is not installed")
    if name in SECRET_KEYS:
        await check_secret_key(name, data, openssl)
        return
    expected = expectation(maker, name)
    if isinstance(expected, Refused):
        check_refused(name, data, expected)
        return
    material = read(name, data)
    base = known(expected.base)
    assert (material.secret == b"") == expected.public
    assert material.secret in (b"", base.secret)
    assert material.public == (b"" if name in WITHOUT_PUBLIC_HALF else base.public)
    await use(expected, material, openssl)


def check_refused(name: str, data: bytes, expected: Refused) -> None:
    with pytest.raises(BusinessError) as caught:
        read(name, data)
    message = caught.value.message
    assert caught.value.code in (401, 12000001)
    assert expected.what in message
    assert expected.way_out in message
    if " private key" in message or " public key" in message:
        assert (
            f" {half_said(name)} key" in message
            or "private key" in expected.what
            or "public" in expected.what
        )
    for word in ("Error", "Exception", "Unsupported", "ASN.1", "deserialize"):
        assert word not in message
    told = describe(data)
    assert told.note or told.form
    assert not told.fingerprint


async def use(expected: Taken, material: KeyMaterial, openssl: OpenSsl) -> None:
    """Import the key, and use it with OpenSSL's command line on the other side."""
    kind, data = key_files.import_data(material)
    tags: dict[str, Any] = {"ALGORITHM": material.algorithm, "KEY_SIZE": material.size}
    path = str(BASE / f"{expected.base}.pem")
    async with huks.Keystore.open("memory:") as keystore:
        if expected.base in AGREE:
            await check_agreement(keystore, expected, kind, data, tags, path, openssl)
            return
        spec, command = SIGNED.get(expected.base, ({"DIGEST": 0}, ()))
        tags |= spec
        if expected.public:
            signature = sign(command, path, openssl)
            given = s.options(data, **tags, PURPOSE=s.VERIFY, IMPORT_KEY_TYPE=kind)
            await keystore.importKeyItem("key", given)
            assert await s.verifies(keystore, "key", MESSAGE, signature, PURPOSE=s.VERIFY, **tags)
            assert not await s.verifies(keystore, "key", MESSAGE[1:], signature, PURPOSE=s.VERIFY, **tags)
        else:
            given = s.options(data, **tags, PURPOSE=s.SIGN, IMPORT_KEY_TYPE=kind)
            if kind == huks.HuksImportKeyType.HUKS_KEY_TYPE_KEY_PAIR:
                given = s.options(data, **tags, PURPOSE=s.SIGNATURE, IMPORT_KEY_TYPE=kind)
            await keystore.importKeyItem("key", given)
            signature = await s.run(keystore, "key", MESSAGE, PURPOSE=s.SIGN, **tags)
            assert verifies(command, path, signature, openssl)


def sign(command: tuple[str, ...], path: str, openssl: OpenSsl) -> bytes:
    message = openssl.file("message", MESSAGE)
    if not command:
        return openssl.run("pkeyutl", "-sign", "-rawin", "-inkey", path, "-in", message)
    return openssl.run(*command, "-sign", path, message)


def verifies(command: tuple[str, ...], path: str, signature: bytes, openssl: OpenSsl) -> bool:
    message, signed = openssl.file("message", MESSAGE), openssl.file("signature", signature)
    if not command:
        return openssl.accepts(
            "pkeyutl", "-verify", "-rawin", "-inkey", path, "-sigfile", signed, "-in", message
        )
    return openssl.accepts(*command, "-prverify", path, "-signature", signed, message)


async def check_agreement(
    keystore: huks.Keystore,
    expected: Taken,
    kind: int,
    data: bytes,
    tags: dict[str, Any],
    path: str,
    openssl: OpenSsl,
) -> None:
    session = {"ALGORITHM": AGREE[expected.base], "KEY_SIZE": tags["KEY_SIZE"], "PURPOSE": s.AGREE}
    if expected.public:
        # the imported half comes out as it went in, and one of ours agrees with it
        await keystore.importKeyItem("theirs", s.options(data, **tags, PURPOSE=s.AGREE, IMPORT_KEY_TYPE=kind))
        theirs = (await keystore.exportKeyItem("theirs", s.options())).outData
        await keystore.generateKeyItem("ours", s.options(**tags, PURPOSE=s.AGREE))
        secret = await s.run(keystore, "ours", theirs, **session)
        ours = (await keystore.exportKeyItem("ours", s.options())).outData
        peer = openssl.file("peer", convert.spki_of_export(ours, tags["ALGORITHM"]))
        derived = openssl.run("pkeyutl", "-derive", "-inkey", path, "-peerkey", peer, "-peerform", "DER")
    else:
        await keystore.importKeyItem("ours", s.options(data, **tags, PURPOSE=s.AGREE, IMPORT_KEY_TYPE=kind))
        new = ("X25519",) if expected.base == "x25519" else ("DH", "-pkeyopt", "group:ffdhe2048")
        theirs_path, spki = openssl.new_key("-algorithm", *new)
        peer_data = spki[-32:] if expected.base == "x25519" else spki
        secret = await s.run(keystore, "ours", peer_data, **session)
        public = openssl.file("public", openssl.run("pkey", "-in", path, "-pubout"))
        derived = openssl.run("pkeyutl", "-derive", "-inkey", theirs_path, "-peerkey", public)
    # `openssl pkeyutl` leaves out leading zero bytes of a Diffie-Hellman secret
    assert derived.rjust(len(secret), b"\0") == secret


async def check_secret_key(name: str, data: bytes, openssl: OpenSsl) -> None:
    algorithm, key = SECRET_KEYS[name]
    material = key_files.read(data, algorithm=algorithm)
    assert (material.algorithm, material.secret) == (algorithm, key)
    tags = {"ALGORITHM": algorithm, "KEY_SIZE": 128, "BLOCK_MODE": 2, "PADDING": 5, "IV": bytes(16)}
    async with huks.Keystore.open("memory:") as keystore:
        given = {name: value for name, value in tags.items() if name != "IV"}
        await keystore.importKeyItem("key", s.options(material.secret, **given, PURPOSE=1))
        sealed = await s.run(keystore, "key", MESSAGE, PURPOSE=1, **tags)
    command = ("enc", "-d", "-aes-128-cbc", "-K", key.hex(), "-iv", bytes(16).hex())
    assert openssl.run(*command, given=sealed) == MESSAGE


@pytest.mark.asyncio
@pytest.mark.parametrize(("maker", "name"), KEPT_FILES, ids=[f"{maker}-{name}" for maker, name in KEPT_FILES])
async def test_files_of_other_programs(maker: str, name: str, openssl: OpenSsl) -> None:
    """Files that GnuTLS, Java, BouncyCastle, Node, WebCrypto, OpenSSH, PuTTY, GnuPG, age and minisign wrote."""
    await check(maker, name, (FILES / maker / name).read_bytes(), openssl)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", OPENSSL_FILES)
async def test_files_of_openssl(name: str, made: Any, openssl: OpenSsl) -> None:
    """Files that OpenSSL's command line writes now."""
    await check("openssl", name, (made("openssl") / name).read_bytes(), openssl)


@pytest.mark.parametrize("maker", [name for name in MAKERS if name != "openssl"])
def test_what_the_installed_programs_write_is_read_alike(maker: str, made: Any) -> None:
    """The programs on this machine, which may be other versions, give the same names and the same keys."""
    folder = made(maker)
    if isinstance(folder, str):
        pytest.skip(f"{folder} is not installed")
    assert {path.name for path in folder.iterdir()} == {path.name for path in (FILES / maker).iterdir()}
    for path in sorted(folder.iterdir()):
        data, expected = (
            path.read_bytes(),
            expectation(maker, path.name) if path.name not in SECRET_KEYS else None,
        )
        if expected is None or needs_bcrypt(data):
            continue
        if isinstance(expected, Refused):
            check_refused(path.name, data, expected)
        else:
            material = read(path.name, data)
            assert material.public == known(expected.base).public, path.name
            assert (material.secret == b"") == expected.public, path.name


def test_the_table_counts(made: Any) -> None:
    """There are at least 140 files, of which most are taken."""
    assert {path.name for path in made("openssl").iterdir()} == set(OPENSSL_FILES)
    files = [*KEPT_FILES, *(("openssl", name) for name in OPENSSL_FILES)]
    refused = sum(
        name not in SECRET_KEYS and isinstance(expectation(maker, name), Refused) for maker, name in files
    )
    print(
        f"key files of other programs: {len(files) - refused} taken, {refused} refused with name and way out"
    )
    assert len(files) - refused >= 140
