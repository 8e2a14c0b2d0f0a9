"""Converters between the forms of a key: header form, PEM, PKCS#8, SubjectPublicKeyInfo, JWK, raw, and more.

All of them work on bytes that the caller already holds; none reaches into a keystore, so none can
take a private key out of one. Every reader gives `KeyMaterial`, checked like an import; every writer
takes it. What a reader refuses it names, and says what helps.

Readers check private RSA, DSA and DH keys, for up to a second, and hash the passphrase of an encrypted file as often
as the file says, up to some ten seconds: on an event loop, `key_files.read_apart` is the way.

Longer than other files: a reader stands beside its writer, form by form, and what each refuses is told there.
"""

from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from huks_async.crypto.asymmetric import finite_field
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.sm2 import encoding as sm2_encoding
from huks_async.keys.forms import curves, encrypted, openssh, pem, pkcs8, pkcs12, sm2_keys
from huks_async.keys.forms.certificates import public_key_of
from huks_async.keys.forms.der import (
    INTEGER,
    OCTETS,
    SEQUENCE,
    sequence,
    shape,
)
from huks_async.keys.forms.fields import check_expansion, parts_of
from huks_async.keys.forms.identify import identify, identify_key, identify_label
from huks_async.keys.forms.importing import material_from_import, material_from_parts
from huks_async.keys.forms.jwk import from_jwk, to_jwk
from huks_async.keys.forms.layouts import KeyParts, algorithm_name, invalid, pack, unpack
from huks_async.keys.forms.library_keys import (
    load_spki,
    point_material,
    private_material,
    public_material,
    unnamed_curve_material,
)
from huks_async.keys.forms.number_bounds import check_private_numbers
from huks_async.model.enums import HuksImportKeyType, HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.memory import refuse_out_of_memory
from huks_async.model.params import BytesLike, ParamSet
from huks_async.model.tags import HuksTag

_NOT_HERE = 12000001
_PRIVATE = HuksImportKeyType.HUKS_KEY_TYPE_PRIVATE_KEY
_PAIR = HuksImportKeyType.HUKS_KEY_TYPE_KEY_PAIR
_RAW_PRIVATE: dict[int, type[x25519.X25519PrivateKey] | type[ed25519.Ed25519PrivateKey]] = {
    HuksKeyAlg.HUKS_ALG_X25519: x25519.X25519PrivateKey,
    HuksKeyAlg.HUKS_ALG_ED25519: ed25519.Ed25519PrivateKey,
}
_RAW_PUBLIC: dict[int, type[x25519.X25519PublicKey] | type[ed25519.Ed25519PublicKey]] = {
    HuksKeyAlg.HUKS_ALG_X25519: x25519.X25519PublicKey,
    HuksKeyAlg.HUKS_ALG_ED25519: ed25519.Ed25519PublicKey,
}
_SEED_BYTES: dict[int, tuple[int]] = {HuksKeyAlg.HUKS_ALG_ML_DSA: (32,), HuksKeyAlg.HUKS_ALG_ML_KEM: (64,)}
# bytes of a point, whole and compressed, and the curve it must be on
_EC_POINTS = {57: 224, 29: 224, 65: 256, 33: 256, 97: 384, 49: 384, 133: 521, 67: 521}
_SM2_POINTS = (65, 33)
_PUBLIC_LABELS = ("PUBLIC KEY", "RSA PUBLIC KEY", "EC PUBLIC KEY", "SM2 PUBLIC KEY")
_CERTIFICATE_LABELS = ("CERTIFICATE", "X509 CERTIFICATE")
# of DEK-Info, which the library below reads
_OLD_CIPHERS = ("AES-128-CBC", "AES-256-CBC", "DES-EDE3-CBC")
_OLD_ENCRYPTION = (
    "make a copy that is not: openssl pkey -in FILE -out COPY, "
    "for DES, RC2 and RC4 with -provider legacy -provider default"
)


def to_layout(material: KeyMaterial) -> bytes:
    """The header form of a private key or key pair, `inData` of an import of that type.

    Raises:
        BusinessError: 401 for a key without private half or header form; 12000001 for an ML key
            that is kept as its seed where no library that expands it is installed.

    """
    return pack(parts_of(material))


