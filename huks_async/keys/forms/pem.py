"""PEM (RFC 7468), in lines of 64 characters, which every program reads."""

import base64
import textwrap


def to_pem(der: bytes, label: str) -> str:
    """The text of some DER: a key, of algorithms unknown to the libraries below too, or a certificate."""
    return _framed(label, base64.b64encode(der).decode())


def in_lines(pem: str) -> str:
    """PEM whose body is one long line, in lines of 64 characters."""
    begin, body, _ = pem.split("\n")
    return _framed(begin.removeprefix("-----BEGIN ").removesuffix("-----"), body)


def _framed(label: str, body: str) -> str:
    return "\n".join([f"-----BEGIN {label}-----", *textwrap.wrap(body, 64), f"-----END {label}-----", ""])
