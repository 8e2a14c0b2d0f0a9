"""Keys of OpenSSH: private key files, `.pub` files, lines of authorized_keys, and RFC 4716."""

import base64
import binascii
import re
import struct
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_identity,
)
from cryptography.hazmat.primitives.serialization.ssh import SSHCertificate

from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.forms.layouts import invalid
from huks_async.keys.forms.library_keys import private_material, public_material
from huks_async.keys.forms.number_bounds import check_rsa_bits, check_rsa_numbers
from huks_async.keys.forms.pem import Block, to_pem
from huks_async.model.errors import BusinessError
from huks_async.model.memory import refuse_out_of_memory

LABEL = "OPENSSH PRIVATE KEY"
MAX_ROUNDS = 1000
"""Of bcrypt, as `ssh-keygen -a` sets them: some ten seconds."""

_NOT_HERE = 12000001
_MAGIC = b"openssh-key-v1\0"
_KIND = re.compile(rb"[A-Za-z0-9@.-]{1,60}")
# A quote that does not end reaches to the end of its line; looked for from each quote in it, it took minutes.
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.?)*+(?:"|\Z)')
_LINE = re.compile(
    rb"(?:^|[\s,])((?:ssh-|ecdsa-sha2-|sk-)[A-Za-z0-9@.-]{1,60})[ \t]+(AAAA[A-Za-z0-9+/]+={0,2})"
)
# a key of 16,384 bits with long headers has a tenth of it
_MAX_SSH2_BYTES = 64 * 1024
_SSH2_BEGIN, _SSH2_END = b"---- BEGIN SSH2 PUBLIC KEY ----", b"---- END SSH2 PUBLIC KEY ----"
_SECURITY_KEY = (
    "a key of a FIDO security key (sk-), whose private half never leaves the device",
    "make another one: ssh-keygen -t ed25519",
)
_BCRYPT = (
    "keys of OpenSSH with a passphrase need the package bcrypt; pip install 'huks-async[ssh]', "
    "or take it off a copy: ssh-keygen -p -f COPY"
)


def is_public(data: bytes) -> bool:
    """Whether a text holds public keys of OpenSSH."""
    return _SSH2_BEGIN in data or bool(_lines(data))


def is_encrypted(block: Block) -> bool:
    """Whether a private key file needs a passphrase."""
    header = _header(block.body)
    return header is not None and header[0] != b"none"


def read_private(block: Block, password: bytes | None) -> KeyMaterial:
    """Read the key in a file that begins with `-----BEGIN OPENSSH PRIVATE KEY-----`.

    Raises:
        BusinessError: 401 for a damaged file, a passphrase that is wrong or not there, or a key of a
            security key; 12000001 for a key that HUKS does not have, or without `bcrypt` for an
            encrypted one.

    """
    header = _header(block.body)
    if header is None:
        raise invalid("the OpenSSH private key is damaged; ssh-keygen -y -f FILE reads a good one")
    cipher, options, count, public, private = header
    if count != 1:
        raise invalid(f"the OpenSSH private key file holds {count} keys; one is taken from a file")
    if b"sk-" in public[:12]:
        raise invalid("; ".join(_SECURITY_KEY))
    if public.startswith(b"ssh-rsa"):
        # the exponent and the modulus follow, each with four bytes of its length
        exponent = int.from_bytes(public[7:11], "big")
        modulus = int.from_bytes(public[11 + exponent + 4 :], "big")
        check_rsa_bits(modulus.bit_length())
    if cipher != b"none":
        if not password:
            raise invalid("the OpenSSH private key is encrypted; give its passphrase")
        rounds = int.from_bytes(options[-4:], "big")
        if rounds > MAX_ROUNDS:
            raise invalid(
                f"the OpenSSH private key asks for {rounds} rounds of bcrypt, {MAX_ROUNDS} are taken from a file; "
                "encrypt it with fewer: ssh-keygen -p -a 100 -f COPY"
            )
    elif public.startswith(b"ssh-rsa"):
        # after two check numbers: the kind, n, e, d, the inverse of q, p, q
        numbers = [int.from_bytes(octets, "big").bit_length() for octets in _strings(private[8:])[1:7]]
        if len(numbers) == 6:
            n, e, d, inverse, p, q = numbers
            check_rsa_numbers(n, e, d, p, q, inverse)
    try:
        key: Any = load_ssh_private_key(
            to_pem(block.body, LABEL).encode(), None if cipher == b"none" else password
        )
    except UnsupportedAlgorithm as error:
        if "bcrypt" in str(error):
            raise BusinessError(_NOT_HERE, _BCRYPT) from None
        raise BusinessError(
            _NOT_HERE,
            "an OpenSSH private key of a kind or cipher that is not read; "
            "if it has a passphrase, encrypt a copy anew: ssh-keygen -p -Z aes256-ctr -f COPY",
        ) from None
    except Warning:
        raise  # the library's, that DSA goes, which a filter of the caller's has made an error
    except Exception as error:  # the library refuses in many ways, none of which is ours to pass on
        refuse_out_of_memory(error, "reading a key")
        why = (
            "is damaged" if cipher == b"none" else "does not open: the passphrase is wrong, or it is damaged"
        )
        raise invalid(f"the OpenSSH private key {why}; ssh-keygen -y -f FILE tells which") from None
    material = private_material(key)
    # the library itself holds the numbers of DSA to those in front, and would warn a second time
    if not public.startswith(b"ssh-dss") and _blob_of(key.public_key())[4:] != public:
        raise invalid("the public half of the OpenSSH private key is of another key")
    return material


def holds_rsa_or_dsa(block: Block) -> bool:
    """Whether the key of a block is one whose check takes long."""
    header = _header(block.body)
    return header is not None and header[3].startswith((b"ssh-rsa", b"ssh-dss"))


def read_public(data: bytes) -> KeyMaterial:
    """Read the one public key of a text: a `.pub` file, a line of authorized_keys, or RFC 4716.

    Raises:
        BusinessError: 401 for a text with another number of keys, a damaged one, or the key of a security
            key; 12000001 for a key that HUKS does not have.

    """
    lines = _lines(data)
    for block in data.split(_SSH2_BEGIN)[1:]:
        lines.append(_line_of_rfc4716(block.split(_SSH2_END)[0]))
    if len(lines) != 1:
        raise invalid(
            f"the text holds {len(lines)} public keys of OpenSSH; one is taken: keep its line in a file of its own"
        )
    kind, text = lines[0]
    if kind.startswith(b"sk-"):
        raise invalid("; ".join(_SECURITY_KEY))
    try:
        key: Any = load_ssh_public_identity(kind + b" " + text)
        if isinstance(key, SSHCertificate):
            key = key.public_key()
    except UnsupportedAlgorithm:
        raise BusinessError(
            _NOT_HERE,
            f"an OpenSSH public key of the kind {_shown(kind)}, which is not read; "
            f"write it in another form: {_export_of(data, kind)}",
        ) from None
    except Exception as error:  # as above
        refuse_out_of_memory(error, "reading a key")
        option = "-i" if _SSH2_BEGIN in data else "-l"
        raise invalid(
            f"the OpenSSH public key is damaged; ssh-keygen {option} -f FILE reads a good one"
        ) from None
    return public_material(key)


def _blob_of(key: Any) -> bytes:
    """A public key of the library's as files of OpenSSH hold it: the kind and the numbers, each with its length."""
    return base64.b64decode(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split(b" ")[1])


def _shown(kind: bytes) -> str:
    return kind.decode() if _KIND.fullmatch(kind) else "that its bytes do not tell"


def _export_of(data: bytes, kind: bytes) -> str:
    """The command that writes a public key in another form: ssh-keygen itself takes no other than bare lines."""
    if _SSH2_BEGIN in data:
        return "ssh-keygen -i -f FILE > COPY, then ssh-keygen -e -m PKCS8 -f COPY"
    bare = "" if data.lstrip().startswith(kind) else ", where FILE holds the line without its options"
    return f"ssh-keygen -e -m PKCS8 -f FILE{bare}"


def _lines(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and base64 of each public key; options before and comments after are left out."""
    if b"AAAA" not in data:
        return []
    found: list[tuple[bytes, bytes]] = []
    for line in data.splitlines():
        if line.lstrip().startswith(b"#") or b"AAAA" not in line:
            continue
        # options may quote commands, which may quote anything
        match = _LINE.search(_QUOTED.sub(b'""', line))
        if match is not None:
            found.append((match[1], match[2]))
    return found


def _line_of_rfc4716(body: bytes) -> tuple[bytes, bytes]:
    # headers have a colon, and go on where a line ends with a backslash
    if len(body) > _MAX_SSH2_BYTES:
        raise invalid(f"the SSH2 public key has {len(body)} bytes, {_MAX_SSH2_BYTES} are taken from a file")
    pieces: list[bytes] = []
    continued = False
    for line in body.splitlines():
        header = continued or b":" in line
        continued = header and line.endswith(b"\\")
        if not header:
            pieces.append(line.strip())
    text = b"".join(pieces)
    try:
        blob = base64.b64decode(text, validate=True)
        (length,) = struct.unpack_from(">I", blob)
    except (binascii.Error, struct.error):
        raise invalid("the SSH2 public key is damaged; ssh-keygen -i -f FILE reads a good one") from None
    return blob[4 : 4 + length], text


def _strings(data: bytes) -> list[bytes]:
    """The byte strings that stand at the beginning, each with four bytes of its length."""
    found: list[bytes] = []
    at = 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        at += 4 + length
        if at > len(data):
            break
        found.append(data[at - length : at])
    return found


def _header(blob: bytes) -> tuple[bytes, bytes, int, bytes, bytes] | None:
    """Cipher, options of its derivation, number of keys, the public key, and the private ones."""
    if not blob.startswith(_MAGIC):
        return None
    at = len(_MAGIC)
    fields: list[bytes] = []
    for index in range(4):
        if index == 3:
            (count,) = struct.unpack_from(">I", blob, at) if at + 4 <= len(blob) else (0,)
            at += 4
        if at + 4 > len(blob):
            return None
        (length,) = struct.unpack_from(">I", blob, at)
        fields.append(blob[at + 4 : at + 4 + length])
        at += 4 + length
    cipher, _, options, public = fields
    return cipher, options, count, public[4:], b"".join(_strings(blob[at:])[:1])
