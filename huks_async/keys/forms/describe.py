"""Say what a blob is, without any secret of it."""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.forms import convert, key_files
from huks_async.keys.forms.identify import identify
from huks_async.keys.forms.layouts import LAYOUTS, algorithm_name, unpack
from huks_async.model.errors import BusinessError

_LENGTH = struct.Struct("<I")
_FORMS: dict[str, str] = {
    "pem": "PEM",
    "pkcs8": "PKCS#8",
    "spki": "SubjectPublicKeyInfo",
    "jwk": "JWK",
    "pkcs12": "PKCS#12",
    "certificate": "X.509 certificate",
    "openssh": "OpenSSH public key",
    "layout": "header form",
}
_CONTAINERS = {2: "wrapped key, suite 5", 8: "wrapped key, suite 4", 10: "wrapped key, suite 1, 2 or 3"}
_MAX_DESCRIBED = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Description:
    """What a blob is.

    Attributes:
        form: header form, SubjectPublicKeyInfo, PKCS#8, PKCS#12, PEM, JWK, X.509 certificate, OpenSSH public
            key, wrapped key, or raw or unknown; of a file that is no such key the name of what it is.
        length: bytes of the blob.
        algorithm: short name, empty where the form does not tell.
        size: bits, or the number of the parameter set; 0 where the form does not tell.
        halves: which of `public` and `private` are there.
        fields: bytes of each field, by name or number, where the form has fields.
        fingerprint: SHA-256 of the public half as `exportKeyItem` gives it, in hex; empty without one.
        note: why a blob that looks like its form is not one, or what else to know.

    """

    form: str
    length: int
    algorithm: str = ""
    size: int = 0
    halves: tuple[str, ...] = ()
    fields: Mapping[str, int] = field(default_factory=dict)
    fingerprint: str = ""
    note: str = ""


def describe(blob: bytes | str) -> Description:
    """Tell the form, algorithm, size and public fingerprint of any blob; never fails, shows no secret.

    The key is checked as an import checks it, which takes up to a second of CPU for a private RSA, DSA or DH key:
    on an event loop, `anyio.to_process.run_sync(describe, blob)` keeps others from waiting.

    Args:
        blob: a key in any form that HUKS or this library handles; text is taken as UTF-8.

    """
    data = blob.encode("utf-8", "replace") if isinstance(blob, str) else bytes(blob)
    if len(data) > _MAX_DESCRIBED:
        return Description("unknown", len(data), note=f"longer than {_MAX_DESCRIBED} bytes")
    header = _header_form(data)
    if header is not None:
        return header
    fields = _container(data)
    if fields is not None:
        names = {str(index): length for index, length in enumerate(fields, start=1)}
        return Description(_CONTAINERS[len(fields)], len(data), fields=names)
    content = key_files.readable(data)
    form = key_files.recognise(content)
    if form is None:
        foreign = identify(content) if content else None
        if foreign is not None:
            return Description(foreign.name, len(data), note=foreign.way_out)
        return Description(
            "raw or unknown", len(data), note=f"as a raw key it would have {8 * len(data)} bits"
        )
    name = _FORMS[form]
    if key_files.needs_passphrase(content):
        return Description(
            name, len(data), halves=("private",), note="encrypted: its passphrase tells what key it is"
        )
    try:
        return _of_material(name, len(data), key_files.read(content, form))
    except BusinessError as error:
        return Description(name, len(data), note=error.message)
    except Warning as warning:  # that its algorithm is weak, which a filter of the caller's has made an error
        return Description(name, len(data), note=str(warning))


def _of_material(form: str, length: int, material: KeyMaterial) -> Description:
    halves = tuple(name for name, half in (("public", material.public), ("private", material.secret)) if half)
    name = "" if material.is_symmetric else algorithm_name(material.algorithm)
    return Description(form, length, name, material.size, halves, fingerprint=_fingerprint(material.public))


def _header_form(data: bytes) -> Description | None:
    if len(data) < 8 or int.from_bytes(data[:4], "little") not in LAYOUTS:
        return None
    try:
        parts = unpack(data)
    except BusinessError as error:
        # four bytes of an algorithm's number can be a container's first length as well
        if _container(data) is not None:
            return None
        return Description("header form", len(data), note=error.message)
    lengths = {name: len(value) for name, value in parts.items()}
    public, note = b"", ""
    try:
        material = convert.from_layout(data)
    except BusinessError as error:
        note = error.message
    except Warning as warning:  # as below
        note = str(warning)
    else:
        public = material.public
    secret = LAYOUTS[parts.algorithm].private
    shown = [name for name in parts if name != secret]
    # DSA's group is public, but no half of a key; RSA's private form holds its public half
    public_names = [name for name in shown if name not in ("p", "q", "g")]
    halves = ["public"] if all(parts[name] for name in public_names) else []
    halves += ["private"] if parts[secret] else []
    return Description(
        "header form",
        len(data),
        algorithm_name(parts.algorithm),
        parts.size,
        tuple(halves),
        lengths,
        _fingerprint(public),
        note,
    )


def _container(data: bytes) -> list[int] | None:
    lengths: list[int] = []
    start = 0
    while start < len(data):
        if start + _LENGTH.size > len(data) or len(lengths) == max(_CONTAINERS):
            return None
        (length,) = _LENGTH.unpack_from(data, start)
        start += _LENGTH.size + length
        if length == 0 or start > len(data):
            return None
        lengths.append(length)
    return lengths if len(lengths) in _CONTAINERS else None


def _fingerprint(public: bytes) -> str:
    return hashlib.sha256(public).hexdigest() if public else ""
