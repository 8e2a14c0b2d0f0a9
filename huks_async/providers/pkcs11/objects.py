"""Objects in a token: finding, making and exporting them."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from huks_async.model.enums import HuksKeyAlg, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.tags import HuksTag
from huks_async.providers.pkcs11.locators import Locator
from huks_async.providers.resource_ids import MAX_INDEX_BYTES
from huks_async.rootkeys.pkcs11_library import python_pkcs11
from huks_async.runtime.randomness import random_bytes

Numbers = dict[int, Any]

_CURVES = {224: "secp224r1", 256: "secp256r1", 384: "secp384r1", 521: "secp521r1"}
_RSA_SIZES = (2048, 3072, 4096)
_AES_SIZES = (128, 192, 256)
_HMAC_SIZES = range(128, 1025, 8)
# Tokens hide such keys while they are logged out, and do not tell that they are.
_UNSEEN = (
    "; if it is there, the token was logged out by itself or by other code: prove the PIN again (authUkeyPin)"
)
_P = HuksKeyPurpose
_CAPABILITIES = {
    _P.HUKS_KEY_PURPOSE_ENCRYPT: "ENCRYPT",
    _P.HUKS_KEY_PURPOSE_DECRYPT: "DECRYPT",
    _P.HUKS_KEY_PURPOSE_SIGN: "SIGN",
    _P.HUKS_KEY_PURPOSE_VERIFY: "VERIFY",
}


def look_at_token(session: Any) -> None:
    """Check that the token is present, because some libraries show an empty token in place of a removed one."""
    _ = session.token.slot.get_token().flags


def find_all(session: Any, locator: Locator, *kinds: str) -> list[Any]:
    """The objects of the given kinds (names of `ObjectClass`) that a locator names."""
    pkcs11 = python_pkcs11()
    wanted: dict[Any, Any] = {}
    if locator.label is not None:
        wanted[pkcs11.Attribute.LABEL] = locator.label
    if locator.id is not None:
        wanted[pkcs11.Attribute.ID] = locator.id
    found: list[Any] = []
    for kind in kinds:
        found += session.get_objects({**wanted, pkcs11.Attribute.CLASS: pkcs11.ObjectClass[kind]})
    return found


def find_key(session: Any, locator: Locator, *kinds: str) -> Any:
    """The one key that a locator names.

    Raises:
        BusinessError: 12000011 if there is none, or more than one.
    """
    found = find_all(session, locator, *kinds)
    if not found:
        look_at_token(session)
    if len(found) != 1:
        way_out = "; name it by its id, too" if found else "" if kinds == ("PUBLIC_KEY",) else _UNSEEN
        raise BusinessError(
            12000011,
            f"the token has {len(found) or 'no'} keys of the kind {' or '.join(kinds)} as {locator} instead of one"
            + way_out,
        )
    return found[0]


def asks_each_time(key: Any) -> bool:
    """Whether a key wants the PIN again before each use, as the signature key of a PIV card does."""
    pkcs11 = python_pkcs11()
    if key.object_class != pkcs11.ObjectClass.PRIVATE_KEY:
        return False
    return bool(_told(key, pkcs11.Attribute.ALWAYS_AUTHENTICATE))  # a token may be older than the attribute


def generate(session: Any, locator: Locator, numbers: Numbers, abandoned: Any) -> None:
    """Make a key that cannot be read out; it is removed again if its caller was cancelled meanwhile.

    Raises:
        BusinessError: 12000017 if there is one already; 12000002, 12000003, 12000001 for wrong parameters.
    """
    if find_all(session, locator, "PRIVATE_KEY", "PUBLIC_KEY", "SECRET_KEY"):
        raise BusinessError(
            12000017,
            f"the token has a key as {locator}; keys in tokens are not replaced: remove it with the token's own tools",
        )
    made = _generate(session, locator, numbers)
    if abandoned.is_set():
        for each in made:
            each.destroy()


def _generate(session: Any, locator: Locator, numbers: Numbers) -> tuple[Any, ...]:
    pkcs11 = python_pkcs11()
    algorithm: Any = numbers.get(HuksTag.HUKS_TAG_ALGORITHM)
    size: Any = numbers.get(HuksTag.HUKS_TAG_KEY_SIZE)
    purpose: Any = numbers.get(HuksTag.HUKS_TAG_PURPOSE)
    for value, tag in ((algorithm, "ALGORITHM"), (size, "KEY_SIZE"), (purpose, "PURPOSE")):
        if not value:
            raise BusinessError(12000002, f"HUKS_TAG_{tag} is absent")
    kept = {
        pkcs11.Attribute.SENSITIVE: True,
        pkcs11.Attribute.EXTRACTABLE: False,
        pkcs11.Attribute.PRIVATE: True,
    }
    named = {"label": locator.label, "id": locator.id or random_bytes(16), "store": True}
    if algorithm == HuksKeyAlg.HUKS_ALG_RSA:
        _check_size(size, _RSA_SIZES)
        pair = session.generate_keypair(
            pkcs11.KeyType.RSA, size, capabilities=_capabilities(purpose), private_template=kept, **named
        )
        return tuple(pair)
    if algorithm == HuksKeyAlg.HUKS_ALG_ECC:
        _check_size(size, tuple(_CURVES))
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC,
            {pkcs11.Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters(_CURVES[size])},
            local=True,
        )
        pair = parameters.generate_keypair(
            capabilities=_capabilities(purpose), private_template=kept, **named
        )
        return tuple(pair)
    if algorithm == HuksKeyAlg.HUKS_ALG_AES:
        _check_size(size, _AES_SIZES)
        key = session.generate_key(
            pkcs11.KeyType.AES, size, capabilities=_capabilities(purpose), template=kept, **named
        )
        return (key,)
    if algorithm == HuksKeyAlg.HUKS_ALG_HMAC:
        _check_size(size, _HMAC_SIZES)
        flags = pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY
        key = session.generate_key(
            pkcs11.KeyType.GENERIC_SECRET,
            size,
            capabilities=flags,
            mechanism=pkcs11.Mechanism.GENERIC_SECRET_KEY_GEN,
            template=kept,
            **named,
        )
        return (key,)
    raise BusinessError(
        12000001, f"HUKS_TAG_ALGORITHM: got {algorithm}; tokens make RSA, ECC, AES and HMAC keys here"
    )


def _check_size(size: int, accepted: Any) -> None:
    if size not in accepted:
        listed = (
            f"{accepted[0]} … {accepted[-1]}"
            if isinstance(accepted, range)
            else ", ".join(map(str, accepted))
        )
        raise BusinessError(12000003, f"HUKS_TAG_KEY_SIZE: got {size}, accepted {listed}")


def _capabilities(purpose: int) -> Any:
    pkcs11 = python_pkcs11()
    flags = pkcs11.MechanismFlag(0)
    for bit, name in _CAPABILITIES.items():
        if purpose & bit:
            flags |= pkcs11.MechanismFlag[name]
    if not flags or purpose & ~sum(_CAPABILITIES):
        raise BusinessError(
            12000003,
            f"HUKS_TAG_PURPOSE: got {purpose}, accepted for keys in tokens: encrypt, decrypt, sign, verify",
        )
    return flags


def export_public(session: Any, locator: Locator) -> bytes:
    """The public half of a key, as SubjectPublicKeyInfo. For RSA the private object is enough to make it."""
    pkcs11 = python_pkcs11()
    keys = find_all(session, locator, "PUBLIC_KEY") or find_all(session, locator, "PRIVATE_KEY")
    if not keys:
        look_at_token(session)
    if len(keys) != 1:
        raise BusinessError(
            12000011, f"the token has {len(keys) or 'no'} public keys as {locator} instead of one"
        )
    key = keys[0]
    attribute = pkcs11.Attribute
    if key.key_type == pkcs11.KeyType.RSA:
        modulus = int.from_bytes(key[attribute.MODULUS], "big")
        exponent = int.from_bytes(key[attribute.PUBLIC_EXPONENT], "big")
        public: Any = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    elif key.key_type == pkcs11.KeyType.EC and key.object_class == pkcs11.ObjectClass.PUBLIC_KEY:
        public = load_der_public_key(pkcs11.util.ec.encode_ec_public_key(key))
    else:
        raise BusinessError(12000001, f"the token has no public key as {locator} whose kind is known here")
    return bytes(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def certificates(session: Any, locator: Locator | None) -> list[tuple[str | None, bytes]]:
    """The certificates of one key, or of all, in DER: each with its name as a PKCS#11 URI, if it has one of its own."""
    attribute = python_pkcs11().Attribute
    found = find_all(session, locator or Locator(None, None), "CERTIFICATE")
    if not found:
        look_at_token(session)
    return [
        (_name(_told(one, attribute.LABEL), _told(one, attribute.ID)), bytes(value))
        for one in found
        if (value := _told(one, attribute.VALUE))  # absent where a certificate is only told by its address
    ]


def _told(one: Any, attribute: Any) -> Any:
    """What the token says about an object; None for what it does not say, and for a label that is not in UTF-8."""
    pkcs11 = python_pkcs11()
    try:
        return one[attribute] or None
    except (pkcs11.AttributeTypeInvalid, pkcs11.AttributeSensitive, UnicodeDecodeError):
        return None
    except pkcs11.FunctionFailed:
        # python-pkcs11 raises this where a token has no such attribute and says that all is well. A token that is gone
        # may, too.
        look_at_token(one.session)
        return None


def _name(label: str | None, key_id: bytes | None) -> str | None:
    """The longest of an object's names that fits into an index: with its label, or by its id alone."""
    for part in (label, None):
        name = str(Locator(part, key_id))
        if (part or key_id) and len(name) <= MAX_INDEX_BYTES:  # percent-encoded: a byte is a character
            return name
    return None
