"""Files of keys: which form one has, reading it whatever it is, and what an import takes of it."""

import base64
import binascii
import codecs
import json
import re
from functools import partial
from typing import Literal, TypeAlias

import anyio

from huks_async.crypto.key_material import SYMMETRIC_ALGORITHMS, KeyMaterial
from huks_async.keys.forms import convert, encrypted, openssh, pem, pkcs12
from huks_async.keys.forms.certificates import public_key_of
from huks_async.keys.forms.der import BITS, INTEGER, OCTETS, OID, SEQUENCE, elements, sequence, shape
from huks_async.keys.forms.identify import identify
from huks_async.keys.forms.layouts import LAYOUTS, algorithm_name, invalid, unpack
from huks_async.model.enums import HuksImportKeyType, HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.runtime.closing import stop_if_abandoned
from huks_async.runtime.processes import call_in_process
from huks_async.runtime.workers import run_to_its_end

KeyForm: TypeAlias = Literal["pem", "pkcs8", "spki", "jwk", "layout", "raw"]
"""The forms that a key is written in."""

ReadForm: TypeAlias = Literal[
    "pem", "pkcs8", "spki", "jwk", "layout", "raw", "pkcs12", "certificate", "openssh"
]
"""The forms that a key is read in. An RSAPublicKey of PKCS#1 is read as `spki`."""

MAX_QUICK_BYTES = 16 * 1024
"""Longer files are longer than any usual key, and take longer to look through."""

MAX_SECONDS = 300.0
"""For one file, some times as long as those within all bounds take."""

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_BEFORE_JSON = b"".join(mark for mark, _ in _BOMS) + b" \t\r\n"
# The pluses behind the quantifiers keep the time linear: nothing is tried a second time with less of it.
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\s-]{16,}+={0,2}+\s*+\Z")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_RSA_PUBLIC = (INTEGER, INTEGER)
_SLOW_ALGORITHMS = (HuksKeyAlg.HUKS_ALG_RSA, HuksKeyAlg.HUKS_ALG_DSA, HuksKeyAlg.HUKS_ALG_DH)
# RSA and RSASSA-PSS, DSA, DH of PKCS#3 and of X9.42
_SLOW_OIDS = tuple(
    bytes.fromhex(oid) for oid in ("2a864886f70d0101", "2a8648ce3804", "2a864886f70d0103", "2a8648ce3e0201")
)
_DSA_OID = bytes.fromhex("2a8648ce380401")


def recognise(data: bytes, algorithm: int | None = None) -> ReadForm | None:
    """The form of a key, by its content; None for what has no structure, which may be raw.

    Args:
        data: the key, see `readable`.
        algorithm: what the key is said to be; symmetric keys are never taken for header form or DER.

    """
    if pem.BEGIN in data:
        return "pem"
    if _is_json_object(data):
        return "jwk"
    if algorithm in SYMMETRIC_ALGORITHMS:
        return None
    if int.from_bytes(data[:4], "little") in LAYOUTS:
        try:
            unpack(data)
        except BusinessError:
            pass  # its first bytes look like a header by chance: the other forms are tried
        else:
            return "layout"
    if openssh.is_public(data):
        return "openssh"
    return _der_form(data)


def readable(data: bytes, algorithm: int | None = None) -> bytes:
    """The bytes of a file without what carried them: a byte order mark, UTF-16, or bare base64.

    Nothing is taken for text where a raw symmetric key may be meant.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            text = data[len(mark) :].decode(encoding, "replace").encode()
            if recognise(text) in ("pem", "jwk", "openssh"):
                return text
            if _of_base64(text) is not None and algorithm not in SYMMETRIC_ALGORITHMS:
                data = text
    if algorithm in SYMMETRIC_ALGORITHMS:
        return data
    return _of_base64(data) or data


def read(
    data: bytes,
    form: ReadForm | None = None,
    algorithm: int | None = None,
    password: bytes | None = None,
    *,
    private: bool = False,
) -> KeyMaterial:
    """Read a key in any form, checked like an import.

    Args:
        data: a whole file.
        form: its form, where it is not to be recognised by content.
        algorithm: what raw bytes, or an `oct` JWK, are a key of; other keys must be of it.
        password: of an encrypted key; left unused where none is needed.
        private: whether raw bytes are the private half of a 25519 key.

    Raises:
        BusinessError: 401 or 12000001 with a name for what the file is and what helps; see `convert`.

    """
    content = readable(data, algorithm) if form != "raw" else data
    chosen = form or recognise(content, algorithm)
    if chosen is None or chosen == "raw":
        return _read_raw(data, algorithm, private=private)
    material = _read_as(content, chosen, algorithm, password)
    if algorithm is not None and material.algorithm != algorithm:
        raise invalid(
            f"the key is of {algorithm_name(material.algorithm)}, not of {algorithm_name(algorithm)}"
        )
    return material


async def read_apart(
    data: bytes,
    form: ReadForm | None = None,
    algorithm: int | None = None,
    password: bytes | None = None,
) -> KeyMaterial:
    """`read`, without holding up the event loop.

    Files of up to 16 KiB that are not encrypted and hold no private RSA or DH key, and no DSA key or certificate of
    one, are read in a thread, in milliseconds; all others in a process of their own, which cancelling ends.
    """
    if not may_take_long(readable(data, algorithm)):
        # the first SM2 key, and the first ML key that is expanded, make a libcrypto be searched and loaded
        return await run_to_its_end(partial(read, data, form, algorithm, password), name="huks-key-file")
    stop_if_abandoned()
    with anyio.move_on_after(MAX_SECONDS):
        material, error = await call_in_process(read, (data, form, algorithm, password))
        if error is not None:
            raise error
        assert material is not None
        return material
    # what an older scheme encrypts shows only when the library opens it, and may be encrypted once more
    raise invalid(
        f"a file that is not open after {MAX_SECONDS:.0f} seconds, so it asks for too much work; "
        "encrypt it with less: openssl pkcs8 -topk8 -iter 600000 -in FILE -out COPY"
    )


def may_take_long(data: bytes) -> bool:
    """Whether reading a file, see `readable`, may take more than milliseconds.

    An encrypted one asks for as much work as it says, up to a bound; private RSA, DSA and DH keys are checked for up
    to a second, public DSA keys with their group for a part of one.
    """
    return len(data) > MAX_QUICK_BYTES or needs_passphrase(data) or _holds_slow_key(data)


def needs_passphrase(data: bytes) -> bool:
    """Whether a file, see `readable`, holds an encrypted key. Of PKCS#12 the answer is always yes."""
    if pem.BEGIN not in data:
        return encrypted.read(data) is not None or pkcs12.is_pkcs12(data)
    try:
        blocks = pem.blocks(data)
    except BusinessError:
        return False
    return any(
        block.is_encrypted_in_old_way
        or block.label == pkcs12.LABEL
        or (block.label == openssh.LABEL and openssh.is_encrypted(block))
        or encrypted.read(block.body) is not None
        for block in blocks
    )


