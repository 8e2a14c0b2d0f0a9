"""OpenSSL's command line and the keystore understand each other, in both directions."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dh
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

import huks_async as huks
from tests.conformance import support as s
from tests.conformance.openssl import OpenSsl
from tests.skips import skip_unsupported

pytestmark = [pytest.mark.asyncio, pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning")]

MESSAGE = b"The keystore and the command line agree. " * 30
SHORT = b"sixteen and more"
PUBLIC = huks.HuksImportKeyType.HUKS_KEY_TYPE_PUBLIC_KEY
DIGESTS = {
    "md5": 1, "sm3": 2, "sha1": 10, "sha224": 11, "sha256": 12, "sha384": 13, "sha512": 14,
}  # fmt: skip
SHA = ("sha1", "sha224", "sha256", "sha384", "sha512")
SALT_OF_DIGEST, SALT_MAX = {"RSA_PSS_SALT_LEN_TYPE": 0}, {"RSA_PSS_SALT_LEN_TYPE": 1}
RAW_KEY = bytes.fromhex("0123456789abcdef23456789abcdef01456789abcdef0123fedcba9876543210")


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSsl:
    return OpenSsl(tmp_path)


async def our_public(keystore: huks.Keystore, **tags: Any) -> bytes:
    """Generate the key `ours`, and export its public half."""
    await keystore.generateKeyItem("ours", s.options(**tags))
    return (await keystore.exportKeyItem("ours", s.options())).outData


async def import_theirs(keystore: huks.Keystore, public: bytes, **tags: Any) -> None:
    """Import OpenSSL's public key as `theirs`."""
    await keystore.importKeyItem("theirs", s.options(public, IMPORT_KEY_TYPE=PUBLIC, **tags))


# --- symmetric ciphers ------------------------------------------------------------------------