def from_layout(blob: BytesLike) -> KeyMaterial:
    """Read the header form; a blob without its public half is read as a private key.

    Raises:
        BusinessError: 401 for anything that an import would refuse.

    """
    parts = unpack(blob)
    half = parts.get("public", parts.get("y", b""))
    whole = half if "n" not in parts else parts["e"]
    return material_from_parts(parts, _PAIR if whole else _PRIVATE)


def to_raw(material: KeyMaterial, *, private: bool = False) -> bytes:
    """The raw bytes of a symmetric key (`private=True`) or of half a 25519 key.

    Raises:
        BusinessError: 12000001 for an algorithm without a raw form, 401 for a half that is absent
            or a symmetric key that was not asked for as private.

    """
    if not material.is_symmetric and material.algorithm not in _RAW_PUBLIC:
        raise _no_form(material.algorithm, "raw form")
    wanted = material.secret if private else material.public
    if not wanted:
        raise invalid(f"the key has no {'private' if private else 'public'} half to give as raw bytes")
    return wanted


def from_raw(algorithm: int, size: int, data: bytes, *, private: bool = False) -> KeyMaterial:
    """A symmetric key, half a 25519 key, or a public point of ECC or SM2, of its raw bytes.

    Args:
        algorithm: what the bytes are a key of.
        size: bits of a symmetric or 25519 key; points tell theirs by their length.
        data: the bytes. A point is that of SEC 1, 2.3.3: 04 ‖ x ‖ y, or compressed 02 or 03 ‖ x.
        private: whether they are the private half of a 25519 key.

    Raises:
        BusinessError: 401 for a wrong length or a point off the curve, 12000003 for a size that the
            algorithm does not have.

    """
    if algorithm == HuksKeyAlg.HUKS_ALG_ECC:
        if len(data) not in _EC_POINTS:
            raise invalid(
                f"a raw public point of ECC has one of {sorted(_EC_POINTS)} bytes, got {len(data)}; "
                "private keys are read in PKCS#8"
            )
        return point_material(_EC_POINTS[len(data)], data)
    if algorithm == HuksKeyAlg.HUKS_ALG_SM2:
        if len(data) not in _SM2_POINTS:
            raise invalid(
                f"a raw public point of SM2 has 65 bytes, or 33 compressed, got {len(data)}; "
                "private keys are read in PKCS#8"
            )
        return from_spki(sm2_encoding.spki_from_point(sm2_keys.point(data)))
    numbers: dict[int, int] = {HuksTag.HUKS_TAG_ALGORITHM: algorithm, HuksTag.HUKS_TAG_KEY_SIZE: size}
    if private and algorithm in _RAW_PUBLIC:
        numbers[HuksTag.HUKS_TAG_IMPORT_KEY_TYPE] = _PRIVATE
    return material_from_import(ParamSet(numbers), data)


def to_spki(material: KeyMaterial) -> bytes:
    """SubjectPublicKeyInfo DER of the public half.

    Raises:
        BusinessError: 401 where there is none.

    """
    if not material.public:
        raise invalid("the key has no public half")
    if material.algorithm in _RAW_PUBLIC:
        public = _RAW_PUBLIC[material.algorithm].from_public_bytes(material.public)
        return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return material.public


def spki_of_export(exported: bytes, algorithm: int) -> bytes:
    """SubjectPublicKeyInfo DER of what `exportKeyItem` gives, which is bare for the 25519 curves."""
    return to_spki(KeyMaterial(algorithm, 0, public=exported))


def from_spki(der: bytes) -> KeyMaterial:
    """Read SubjectPublicKeyInfo DER of any algorithm, or an RSAPublicKey (PKCS#1).

    Raises:
        BusinessError: 401 for bytes that are none, 12000001 for an algorithm, curve, group or size that HUKS does
            not have.

    """
    data = bytes(der)
    sm2 = sm2_keys.public_key(data)
    if sm2 is not None:
        return KeyMaterial(HuksKeyAlg.HUKS_ALG_SM2, 256, public=sm2)
    try:
        key: Any = load_spki(data)
    except BusinessError:
        raise
    except Exception as error:  # the library refuses in many ways, none of which is ours to pass on
        refuse_out_of_memory(error, "reading a key")
        other = curves.in_library_form(data)
        if other is not None:
            return from_spki(other)
        if shape(sequence(data))[:2] in ((INTEGER, SEQUENCE), (INTEGER, OCTETS)):
            raise invalid(
                "a private key where a public one is expected; PEM names a private key PRIVATE KEY"
            ) from None
        raise _refused(data, "public key", error) from None
    return public_material(key)


