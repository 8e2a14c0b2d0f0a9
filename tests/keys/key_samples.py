"""Keys from outside, and the header form written a second time, from its documentation alone."""

import functools
import shutil
import struct
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519

from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag

if shutil.which("openssl") is None:
    pytest.skip("OpenSSL's command line is not installed: it makes the keys", allow_module_level=True)

PUBLIC, PRIVATE, PAIR = 0, 1, 2
RSA, ECC, DSA, X25519, ED25519, DH, SM2, ML_KEM, ML_DSA = 1, 2, 3, 101, 102, 103, 150, 200, 201

_GENERATE = {
    RSA: ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:{size}"],
    ECC: ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:{curve}"],
    DH: ["-algorithm", "DH", "-pkeyopt", "group:ffdhe{size}"],
    X25519: ["-algorithm", "X25519"],
    ED25519: ["-algorithm", "ED25519"],
    SM2: ["-algorithm", "SM2"],
}
_CURVES = {224: "P-224", 256: "P-256", 384: "P-384", 521: "P-521"}


@dataclass(frozen=True)
class Sample:
    """A key that OpenSSL's command line made, and its numbers."""

    algorithm: int
    size: int
    fields: dict[str, bytes]
    spki: bytes
    exported: bytes
    pem: bytes

    def blob(self, **changes: bytes) -> bytes:
        """The header form, with some fields replaced."""
        return header_form(self.algorithm, self.size, self.fields | changes)


def openssl(*arguments: str, stdin: bytes = b"") -> bytes:
    """Run OpenSSL's command line; gives its output."""
    done = subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=True)
    return done.stdout


def header_form(algorithm: int, size: int, fields: dict[str, bytes]) -> bytes:
    """Write the header form as its table says, apart from the library's own writer."""
    values = list(fields.values())
    words = [algorithm, size, *map(len, values)]
    if "private" in fields:
        words.append(0)
    return b"".join(struct.pack("<I", word) for word in words) + b"".join(values)


def params(algorithm: int | None, size: int | None, kind: int | None = None, **more: int | bytes) -> ParamSet:
    """Parameters of an import; `more` are tags without their prefix."""
    found = ParamSet()
    given = {"ALGORITHM": algorithm, "KEY_SIZE": size, "IMPORT_KEY_TYPE": kind, **more}
    for name, value in given.items():
        if value is not None:
            target = found.blobs if isinstance(value, bytes) else found.numbers
            target[HuksTag["HUKS_TAG_" + name]] = value
    return found


def end_of(call: Callable[..., Any], *arguments: object) -> tuple[int, Any]:
    """How a call ended: 0 and its result, or the code of its BusinessError and None."""
    try:
        return 0, call(*arguments)
    except BusinessError as error:
        return error.code, None


def _big(number: int, width: int | None = None) -> bytes:
    return number.to_bytes(width or (number.bit_length() + 7) // 8, "big")


def _fields(algorithm: int, size: int, pem: bytes) -> dict[str, bytes]:
    width = (size + 7) // 8
    if algorithm == SM2:
        # cryptography has no SM2; in OpenSSL's EC PRIVATE KEY the parts stand at fixed places
        der = openssl("ec", "-outform", "DER", "-no_public", stdin=pem)
        scalar = der[7:39]
        spki = openssl("pkey", "-pubout", "-outform", "DER", stdin=pem)
        return {"x": spki[-64:-32], "y": spki[-32:], "z": scalar}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = serialization.load_pem_private_key(pem, None)
        if algorithm == DH:
            numbers = key.private_numbers()
            return {"public": _big(numbers.public_numbers.y, width), "private": _big(numbers.x)}
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        public = numbers.public_numbers
        return {"n": _big(public.n), "e": _big(public.e), "d": _big(numbers.d, width)}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        numbers = key.private_numbers()
        point = numbers.public_numbers
        return {"x": _big(point.x, width), "y": _big(point.y, width), "z": _big(numbers.private_value, width)}
    if isinstance(key, dsa.DSAPrivateKey):
        numbers = key.private_numbers()
        public, group = numbers.public_numbers, numbers.public_numbers.parameter_numbers
        return {
            "x": _big(numbers.x),
            "y": _big(public.y),
            "p": _big(group.p),
            "q": _big(group.q),
            "g": _big(group.g),
        }
    assert isinstance(key, (x25519.X25519PrivateKey, ed25519.Ed25519PrivateKey))
    return {"public": key.public_key().public_bytes_raw(), "private": key.private_bytes_raw()}


@functools.cache
def sample(algorithm: int, size: int) -> Sample:
    """A key of OpenSSL's command line; the same one each time."""
    if algorithm == DSA:
        arguments = ["-pkeyopt", f"dsa_paramgen_bits:{size}", "-pkeyopt", "dsa_paramgen_q_bits:160"]
        parameters = openssl("genpkey", "-genparam", "-algorithm", "DSA", *arguments)
        pem = openssl("genpkey", "-paramfile", "/dev/stdin", stdin=parameters)
    else:
        wanted = [one.format(size=size, curve=_CURVES.get(size)) for one in _GENERATE[algorithm]]
        pem = openssl("genpkey", *wanted)
    spki = openssl("pkey", "-pubout", "-outform", "DER", stdin=pem)
    exported = spki[-32:] if algorithm in (X25519, ED25519) else spki
    return Sample(algorithm, size, _fields(algorithm, size, pem), spki, exported, pem)


SIZES = [
    (RSA, 2048),
    (ECC, 224),
    (ECC, 256),
    (ECC, 384),
    (ECC, 521),
    (DSA, 1024),
    (DH, 2048),
    (X25519, 256),
    (ED25519, 256),
    (SM2, 256),
]
NAMES = [f"{algorithm}-{size}" for algorithm, size in SIZES]