CIPHERS = [
    *(
        (s.AES, size, mode, padding, f"aes-{size}-{name}")
        for size in (128, 192, 256)
        for mode, name, padding in (
            (s.ECB, "ecb", s.NOPAD), (s.ECB, "ecb", s.PKCS7), (s.CBC, "cbc", s.NOPAD), (s.CBC, "cbc", s.PKCS7),
            (s.CTR, "ctr", s.NOPAD),
        )
    ),
    *(
        (s.SM4, 128, mode, padding, f"sm4-{name}")
        for mode, name, padding in (
            (s.ECB, "ecb", s.NOPAD), (s.ECB, "ecb", s.PKCS7), (s.CBC, "cbc", s.NOPAD), (s.CBC, "cbc", s.PKCS7),
            (s.CTR, "ctr", s.NOPAD), (s.CFB, "cfb", s.NOPAD), (s.OFB, "ofb", s.NOPAD),
        )
    ),
    (s.DES, 64, s.ECB, s.NOPAD, "des-ecb"),
    (s.DES, 64, s.CBC, s.NOPAD, "des-cbc"),
    (s.DES3, 128, s.ECB, s.NOPAD, "des-ede"),
    (s.DES3, 128, s.CBC, s.NOPAD, "des-ede-cbc"),
    (s.DES3, 192, s.ECB, s.NOPAD, "des-ede3"),
    (s.DES3, 192, s.CBC, s.NOPAD, "des-ede3-cbc"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("algorithm", "size", "mode", "padding", "name"),
    [pytest.param(*row, id=f"{row[4]}{' PKCS7' if row[3] == s.PKCS7 else ''}") for row in CIPHERS],
)
async def test_ciphers(
    keystore: huks.Keystore, openssl: OpenSsl, algorithm: int, size: int, mode: int, padding: int, name: str
) -> None:
    """Either side decrypts what the other encrypted, in segments of odd lengths, and the bytes are the same."""
    raw = RAW_KEY[: size // 8]
    iv = RAW_KEY[-8:] if algorithm in (s.DES, s.DES3) else RAW_KEY[-16:]
    legacy = ("-provider", "legacy", "-provider", "default") if algorithm == s.DES else ()
    command = ["enc", f"-{name}", "-K", raw.hex(), *legacy]
    command += [] if mode == s.ECB else ["-iv", iv.hex()]
    command += [] if padding == s.PKCS7 else ["-nopad"]
    openssl.need(name, *command)
    values = {"ALGORITHM": algorithm, "KEY_SIZE": size, "BLOCK_MODE": mode, "PADDING": padding}
    await keystore.importKeyItem("k", s.options(raw, PURPOSE=s.CIPHER, **values))
    whole = len(MESSAGE) // 16 * 16
    message = MESSAGE if padding == s.PKCS7 or mode not in (s.ECB, s.CBC) else MESSAGE[:whole]
    cuts = (0, 8, 80, 1000) if algorithm in (s.DES, s.DES3) else (0, 5, 77, 1000)
    parts = [message[a:b] for a, b in itertools.pairwise((*cuts, len(message)))]
    ours = await s.run(keystore, "k", *parts[:-1], last=parts[-1], PURPOSE=s.ENCRYPT, IV=iv, **values)
    assert ours == openssl.run(*command, given=message)
    assert openssl.run(*command, "-d", given=ours) == message
    theirs = openssl.run(*command, given=message[::-1] if len(message) % 16 == 0 else message)
    plain = await s.run(keystore, "k", last=theirs, PURPOSE=s.DECRYPT, IV=iv, **values)
    assert plain == (message[::-1] if len(message) % 16 == 0 else message)


# --- MACs and derivation ----------------------------------------------------------------------


@pytest.mark.parametrize("digest", [*SHA, "sm3"])
async def test_hmac(keystore: huks.Keystore, openssl: OpenSsl, digest: str) -> None:
    """HMAC of every digest is the same."""
    values = {"ALGORITHM": s.HMAC, "KEY_SIZE": 256, "DIGEST": DIGESTS[digest]}
    await keystore.importKeyItem("k", s.options(RAW_KEY, PURPOSE=s.MAC, **values))
    ours = await s.run(keystore, "k", MESSAGE, PURPOSE=s.MAC, **values)
    command = ("mac", "-digest", digest, "-macopt", f"hexkey:{RAW_KEY.hex()}", "-binary", "HMAC")
    assert ours == openssl.run(*command, given=MESSAGE)
    if digest == "sm3":
        values["ALGORITHM"] = s.SM3_MAC
        await keystore.importKeyItem("k", s.options(RAW_KEY, PURPOSE=s.MAC, **values))
        assert await s.run(keystore, "k", MESSAGE, PURPOSE=s.MAC, **values) == ours


@pytest.mark.parametrize("length", [0, 1, 8, 100])
async def test_cmac(keystore: huks.Keystore, openssl: OpenSsl, length: int) -> None:
    """CMAC over 3DES with two keys is the same, for whole and for broken blocks."""
    raw = RAW_KEY[:16]
    values = {"ALGORITHM": s.CMAC, "KEY_SIZE": 128, "BLOCK_MODE": s.CBC, "PADDING": s.NOPAD}
    await keystore.importKeyItem("k", s.options(raw, PURPOSE=s.MAC, **values))
    ours = await s.run(keystore, "k", last=MESSAGE[:length], PURPOSE=s.MAC, IV=bytes(8), **values)
    # two keys are three, the third of which is the first
    key = f"hexkey:{(raw + raw[:8]).hex()}"
    command = ("mac", "-cipher", "DES-EDE3-CBC", "-macopt", key, "-binary", "CMAC")
    assert ours == openssl.run(*command, given=MESSAGE[:length])


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("function", ["HKDF", "PBKDF2"])
async def test_derivation(keystore: huks.Keystore, openssl: OpenSsl, function: str, digest: str) -> None:
    """HKDF and PBKDF2 give the same bytes, of a length that is no multiple of the digest's."""
    salt, info = RAW_KEY[::-1], b"the context"
    base = {"ALGORITHM": s.AES, "KEY_SIZE": 256, "PURPOSE": s.DERIVE, "DIGEST": DIGESTS[digest]}
    await keystore.importKeyItem("k", s.options(RAW_KEY, **base))
    extra = {"INFO": info} if function == "HKDF" else {"ITERATION": 1234}
    session = s.options(
        PURPOSE=s.DERIVE, ALGORITHM=getattr(s, function), DIGEST=DIGESTS[digest], DERIVE_KEY_SIZE=75, SALT=salt,
        **extra,
    )  # fmt: skip
    opened = await keystore.initSession("k", session)
    await keystore.updateSession(opened.handle, s.data(b""))
    ours = (await keystore.finishSession(opened.handle, s.options())).outData
    options = (
        (f"hexkey:{RAW_KEY.hex()}", f"hexinfo:{info.hex()}")
        if function == "HKDF"
        else (f"hexpass:{RAW_KEY.hex()}", "iter:1234")
    )
    command = [
        "kdf",
        "-keylen",
        "75",
        "-binary",
        "-kdfopt",
        f"digest:{digest}",
        "-kdfopt",
        f"hexsalt:{salt.hex()}",
    ]
    for option in options:
        command += ["-kdfopt", option]
    assert ours == openssl.run(*command, function)


# --- signatures -------------------------------------------------------------------------------

RSA_KEY = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:{size}")
EC_KEY = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:{curve}")
PSS = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:{salt}")
CURVES = {224: "P-224", 256: "P-256", 384: "P-384", 521: "P-521"}


def formatted(arguments: tuple[str, ...], **values: object) -> tuple[str, ...]:
    return tuple(argument.format(**values) for argument in arguments)


SIGNATURES = [
    *((f"RSA {size} PKCS1 {digest}", s.RSA, size, digest, {"PADDING": s.PKCS1}, formatted(RSA_KEY, size=size), ())
      for size, digest in ((1024, "md5"), *((2048, name) for name in SHA), (3072, "sha256"))),
    *((f"RSA {size} PSS {digest} salt {name}", s.RSA, size, digest, {"PADDING": s.PSS, **salt},
       formatted(RSA_KEY, size=size), formatted(PSS, salt=name))
      for size, digest in ((1024, "sha1"), (2048, "sha224"), (2048, "sha256"), (2048, "sha512"))
      for salt, name in ((SALT_OF_DIGEST, "digest"), (SALT_MAX, "max"))),
    *((f"ECDSA {name} {digest}", s.ECC, size, digest, {}, formatted(EC_KEY, curve=name), ())
      for size, name in CURVES.items() for digest in SHA),
]  # fmt: skip


@pytest.mark.parametrize(
    ("algorithm", "size", "digest", "extra", "new_key", "command"),
    [pytest.param(*row[1:], id=row[0]) for row in SIGNATURES],
)
async def test_signatures(
    keystore: huks.Keystore,
    openssl: OpenSsl,
    algorithm: int,
    size: int,
    digest: str,
    extra: dict[str, int],
    new_key: tuple[str, ...],
    command: tuple[str, ...],
) -> None:
    """Either side verifies what the other signed, and refuses it for another message."""
    values = {"ALGORITHM": algorithm, "KEY_SIZE": size, "DIGEST": DIGESTS[digest], **extra}
    public = await our_public(keystore, PURPOSE=s.SIGNATURE, **values)
    signature = await s.run(keystore, "ours", MESSAGE[:100], MESSAGE[100:], PURPOSE=s.SIGN, **values)
    check = ("dgst", f"-{digest}", *command, "-keyform", "DER", "-verify", openssl.file("ours", public))
    check += ("-signature", openssl.file("signature", signature))
    assert openssl.accepts(*check, given=MESSAGE)
    assert not openssl.accepts(*check, given=MESSAGE[1:])
    path, theirs = openssl.new_key(*new_key)
    signature = openssl.run("dgst", f"-{digest}", *command, "-sign", path, given=MESSAGE)
    await import_theirs(keystore, theirs, PURPOSE=s.VERIFY, **values)
    assert await s.verifies(keystore, "theirs", MESSAGE, signature, PURPOSE=s.VERIFY, **values)
    assert not await s.verifies(keystore, "theirs", MESSAGE[1:], signature, PURPOSE=s.VERIFY, **values)


@pytest.mark.parametrize("size", [512, 1024, 2048])
async def test_dsa(keystore: huks.Keystore, openssl: OpenSsl, size: int) -> None:
    """DSA agrees with every digest; below 1024 bits OpenSSL makes no key, but verifies ours."""
    public = b""
    for digest in SHA:
        values = {"ALGORITHM": s.DSA, "KEY_SIZE": size, "DIGEST": DIGESTS[digest]}
        public = await dsa_public(keystore, PURPOSE=s.SIGNATURE, **values)
        signature = await s.run(keystore, "ours", MESSAGE, PURPOSE=s.SIGN, **values)
        check = ("dgst", f"-{digest}", "-keyform", "DER", "-verify", openssl.file("ours", public))
        check += ("-signature", openssl.file("signature", signature))
        assert openssl.accepts(*check, given=MESSAGE)
        assert not openssl.accepts(*check, given=MESSAGE[1:])
        if size > 1024:
            break
    if size < 1024:
        return
    group = ("-genparam", "-algorithm", "DSA", "-pkeyopt", f"dsa_paramgen_bits:{size}", "-pkeyopt")
    q = f"dsa_paramgen_q_bits:{160 if size < 2048 else 256}"
    path, theirs = openssl.new_key("-paramfile", openssl.file("group", openssl.run("genpkey", *group, q)))
    for digest in SHA:
        values = {"ALGORITHM": s.DSA, "KEY_SIZE": size, "DIGEST": DIGESTS[digest]}
        signature = openssl.run("dgst", f"-{digest}", "-sign", path, given=MESSAGE)
        await import_theirs(keystore, theirs, PURPOSE=s.VERIFY, **values)
        assert await s.verifies(keystore, "theirs", MESSAGE, signature, PURPOSE=s.VERIFY, **values)
        assert not await s.verifies(keystore, "theirs", MESSAGE[1:], signature, PURPOSE=s.VERIFY, **values)


async def dsa_public(keystore: huks.Keystore, **tags: Any) -> bytes:
    """As `our_public`, and skips where sizes of DSA need an extra that is not installed."""
    try:
        return await our_public(keystore, **tags)
    except huks.BusinessError as error:
        skip_unsupported(error)


SM2_ID = ("-pkeyopt", "distid:1234567812345678")
RAW_SIGNATURES = [
    pytest.param(s.ED25519, {}, ("-algorithm", "ED25519"), ("-rawin",), id="Ed25519"),
    pytest.param(
        s.SM2, {"DIGEST": DIGESTS["sm3"]}, ("-algorithm", "SM2"), ("-rawin", "-digest", "sm3", *SM2_ID), id="SM2"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "extra", "new_key", "command"), RAW_SIGNATURES)
async def test_signatures_of_whole_messages(
    keystore: huks.Keystore,
    openssl: OpenSsl,
    algorithm: int,
    extra: dict[str, int],
    new_key: tuple[str, ...],
    command: tuple[str, ...],
) -> None:
    """Ed25519, and SM2 with the default identity: either side verifies what the other signed."""
    openssl.need(new_key[1], "genpkey", *new_key)
    values = {"ALGORITHM": algorithm, "KEY_SIZE": 256, **extra}
    public = await sm2_public(keystore, PURPOSE=s.SIGNATURE, **values)
    signature = await s.run(keystore, "ours", MESSAGE, PURPOSE=s.SIGN, **values)
    key = openssl.file("ours", as_spki(algorithm, public))
    check = ("pkeyutl", "-verify", *command, "-pubin", "-keyform", "DER", "-inkey", key)
    check += ("-sigfile", openssl.file("signature", signature), "-in")
    message, other = openssl.file("message", MESSAGE), openssl.file("other", MESSAGE[1:])
    assert openssl.accepts(*check, message)
    assert not openssl.accepts(*check, other)
    path, theirs = openssl.new_key(*new_key)
    signature = openssl.run("pkeyutl", "-sign", *command, "-inkey", path, "-in", message)
    await import_theirs(keystore, from_spki(algorithm, theirs), PURPOSE=s.VERIFY, **values)
    assert await s.verifies(keystore, "theirs", MESSAGE, signature, PURPOSE=s.VERIFY, **values)
    assert not await s.verifies(keystore, "theirs", MESSAGE[1:], signature, PURPOSE=s.VERIFY, **values)


# RFC 8410 section 4: 32 raw bytes follow these
_HEADS = {
    s.ED25519: bytes.fromhex("302a300506032b6570032100"),
    s.X25519: bytes.fromhex("302a300506032b656e032100"),
}


def as_spki(algorithm: int, public: bytes) -> bytes:
    """The public key that the keystore exports, as SubjectPublicKeyInfo: X25519 and Ed25519 come bare."""
    return _HEADS.get(algorithm, b"") + public


def from_spki(algorithm: int, spki: bytes) -> bytes:
    """The other way."""
    head = _HEADS.get(algorithm, b"")
    assert spki.startswith(head)
    return spki[len(head) :]


async def sm2_public(keystore: huks.Keystore, **tags: Any) -> bytes:
    """As `our_public`, and skips where no library for SM2 is found."""
    try:
        return await our_public(keystore, **tags)
    except huks.BusinessError as error:
        if tags["ALGORITHM"] != s.SM2:
            raise
        skip_unsupported(error)


# --- encryption with public keys --------------------------------------------------------------

OAEP = (
    "-pkeyopt",
    "rsa_padding_mode:oaep",
    "-pkeyopt",
    "rsa_oaep_md:{name}",
    "-pkeyopt",
    "rsa_mgf1_md:{name}",
)
PUBLIC_CIPHERS = [
    pytest.param(
        s.RSA, 2048, {"PADDING": s.PKCS1, "DIGEST": 0}, ("-pkeyopt", "rsa_padding_mode:pkcs1"), id="RSA PKCS1"
    ),
    pytest.param(
        s.RSA, 2048, {"PADDING": s.NOPAD, "DIGEST": 0}, ("-pkeyopt", "rsa_padding_mode:none"), id="RSA no padding"
    ),
    *(
        pytest.param(
            s.RSA, 2048, {"PADDING": s.OAEP, "DIGEST": DIGESTS[name]}, formatted(OAEP, name=name), id=f"RSA OAEP {name}"
        )
        for name in ("md5", *SHA)
    ),
    pytest.param(s.SM2, 256, {"DIGEST": DIGESTS["sm3"]}, (), id="SM2"),
]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "size", "extra", "command"), PUBLIC_CIPHERS)
async def test_encryption_with_public_keys(
    keystore: huks.Keystore,
    openssl: OpenSsl,
    algorithm: int,
    size: int,
    extra: dict[str, int],
    command: tuple[str, ...],
) -> None:
    """Either side decrypts what the other encrypted with its public key."""
    new_key = ("-algorithm", "SM2") if algorithm == s.SM2 else formatted(RSA_KEY, size=size)
    openssl.need(new_key[1], "genpkey", *new_key)
    values = {"ALGORITHM": algorithm, "KEY_SIZE": size, **extra}
    message = SHORT.rjust(size // 8, b"\0") if extra.get("PADDING") == s.NOPAD else SHORT
    public = await sm2_public(keystore, PURPOSE=s.CIPHER, **values)
    key = openssl.file("ours", public)
    theirs = openssl.run(
        "pkeyutl", "-encrypt", *command, "-pubin", "-keyform", "DER", "-inkey", key, given=message
    )
    try:
        plain = await s.run(keystore, "ours", last=theirs, PURPOSE=s.DECRYPT, **values)
    except huks.BusinessError as error:
        skip_unsupported(error)
    assert plain == message
    path, theirs = openssl.new_key(*new_key)
    await import_theirs(keystore, theirs, PURPOSE=s.ENCRYPT, **values)
    ours = await s.run(keystore, "theirs", last=message, PURPOSE=s.ENCRYPT, **values)
    assert ours != message
    assert openssl.run("pkeyutl", "-decrypt", *command, "-inkey", path, given=ours) == message


# --- agreement --------------------------------------------------------------------------------

AGREEMENTS = [
    *(
        pytest.param(s.ECC, size, s.ECDH, formatted(EC_KEY, curve=curve), id=f"ECDH {curve}")
        for size, curve in CURVES.items()
    ),
    *(
        pytest.param(
            s.DH, size, s.DH, ("-algorithm", "DH", "-pkeyopt", f"group:ffdhe{size}"), id=f"DH {size}"
        )
        for size in (2048, 3072, 4096)
    ),
    pytest.param(s.X25519, 256, s.X25519, ("-algorithm", "X25519"), id="X25519"),
]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "size", "session", "new_key"), AGREEMENTS)
async def test_agreement(
    keystore: huks.Keystore,
    openssl: OpenSsl,
    algorithm: int,
    size: int,
    session: int,
    new_key: tuple[str, ...],
) -> None:
    """Both sides come to the same secret, each with its private and the other's public key."""
    public = await our_public(keystore, ALGORITHM=algorithm, KEY_SIZE=size, PURPOSE=s.AGREE)
    path, theirs = openssl.new_key(*new_key)
    tags = {"ALGORITHM": session, "KEY_SIZE": size, "PURPOSE": s.AGREE}
    secret = await s.run(keystore, "ours", from_spki(algorithm, theirs), **tags)
    key = openssl.file("ours", as_spki(algorithm, public))
    command = ("pkeyutl", "-derive", "-inkey", path, "-peerkey", key, "-peerform", "DER")
    # `openssl pkeyutl` leaves out leading zero bytes of a Diffie-Hellman secret, once in 256 runs
    assert openssl.run(*command).rjust((size + 7) // 8, b"\0") == secret


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
async def test_a_secret_keeps_its_leading_zeros(keystore: huks.Keystore) -> None:
    """A Diffie-Hellman secret is as long as the key, whatever it begins with, as a device has it."""
    # the group is that of the key in the store, so that the peer's number can be chosen
    public = await our_public(keystore, ALGORITHM=s.DH, KEY_SIZE=2048, PURPOSE=s.AGREE)
    ours = load_der_public_key(as_spki(s.DH, public))
    assert isinstance(ours, dh.DHPublicKey)
    numbers = ours.public_numbers()
    modulus, generator = numbers.parameter_numbers.p, numbers.parameter_numbers.g
    exponent = 2**255
    while pow(numbers.y, exponent, modulus) >= 2**2040:
        exponent += 1
    theirs = dh.DHPublicNumbers(pow(generator, exponent, modulus), numbers.parameter_numbers).public_key()
    spki = theirs.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    tags = {"ALGORITHM": s.DH, "KEY_SIZE": 2048, "PURPOSE": s.AGREE}
    secret = await s.run(keystore, "ours", from_spki(s.DH, spki), **tags)
    assert secret == pow(numbers.y, exponent, modulus).to_bytes(256, "big")
    assert secret[0] == 0


# --- post-quantum -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [44, 65, 87])
async def test_mldsa(keystore: huks.Keystore, openssl: OpenSsl, size: int) -> None:
    """Either side verifies what the other signed."""
    openssl.need(f"ML-DSA-{size}", "genpkey", "-algorithm", f"ML-DSA-{size}")
    values = {"ALGORITHM": s.ML_DSA, "KEY_SIZE": size}
    public = await our_public(keystore, PURPOSE=s.SIGNATURE, **values)
    signature = await s.run(keystore, "ours", MESSAGE, PURPOSE=s.SIGN, **values)
    message, other = openssl.file("message", MESSAGE), openssl.file("other", MESSAGE[1:])
    check = ("pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", openssl.file("ours", public))
    check += ("-sigfile", openssl.file("signature", signature), "-in")
    assert openssl.accepts(*check, message)
    assert not openssl.accepts(*check, other)
    path, theirs = openssl.new_key("-algorithm", f"ML-DSA-{size}")
    signature = openssl.run("pkeyutl", "-sign", "-inkey", path, "-in", message)
    await import_theirs(keystore, theirs, PURPOSE=s.VERIFY, **values)
    assert await s.verifies(keystore, "theirs", MESSAGE, signature, PURPOSE=s.VERIFY, **values)
    assert not await s.verifies(keystore, "theirs", MESSAGE[1:], signature, PURPOSE=s.VERIFY, **values)


@pytest.mark.parametrize("size", [768, 1024])
async def test_mlkem(keystore: huks.Keystore, openssl: OpenSsl, size: int, tmp_path: Path) -> None:
    """Either side opens what the other encapsulated."""
    openssl.need(f"ML-KEM-{size}", "genpkey", "-algorithm", f"ML-KEM-{size}")
    values = {"ALGORITHM": s.ML_KEM, "KEY_SIZE": size}
    public = await our_public(keystore, PURPOSE=s.WRAP | s.UNWRAP, **values)
    sealed, secret = tmp_path / "sealed", tmp_path / "secret"
    key = openssl.file("ours", public)
    openssl.run(
        "pkeyutl", "-encap", "-pubin", "-keyform", "DER", "-inkey", key, "-out", str(sealed), "-secret", str(secret)
    )  # fmt: skip
    got = await keystore.decapsulate("ours", s.properties(PURPOSE=s.UNWRAP, **values), sealed.read_bytes())
    assert got.sharedSecret == secret.read_bytes()
    path, theirs = openssl.new_key("-algorithm", f"ML-KEM-{size}")
    await import_theirs(keystore, theirs, PURPOSE=s.WRAP, **values)
    sent = await keystore.encapsulate("theirs", s.properties(PURPOSE=s.WRAP, **values))
    sealed.write_bytes(sent.outData)
    openssl.run("pkeyutl", "-decap", "-inkey", path, "-in", str(sealed), "-secret", str(secret))
    assert secret.read_bytes() == sent.sharedSecret
