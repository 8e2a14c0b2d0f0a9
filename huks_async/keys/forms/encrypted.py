"""EncryptedPrivateKeyInfo (PKCS#8): what opening one costs, and opening it without looking at the key in it.

The file chooses how often a passphrase is hashed. It may ask for years, so the cost is read first and
bounded. The library below computes with a key as soon as it has opened it, so PBES2 is opened here out of its
primitives: the numbers are bounded before, and SM2 keys and ciphers of GM/T are read, too.
"""

from dataclasses import dataclass, field

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7

from huks_async.keys.forms.der import INTEGER, OCTETS, OID, SEQUENCE, elements, number, sequence, shape
from huks_async.keys.forms.layouts import invalid

MAX_ITERATIONS = 10_000_000
"""Of PBKDF2 and of the PKCS#12 derivation: some five seconds."""
MAX_SCRYPT_BYTES = 1 << 30
MAX_SCRYPT_STEPS = 1 << 24
"""Bound of N · r · p: some ten seconds."""

PBES2 = bytes.fromhex("2a864886f70d01050d")
_PBKDF2 = bytes.fromhex("2a864886f70d01050c")
_SCRYPT = bytes.fromhex("2b06010401da47040b")
_PRFS: dict[bytes, hashes.HashAlgorithm] = {
    bytes.fromhex("2a864886f70d0207"): hashes.SHA1(),  # noqa: S303 - of RFC 8018, in files that others wrote
    bytes.fromhex("2a864886f70d0208"): hashes.SHA224(),
    bytes.fromhex("2a864886f70d0209"): hashes.SHA256(),
    bytes.fromhex("2a864886f70d020a"): hashes.SHA384(),
    bytes.fromhex("2a864886f70d020b"): hashes.SHA512(),
    # HMAC with SM3: 1.2.156.10197.1.401.3.1, and .401.2 as GmSSL writes it
    bytes.fromhex("2a811ccf550183110301"): hashes.SM3(),
    bytes.fromhex("2a811ccf5501831102"): hashes.SM3(),
}
_DEFAULT_PRF = bytes.fromhex("2a864886f70d0207")
# cipher and bytes of its key
_CIPHERS: dict[bytes, tuple[type[algorithms.AES | algorithms.SM4 | TripleDES], int]] = {
    bytes.fromhex("60864801650304 0102".replace(" ", "")): (algorithms.AES, 16),
    bytes.fromhex("60864801650304 0116".replace(" ", "")): (algorithms.AES, 24),
    bytes.fromhex("60864801650304 012a".replace(" ", "")): (algorithms.AES, 32),
    bytes.fromhex("2a864886f70d0307"): (TripleDES, 24),
    bytes.fromhex("2a811ccf55016802"): (algorithms.SM4, 16),
}
# what the library below reads besides: RC2 in PBES2, and of PBES1 and PKCS#12 these; in PKCS#12 files it reads more
_RC2 = bytes.fromhex("2a864886f70d0302")
_OLDER_SCHEMES = frozenset(
    bytes.fromhex(oid)
    for oid in (
        "2a864886f70d010503",  # MD5 and DES
        "2a864886f70d010c0101",  # SHA-1 and RC4, 128 bits
        "2a864886f70d010c0103",  # and Triple DES
        "2a864886f70d010c0106",  # and RC2, 40 bits
    )
)


@dataclass(frozen=True, slots=True)
class Encrypted:
    """An EncryptedPrivateKeyInfo.

    Attributes:
        scheme: OID of the encryption, as DER content.
        parameters: of the scheme.
        sealed: the ciphertext.

    """

    scheme: bytes
    parameters: list[tuple[int, bytes]]
    sealed: bytes = field(repr=False)


def read(data: bytes) -> Encrypted | None:
    """Take an EncryptedPrivateKeyInfo apart; None for anything else."""
    parts = sequence(data)
    if shape(parts) != (SEQUENCE, OCTETS):
        return None
    identifier = elements(parts[0][1])
    if shape(identifier) != (OID, SEQUENCE):
        return None
    return Encrypted(identifier[0][1], elements(identifier[1][1]), parts[1][1])


def check_cost(key: Encrypted) -> None:
    """Refuse a file that asks for more work than a passphrase is worth.

    Raises:
        BusinessError: 401.

    """
    if key.scheme != PBES2:
        # PBES1 and PKCS#12: salt and iterations
        if shape(key.parameters) == (OCTETS, INTEGER):
            check_iterations(number(key.parameters[1][1]))
        return
    kdf, values = _derivation(key)
    if kdf == _PBKDF2 and shape(values)[:2] == (OCTETS, INTEGER):
        check_iterations(number(values[1][1]))
    elif kdf == _SCRYPT and shape(values)[:4] == (OCTETS, INTEGER, INTEGER, INTEGER):
        cost, block, lanes = (number(content) for _, content in values[1:4])
        if min(cost, block, lanes) < 1:
            raise invalid("the key is encrypted with scrypt of a cost of zero, so the file is damaged")
        if 128 * cost * block > MAX_SCRYPT_BYTES or cost * block * lanes > MAX_SCRYPT_STEPS:
            raise invalid(
                "the key is encrypted with scrypt of more memory or work than is taken from a file; "
                "encrypt it with less: openssl pkcs8 -topk8 -in FILE -out COPY"
            )