def from_certificate(der: bytes) -> KeyMaterial:
    """Read the public key of an X.509 certificate in DER, whoever signed it and whatever its dates are.

    Raises:
        BusinessError: as `from_spki`.

    """
    spki = public_key_of(bytes(der))
    if spki is None:
        raise invalid(
            "no X.509 certificate that can be read; openssl x509 -in FILE -text -noout reads a good one"
        )
    return from_spki(spki)


def to_pkcs8(material: KeyMaterial) -> bytes:
    """PKCS#8 DER, not encrypted, of the private half.

    Expanded ML keys give the `expandedKey` choice of RFC 9881; kept seeds give `seed`.

    Raises:
        BusinessError: 401 where there is no private half, 12000001 for a symmetric key.

    """
    algorithm, secret = material.algorithm, material.secret
    if material.is_symmetric:
        raise _no_form(algorithm, "PKCS#8 form")
    if not secret:
        raise invalid("the key has no private half")
    if algorithm == HuksKeyAlg.HUKS_ALG_SM2:
        point = sm2_encoding.point_from_spki(material.public) if material.public else None
        der = sm2_encoding.pkcs8(secret, point)
        try:
            return bytes(der)
        finally:
            sm2_encoding.wipe(der)
    if algorithm in _RAW_PUBLIC:
        raw = _RAW_PRIVATE[algorithm].from_private_bytes(secret)
        return raw.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    if algorithm in (HuksKeyAlg.HUKS_ALG_ML_DSA, HuksKeyAlg.HUKS_ALG_ML_KEM):
        if len(secret) not in _SEED_BYTES[algorithm]:
            return pkcs8.ml_pkcs8(algorithm, material.size, secret)
        return pkcs8.ml_seed_pkcs8(algorithm, material.size, secret)
    return secret


def from_pkcs8(der: bytes, password: bytes | None = None) -> KeyMaterial:
    """Read PKCS#8 DER, or the older forms `RSA PRIVATE KEY`, `EC PRIVATE KEY`, `DSA PRIVATE KEY`.

    Args:
        der: the key, of the first or the second version of PKCS#8, encrypted or not.
        password: of an encrypted key; left unused for one that is not encrypted.

    Raises:
        BusinessError: 401 for bytes that are none, a wrong password, a public half that does not belong
            to the key, or a key that an import would refuse; 12000001 for an algorithm that HUKS does
            not have.

    """
    data = bytes(der)
    sealed = encrypted.read(data)
    if sealed is not None:
        return _from_encrypted(data, sealed, password)
    info = pkcs8.read(data)
    own = pkcs8.own_ec_private_key(data) if info is None else pkcs8.own_key(info)
    if own is not None and len(own.secret) not in _SEED_BYTES.get(own.algorithm, ()):
        return _from_own_key(own)
    if own is not None:
        if own.expanded:
            check_expansion(KeyMaterial(own.algorithm, own.size, own.secret), own.expanded)
        data = pkcs8.ml_seed_pkcs8(own.algorithm, own.size, own.secret)
    elif info is not None:
        data = info.plain()
    if info is None:
        check_private_numbers(b"", data)
    else:
        check_private_numbers(info.identifier, info.key)
    try:
        with finite_field.allowed():
            key = load_der_private_key(data, None)
    except Exception as error:  # as above
        refuse_out_of_memory(error, "reading a key")
        other = curves.in_library_form(data)
        if other is not None:
            return _with_outer_half(info, from_pkcs8(other))
        unnamed = _with_unnamed_curve(data) if info is None else None
        if unnamed is None:
            raise _refused(data, "private key", error) from None
        return unnamed
    return _with_outer_half(info, private_material(key))


