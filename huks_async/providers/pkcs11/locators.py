"""How a key in a token is named: as a PKCS#11 URI (RFC 7512), or by its label alone."""

from dataclasses import dataclass
from urllib.parse import quote, quote_from_bytes, unquote, unquote_to_bytes

from huks_async.model.errors import BusinessError
from huks_async.model.showing import shown

_SCHEME = "pkcs11:"
# The other attributes select nothing here: the provider has a fixed token, and the use of an object decides its type.
_KNOWN = ("object", "id", "token")
_DESCRIPTIVE = ("type", "manufacturer", "model", "serial")


@dataclass(frozen=True, slots=True)
class Locator:
    """A key in a token: by label, by id, or both."""

    label: str | None
    id: bytes | None

    def __str__(self) -> str:
        parts = []
        if self.label is not None:
            parts.append(f"object={quote(self.label, safe='')}")
        if self.id is not None:
            parts.append(f"id={quote_from_bytes(self.id, safe='')}")
        return _SCHEME + ";".join(parts)


def parse_locator(text: str, token: str) -> Locator:
    """Read a PKCS#11 URI, or a plain label.

    Raises:
        BusinessError: 12000018 for a URI that names neither object nor id, or another token.
    """
    if not text.startswith(_SCHEME):
        if not text:
            raise BusinessError(12000018, "the index names no key: give a label, or pkcs11:object=…;id=…")
        return Locator(text, None)
    found: dict[str, str] = {}
    for part in text[len(_SCHEME) :].partition("?")[0].split(";"):
        name, _, value = part.partition("=")
        if name not in (*_KNOWN, *_DESCRIPTIVE) or name in found:
            raise BusinessError(
                12000018,
                f"the index has {shown(name)} where a PKCS#11 URI has one each of {', '.join(_KNOWN)}",
            )
        found[name] = value
    if "token" in found and unquote(found["token"]) != token:
        raise BusinessError(
            12000018, f"the index is of the token {shown(unquote(found['token']))}, not of {shown(token)}"
        )
    label = unquote(found["object"]) if "object" in found else None
    key_id = unquote_to_bytes(found["id"]) if "id" in found else None
    if not label and not key_id:
        raise BusinessError(12000018, "the index names no key: give a label, or pkcs11:object=…;id=…")
    return Locator(label or None, key_id or None)