def _holds_slow_key(data: bytes) -> bool:
    """Whether a file may hold a key of large numbers, which are checked: a private one, or one with its own group."""
    if pem.BEGIN in data:
        try:
            blocks = pem.blocks(data)
        except BusinessError:
            return False
        return any(
            openssh.holds_rsa_or_dsa(block) if block.label == openssh.LABEL else _is_slow_key(block.body)
            for block in blocks
        )
    text = data.translate(None, b"\0")  # JSON may be UTF-16 or UTF-32, also without a mark that says so
    if text.lstrip(_BEFORE_JSON)[:1] == b"{":  # it may write any letter as an escape
        return b"\\" in text or (b'"RSA"' in text and b'"d"' in text)
    return int.from_bytes(data[:4], "little") in _SLOW_ALGORITHMS or _is_slow_key(data)


def _is_slow_key(der: bytes) -> bool:
    parts = sequence(der)
    tags = shape(parts)
    if tags[:3] == (INTEGER, SEQUENCE, OCTETS):
        identifier = elements(parts[1][1])
        return shape(identifier)[:1] == (OID,) and identifier[0][1].startswith(_SLOW_OIDS)
    if tags == (SEQUENCE, SEQUENCE, BITS):
        parts = sequence(public_key_of(der) or b"")
        tags = shape(parts)
    if tags == (SEQUENCE, BITS):
        return elements(parts[0][1])[:1] == [(OID, _DSA_OID)]
    return tags[:6] == 6 * (INTEGER,)  # an RSAPrivateKey, or the older form of DSA


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


def _read_as(data: bytes, form: ReadForm, algorithm: int | None, password: bytes | None) -> KeyMaterial:
    match form:
        case "pem":
            return convert.from_pem(data, password)
        case "pkcs8":
            return convert.from_pkcs8(data, password)
        case "spki":
            return convert.from_spki(data)
        case "certificate":
            return convert.from_certificate(data)
        case "pkcs12":
            return convert.from_pkcs12(data, password)
        case "openssh":
            return openssh.read_public(data)
        case "jwk":
            return convert.from_jwk(data, algorithm=algorithm if algorithm in SYMMETRIC_ALGORITHMS else None)
    return convert.from_layout(data)


def _read_raw(data: bytes, algorithm: int | None, *, private: bool) -> KeyMaterial:
    foreign = identify(data) if data else None
    if algorithm is not None:
        try:
            return convert.from_raw(algorithm, 8 * len(data), data, private=private)
        except BusinessError as error:
            # a named file is told by its name, which the length of a raw key would only hide
            if foreign is None:
                raise
            raise invalid(f"{foreign.name}, and no raw key ({error.message}); {foreign.way_out}") from None
    if foreign is not None:
        raise invalid(str(foreign))
    if not data:
        raise invalid("the file is empty, so it holds no key")
    raise invalid("no form that tells what key it is, or a damaged one; of raw bytes say the algorithm")


def _is_json_object(data: bytes) -> bool:
    if data.lstrip()[:1] != b"{":
        return False
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False


def _of_base64(text: bytes) -> bytes | None:
    """The DER or the text of PEM in bare base64; None for other text, and for base64 of anything else."""
    if not _BASE64.match(text):
        return None
    digits = b"".join(text.split()).translate(_URL_SAFE).rstrip(b"=")
    try:
        data = base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except binascii.Error:
        return None
    return data if data.startswith(pem.BEGIN) or _der_form(data) is not None else None


def _der_form(data: bytes) -> ReadForm | None:
    # PrivateKeyInfo and its elders begin with their version. EncryptedPrivateKeyInfo and
    # SubjectPublicKeyInfo both begin with an algorithm; an octet string or a bit string follows.
    if pkcs12.is_pkcs12(data):
        return "pkcs12"
    parts = sequence(data)
    tags = shape(parts)
    if tags == (SEQUENCE, BITS) or (tags == _RSA_PUBLIC and len(parts[0][1]) >= 64):
        return "spki"
    if tags == (SEQUENCE, OCTETS) or (tags[:1] == (INTEGER,) and len(tags) > 2):
        return "pkcs8"
    if tags == (SEQUENCE, SEQUENCE, BITS) and public_key_of(data) is not None:
        return "certificate"
    return None
