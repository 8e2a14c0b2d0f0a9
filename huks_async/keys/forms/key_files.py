"""Files of keys: which form one has, and what an import takes of it."""

import json
from typing import Literal, TypeAlias

from huks_async.crypto.key_material import SYMMETRIC_ALGORITHMS, KeyMaterial
from huks_async.keys.forms import convert
from huks_async.keys.forms.layouts import LAYOUTS, unpack
from huks_async.model.enums import HuksImportKeyType
from huks_async.model.errors import BusinessError

KeyForm: TypeAlias = Literal["pem", "pkcs8", "spki", "jwk", "layout", "raw"]

_INTEGER, _BITS, _OCTETS, _SEQUENCE = 0x02, 0x03, 0x04, 0x30
_AFTER_ALGORITHM: dict[int, KeyForm] = {_BITS: "spki", _OCTETS: "pkcs8"}


def recognise(data: bytes, algorithm: int | None = None) -> KeyForm:
    """The form of a key, by its content; what has no structure is raw.

    Args:
        data: the key.
        algorithm: what the key is said to be; symmetric keys are never taken for header form or DER.

    """
    if b"-----BEGIN " in data:
        return "pem"
    if _is_json_object(data):
        return "jwk"
    if algorithm in SYMMETRIC_ALGORITHMS:
        return "raw"
    if int.from_bytes(data[:4], "little") in LAYOUTS:
        try:
            unpack(data)
        except BusinessError:
            pass  # its first bytes look like a header by chance: the other forms are tried
        else:
            return "layout"
    return der_form(data) or "raw"


def read_as(data: bytes, form: KeyForm, algorithm: int | None, password: bytes | None) -> KeyMaterial:
    """Read a key in a form that tells what key it is, which is every one but `raw`.

    Args:
        data: the key.
        form: its form, see `recognise`.
        algorithm: what an `oct` JWK is a key of; AES where it is not given.
        password: of an encrypted PEM or PKCS#8.

    Raises:
        BusinessError: as the reader of the form, see `convert`.

    """
    match form:
        case "pem":
            return convert.from_pem(data, password)
        case "pkcs8":
            return convert.from_pkcs8(data, password)
        case "spki":
            return convert.from_spki(data)
        case "jwk":
            if algorithm is None or algorithm not in SYMMETRIC_ALGORITHMS:
                return convert.from_jwk(data)
            return convert.from_jwk(data, algorithm=algorithm)
    return convert.from_layout(data)


def der_form(data: bytes) -> KeyForm | None:
    """Which of the two DER forms this is, or neither."""
    # PrivateKeyInfo and its elders begin with their version. EncryptedPrivateKeyInfo and
    # SubjectPublicKeyInfo both begin with an algorithm; an octet string or a bit string follows.
    outer = _element(data, 0)
    if outer is None or outer[0] != _SEQUENCE or outer[2] != len(data):
        return None
    first = _element(data, outer[1])
    if first is None:
        return None
    if first[0] == _INTEGER:
        return "pkcs8"
    second = _element(data, first[2])
    if first[0] != _SEQUENCE or second is None or second[2] != len(data):
        return None
    return _AFTER_ALGORITHM.get(second[0])


def import_type_of(material: KeyMaterial) -> HuksImportKeyType:
    """IMPORT_KEY_TYPE of the halves that this key has; symmetric keys are imported as public."""
    if material.is_symmetric or not material.secret:
        return HuksImportKeyType.HUKS_KEY_TYPE_PUBLIC_KEY
    if material.public:
        return HuksImportKeyType.HUKS_KEY_TYPE_KEY_PAIR
    return HuksImportKeyType.HUKS_KEY_TYPE_PRIVATE_KEY


def import_data(material: KeyMaterial) -> tuple[HuksImportKeyType, bytes]:
    """IMPORT_KEY_TYPE and `inData` that import this key."""
    kind = import_type_of(material)
    if kind != HuksImportKeyType.HUKS_KEY_TYPE_PUBLIC_KEY:
        return kind, convert.to_layout(material)
    return kind, material.secret if material.is_symmetric else material.public


def _is_json_object(data: bytes) -> bool:
    if data.lstrip()[:1] != b"{":
        return False
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False


def _element(data: bytes, start: int) -> tuple[int, int, int] | None:
    """Tag of the DER element at `start`, where its content begins and where it ends."""
    if start + 2 > len(data):
        return None
    length, content = data[start + 1], start + 2
    if length >= 0x80:
        width = length - 0x80
        length = int.from_bytes(data[content : content + width], "big")
        content += width
    return (data[start], content, content + length) if content + length <= len(data) else None