def _with_outer_half(info: pkcs8.PrivateKeyInfo | None, material: KeyMaterial) -> KeyMaterial:
    if info is None or not info.public:
        return material
    forms = [sequence(to_spki(material))[1][1][1:]]
    if material.algorithm == HuksKeyAlg.HUKS_ALG_ECC:
        forms.append(_compressed(forms[0]))
    if info.public not in forms:
        raise invalid("PKCS#8: the public half beside the private key is of another key")
    return material


def _compressed(point: bytes) -> bytes:
    """02 or 03 ‖ x of a point 04 ‖ x ‖ y (SEC 1, 2.3.3)."""
    return bytes((2 + point[-1] % 2,)) + point[1 : 1 + len(point) // 2]


def from_pkcs12(data: bytes, password: bytes | None = None) -> KeyMaterial:
    """Read the private key of a PKCS#12 file that holds one key.

    Args:
        data: the file.
        password: that opens it; empty and None are tried as a file without one has them.

    Raises:
        BusinessError: as `from_pkcs8`; 401 for a file with no private key or with several.

    """
    found = pkcs12.read(bytes(data), password)
    if isinstance(found, KeyMaterial):
        return found
    try:
        return from_pkcs8(found, password)
    except BusinessError as error:
        if encrypted.read(found) is None or "encrypted in a way" not in error.message:
            raise
        raise invalid(
            "a PKCS#12 file whose key is encrypted in a way that is not read for its algorithm; "
            "take the key out: openssl pkcs12 -in FILE -nodes -nocerts -out KEY.pem"
        ) from None


def to_pem(material: KeyMaterial, *, private: bool = False) -> str:
    """PEM: `PRIVATE KEY` (PKCS#8, not encrypted) when asked for, else `PUBLIC KEY`."""
    der, label = (to_pkcs8(material), "PRIVATE KEY") if private else (to_spki(material), "PUBLIC KEY")
    return pem.to_pem(der, label)


def from_pem(text: str | bytes, password: bytes | None = None) -> KeyMaterial:
    """Read the key of a PEM text: its private key, else its public key, else that of its certificate.

    Certificates and parameters beside a private key are left out, as servers keep them in one file.

    Args:
        text: as any program writes it; what stands around the blocks is left out.
        password: of an encrypted key; left unused for one that is not encrypted.

    Raises:
        BusinessError: 401 for a text without a key or with more than one, a damaged block, and as
            `from_pkcs8`, `from_spki` and `from_certificate`.

    """
    data = text.encode("utf-8", "replace") if isinstance(text, str) else bytes(text)
    found = pem.blocks(data)
    private = [block for block in found if block.label.endswith("PRIVATE KEY") and not _is_foreign(block)]
    public = [block for block in found if block.label in _PUBLIC_LABELS]
    certificates = [block for block in found if block.label in _CERTIFICATE_LABELS]
    if private:
        return _from_private_block(_only(private, "private keys"), password)
    if public:
        return from_spki(_only(public, "public keys").body)
    if certificates:
        return from_certificate(_only(certificates, "certificates").body)
    for block in found:
        if block.label == pkcs12.LABEL:
            return from_pkcs12(block.body, password)
        foreign = identify_label(block.label)
        if foreign is not None:
            raise invalid(str(foreign))
    labels = ", ".join(block.name for block in found[:4]) or "no block at all"
    raise invalid(
        f"the PEM text holds no key: {labels}; a key is a PRIVATE KEY, a PUBLIC KEY or a CERTIFICATE"
    )


def _only(group: list[pem.Block], kind: str) -> pem.Block:
    if len({block.body for block in group}) > 1:
        raise invalid(
            f"the PEM text holds {len(group)} {kind}; keep the block of the one that is meant in a file of its own"
        )
    return group[0]


def _is_foreign(block: pem.Block) -> bool:
    return identify_label(block.label) is not None


def _from_private_block(block: pem.Block, password: bytes | None) -> KeyMaterial:
    if block.label == openssh.LABEL:
        return openssh.read_private(block, password)
    if not block.is_encrypted_in_old_way:
        return from_pkcs8(block.body, password)
    if not password:
        raise invalid("the private key is encrypted; give its passphrase")
    try:
        with finite_field.allowed():
            key = load_pem_private_key(block.text(), password)
    except UnsupportedAlgorithm:
        raise _unread_cipher(block) from None
    except Exception as error:  # as above
        refuse_out_of_memory(error, "reading a key")
        if block.label.startswith("SM2"):
            raise invalid(
                f"an SM2 private key encrypted in the old way (DEK-Info); {_OLD_ENCRYPTION}"
            ) from None
        if block.old_cipher not in _OLD_CIPHERS:
            raise _unread_cipher(block) from None
        raise _not_opened(error) from None
    return private_material(key)


def _unread_cipher(block: pem.Block) -> BusinessError:
    return invalid(
        f"{block.name} encrypted in the old way (DEK-Info) with a cipher that is not read; {_OLD_ENCRYPTION}"
    )


def _from_encrypted(data: bytes, sealed: encrypted.Encrypted, password: bytes | None) -> KeyMaterial:
    encrypted.check_cost(sealed)
    if password is None:
        raise invalid("the private key is encrypted; give its passphrase")
    plain = encrypted.decrypt(sealed, password)
    if plain is not None:
        return from_pkcs8(plain)
    if encrypted.is_opened_here(sealed):
        raise _not_opened(is_read=encrypted.is_read(sealed))
    if not password:  # which the library below takes for none
        raise invalid(
            "the private key is encrypted in a way that no empty passphrase is tried with; give another, "
            f"or with -passin pass: {_OLD_ENCRYPTION}"
        )
    try:
        with finite_field.allowed():
            key = load_der_private_key(data, password)
    except Exception as error:  # as above
        refuse_out_of_memory(error, "reading a key")
        raise _not_opened(error, is_read=encrypted.is_read(sealed)) from None
    return private_material(key)


def _with_unnamed_curve(data: bytes) -> KeyMaterial | None:
    """An ECPrivateKey without the parameters of its curve, as GnuTLS writes it, by its public point."""
    fields = curves.private_fields(sequence(data))
    if fields is None or fields.parameters is not None or not fields.point:
        return None
    scalar, point = fields.scalar, fields.point
    found = unnamed_curve_material(scalar, point)
    if found is not None or len(point) not in _SM2_POINTS:
        return found
    try:
        coordinates = sm2_keys.point(point)
    except BusinessError:
        return None
    return _from_own_key(pkcs8.OwnKey(HuksKeyAlg.HUKS_ALG_SM2, 256, scalar, coordinates))


def _not_opened(error: Exception | None = None, *, is_read: bool = True) -> BusinessError:
    if isinstance(error, UnsupportedAlgorithm) or not is_read:
        return invalid(f"the private key is encrypted in a way that is not read; {_OLD_ENCRYPTION}")
    return invalid("the private key does not open: the passphrase is wrong, or the file is damaged")


def _refused(data: bytes, what: str, error: Exception) -> BusinessError:
    """The error of DER that the library below did not read, with a name for it where there is one."""
    foreign = identify_key(data) or identify(data)
    if foreign is not None:
        code = _NOT_HERE if "HUKS does not have" in foreign.name else 401
        return invalid(str(foreign)) if code == 401 else BusinessError(code, str(foreign))
    if isinstance(error, UnsupportedAlgorithm):
        return BusinessError(_NOT_HERE, f"a {what} of an algorithm or curve that HUKS does not have")
    return invalid(f"no {what} that can be read: it is damaged, or its numbers are no key")


def _from_own_key(key: pkcs8.OwnKey) -> KeyMaterial:
    if key.algorithm == HuksKeyAlg.HUKS_ALG_SM2:
        x, y = key.public[:32], key.public[32:]
        parts = KeyParts(key.algorithm, 256, {"x": x, "y": y, "z": key.secret})
    else:
        parts = KeyParts(key.algorithm, key.size, {"public": key.public, "private": key.secret})
    return material_from_parts(parts, _PAIR if key.public else _PRIVATE)


def _no_form(algorithm: int, form: str) -> BusinessError:
    return BusinessError(_NOT_HERE, f"{algorithm_name(algorithm)} keys have no {form}")


__all__ = [
    "from_certificate",
    "from_jwk",
    "from_layout",
    "from_pem",
    "from_pkcs8",
    "from_pkcs12",
    "from_raw",
    "from_spki",
    "spki_of_export",
    "to_jwk",
    "to_layout",
    "to_pem",
    "to_pkcs8",
    "to_raw",
    "to_spki",
]
