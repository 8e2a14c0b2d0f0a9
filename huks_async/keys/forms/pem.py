"""PEM (RFC 7468): texts of blocks, written in lines of 64 characters, which every program reads."""

import base64
import binascii
from dataclasses import dataclass, field

from huks_async.keys.forms.layouts import invalid

BEGIN = b"-----BEGIN "
_DASHES = b"-----"
# of the labels that programs write; a text of which dashes were lost has its body where a label belongs
_WORDS = frozenset(
    [
        "#7",
        "AES",
        "AGE",
        "ANY",
        "ATTRIBUTE",
        "BLOCK",
        "CERTIFICATE",
        "CHAIN",
        "CLIENT",
        "CMS",
        "CRL",
        "DATA",
        "DES",
        "DH",
        "DSA",
        "EC",
        "ED25519",
        "ED448",
        "ENCRYPTED",
        "FILE",
        "GOST",
        "HMAC",
        "KEY",
        "LIST",
        "MESSAGE",
        "ML-DSA",
        "ML-KEM",
        "NEW",
        "OPENSSH",
        "OPENVPN",
        "PARAMETERS",
        "PGP",
        "PKCS",
        "PKCS12",
        "PKCS7",
        "PKCS8",
        "PRIVATE",
        "PUBLIC",
        "REQUEST",
        "RSA",
        "SECRET",
        "SERVER",
        "SESSION",
        "SIGNATURE",
        "SIGNED",
        "SM2",
        "SM4",
        "SSH",
        "SSH2",
        "SSL",
        "STATIC",
        "TLS-CRYPT-V2",
        "TRUSTED",
        "TSS2",
        "V1",
        "X25519",
        "X448",
        "X509",
        "X9.42",
    ]
)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a PEM text.

    Attributes:
        label: between BEGIN and the dashes.
        body: the bytes in it.
        headers: lines before the body, as the old encryption has them; empty in most files.

    """

    label: str
    body: bytes = field(repr=False)
    headers: bytes

    @property
    def name(self) -> str:
        """The label for messages: whole, or nothing of one that no program writes, which may be a piece of a key."""
        return _name(self.label)

    @property
    def is_encrypted_in_old_way(self) -> bool:
        """Whether the body is encrypted as RFC 1421 has it, with OpenSSL's derivation."""
        return b"DEK-Info" in self.headers

    @property
    def old_cipher(self) -> str:
        """The cipher that DEK-Info names; empty where there is none."""
        for line in self.headers.splitlines():
            name, _, value = line.partition(b":")
            if name.strip() == b"DEK-Info":
                return value.partition(b",")[0].strip().decode("ascii", "replace")
        return ""

    def text(self) -> bytes:
        """The block again, headers and all."""
        body = base64.encodebytes(self.body)
        head = self.headers + b"\n\n" if self.headers else b""
        label = self.label.encode()
        return b"-----BEGIN %s-----\n%s%s-----END %s-----\n" % (label, head, body, label)


def blocks(data: bytes) -> list[Block]:
    """The blocks of a text, in their order; text around them is left out.

    Lines may end in any way, be indented, or be written with the escapes of JSON, as in environment variables.

    Raises:
        BusinessError: 401 for a block that does not end, or whose body is no base64.

    """
    if b"\\n" in data:
        data = data.replace(b"\\r", b"").replace(b"\\n", b"\n")
    found: list[Block] = []
    start = data.find(BEGIN)
    while start >= 0:
        start += len(BEGIN)
        stop = data.find(_DASHES, start, start + 80)
        if stop < 0:
            raise invalid("the PEM text is damaged: a line BEGIN without its dashes")
        label = data[start:stop]
        end = data.find(b"-----END " + label + _DASHES, stop)
        text = label.decode("ascii", "replace")
        if end < 0:
            raise invalid(
                f"the PEM text is damaged: {_name(text)} begins and does not end; copy the whole file"
            )
        found.append(_block(text, data[stop + len(_DASHES) : end]))
        start = data.find(BEGIN, end)
    return found


def to_pem(der: bytes, label: str) -> str:
    """The text of some DER: a key, of algorithms unknown to the libraries below too, or a certificate."""
    return _framed(label, base64.b64encode(der).decode())


def in_lines(pem: str) -> str:
    """PEM whose body is one long line, in lines of 64 characters."""
    begin, body, _ = pem.split("\n")
    return _framed(begin.removeprefix("-----BEGIN ").removesuffix("-----"), body)


def _framed(label: str, body: str) -> str:
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def _block(label: str, content: bytes) -> Block:
    lines = [line.strip() for line in content.strip().splitlines()]
    count = 0
    if lines and b":" in lines[0]:
        # headers end with an empty line; where it was lost, with the last line that looks like one
        last = max(number for number, line in enumerate(lines) if b":" in line)
        count = lines.index(b"") if b"" in lines else last + 1
    headers, body = b"\n".join(lines[:count]), b"".join(b"".join(line.split()) for line in lines[count:])
    if label.startswith("PGP "):
        # armour of OpenPGP ends with a checksum, and nothing here reads it
        return Block(label, b"", headers)
    try:
        return Block(label, base64.b64decode(body, validate=True), headers)
    except binascii.Error:
        raise invalid(f"the body of {_name(label)} in PEM is no base64") from None


def _name(label: str) -> str:
    words = label.split()
    # OpenVPN writes small letters
    known = _WORDS.issuperset(word.upper() for word in words)
    return " ".join(words) if words and known else "a block with an unknown label"