def check_iterations(iterations: int) -> None:
    """Refuse a number of iterations above `MAX_ITERATIONS`: 401."""
    if iterations > MAX_ITERATIONS:
        shown = iterations if iterations < 1 << 64 else "more than 2^64"
        raise invalid(
            f"the file asks for {shown} iterations to open it, {MAX_ITERATIONS} are taken from a file; "
            "encrypt it with fewer: openssl pkcs8 -topk8 -iter 600000 -in FILE -out COPY"
        )


def is_read(key: Encrypted) -> bool:
    """Whether a key that is encrypted in this way is opened, so that its passphrase must be wrong if it is not."""
    if key.scheme != PBES2:
        return key.scheme in _OLDER_SCHEMES
    if shape(key.parameters) != (SEQUENCE, SEQUENCE):
        return False
    encryption = elements(key.parameters[1][1])
    if not encryption or encryption[0][1] not in (*_CIPHERS, _RC2):
        return False
    kdf, values = _derivation(key)
    return kdf == _SCRYPT or (kdf == _PBKDF2 and _prf(values) is not None)


def is_opened_here(key: Encrypted) -> bool:
    """Whether `decrypt` opens a key that is encrypted in this way, if anything does."""
    if key.scheme != PBES2 or shape(key.parameters) != (SEQUENCE, SEQUENCE):
        return False
    encryption = elements(key.parameters[1][1])
    return bool(encryption) and encryption[0][1] in _CIPHERS


def decrypt(key: Encrypted, password: bytes, *, is_part: bool = False) -> bytes | None:
    """Open PBES2 (RFC 8018, 6.2) with the library's primitives.

    Args:
        key: what is encrypted.
        password: that opens it.
        is_part: whether it is a part of PKCS#12, which may have lengths that are left open, and more behind its end.

    Returns:
        the PrivateKeyInfo, or None for another scheme, or where the passphrase is wrong.

    """
    if not is_opened_here(key):
        return None
    check_cost(key)
    kdf, values = _derivation(key)
    encryption = elements(key.parameters[1][1])
    cipher = _CIPHERS.get(encryption[0][1]) if shape(encryption) == (OID, OCTETS) else None
    if cipher is None:
        return None
    kind, length = cipher
    derived = _derive(kdf, values, length, password)
    vector = encryption[1][1]
    if derived is None or len(vector) * 8 != kind.block_size or len(key.sealed) * 8 % kind.block_size:
        return None
    decryptor = Cipher(kind(derived), modes.CBC(vector)).decryptor()
    unpadder = PKCS7(kind.block_size).unpadder()
    try:
        padded = decryptor.update(key.sealed) + decryptor.finalize()
        plain = unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        return None
    # one wrong passphrase in 256 leaves a padding that looks right
    looks_right = plain[:1] == bytes((SEQUENCE,)) if is_part else bool(sequence(plain))
    return plain if looks_right else None


def _derivation(key: Encrypted) -> tuple[bytes, list[tuple[int, bytes]]]:
    parts = elements(key.parameters[0][1]) if key.parameters else []
    return (parts[0][1], elements(parts[1][1])) if shape(parts) == (OID, SEQUENCE) else (b"", [])


def _derive(kdf: bytes, values: list[tuple[int, bytes]], length: int, password: bytes) -> bytes | None:
    tags = shape(values)
    if kdf == _SCRYPT and tags[:4] == (OCTETS, INTEGER, INTEGER, INTEGER):
        if not _gives(values[4:], length):
            return None
        cost, block, lanes = (number(content) for _, content in values[1:4])
        try:
            return Scrypt(values[0][1], length, cost, block, lanes).derive(password)
        except (ValueError, OverflowError):
            return None
    if kdf != _PBKDF2 or tags[:2] != (OCTETS, INTEGER) or number(values[1][1]) == 0:
        return None
    prf = _prf(values)
    if prf is None or not _gives(values[2:], length):
        return None
    return PBKDF2HMAC(prf, length, values[0][1], number(values[1][1])).derive(password)


def _gives(options: list[tuple[int, bytes]], length: int) -> bool:
    """Whether a derivation makes a key of this length: it may say so behind what it needs."""
    return shape(options)[:1] != (INTEGER,) or number(options[0][1]) == length


def _prf(values: list[tuple[int, bytes]]) -> hashes.HashAlgorithm | None:
    chosen = next((elements(content) for tag, content in values[2:] if tag == SEQUENCE), None)
    return _PRFS.get(_DEFAULT_PRF if chosen is None else chosen[0][1] if chosen else b"")
