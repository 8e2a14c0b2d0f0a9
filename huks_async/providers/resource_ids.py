"""Resource ids: the JSON text that names a key in a provider."""

from dataclasses import asdict, dataclass
from typing import Any

from huks_async.model.errors import BusinessError
from huks_async.model.plain import plain_text
from huks_async.model.showing import shown, type_name

MAX_ID_BYTES = 1024
MAX_INDEX_BYTES = 512
_MEMBERS = ("providerName", "abilityName", "bundleName", "index")


@dataclass(frozen=True, slots=True)
class ResourceId:
    """A key in a provider: the provider, who registered it, and the provider's own locator of the key."""

    providerName: str
    abilityName: str
    bundleName: str
    index: str

    def to_json(self) -> str:
        """The text form.

        Raises:
            BusinessError: 12000018 if it is too long.
        """
        import json  # late: most services have no provider

        text = json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))
        _check_length(text, "the resource id", MAX_ID_BYTES)
        _check_length(self.index, "its index", MAX_INDEX_BYTES)
        return text


def parse_resource_id(given: Any, what: str = "resourceId") -> ResourceId:
    """Read a resource id.

    Raises:
        BusinessError: 401 for anything but a str; 12000018 for a text that is too long, or is not an object with the
            four members.
    """
    text = plain_text(given)
    if text is None:
        raise BusinessError(401, f"{what} must be a str, got {type_name(given)}")
    _check_length(text, what, MAX_ID_BYTES)
    import json

    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise BusinessError(12000018, f"{what} is no JSON object with {', '.join(_MEMBERS)}")
    index = members.get("index")
    if isinstance(index, dict):
        # the documented samples have an object here, but the implementation takes a text
        members["index"] = json.dumps(index, ensure_ascii=False, separators=(",", ":"))
    for name in _MEMBERS:
        if not isinstance(members.get(name), str) or (not members[name] and name != "index"):
            raise BusinessError(
                12000018, f"{what}: its member {name} must be a text, got {shown(members.get(name))}"
            )
    _check_length(members["index"], f"{what}: its index", MAX_INDEX_BYTES)
    return ResourceId(*(members[name] for name in _MEMBERS))


def _check_length(text: str, what: str, most: int) -> None:
    try:
        # no character has less than one byte: a text of any length is refused without being encoded
        size = len(text) if len(text) > most else len(text.encode())
    except UnicodeEncodeError:
        raise BusinessError(12000018, f"{what} is not valid Unicode: it holds lone surrogates") from None
    if size > most:
        raise BusinessError(12000018, f"{what} has {size} bytes, accepted at most {most}")
