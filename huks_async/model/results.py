"""What the documented functions give back. Field names are those of the declaration."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from huks_async.model.params import HuksParam
from huks_async.model.showing import shown, shown_list

# What a call gives may be plaintext or a key, so `repr` tells the length of bytes alone.

# One of these is made for every call of every session, so fields that a call does not give are not even
# set: reading one makes its empty value.


@dataclass(slots=True, init=False)
class HuksSessionHandle:
    """An open session: its handle (0 … 2^53 - 1) and, for keys bound to authentication, 32 bytes of challenge."""

    handle: int
    challenge: bytes

    def __init__(self, handle: int, challenge: bytes | None = None) -> None:
        self.handle = handle
        if challenge is not None:
            self.challenge = challenge

    def __repr__(self) -> str:
        return f"HuksSessionHandle(handle={shown(self.handle)}, challenge={shown(self.challenge)})"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return _make_empty(self, name, {"challenge": bytes})


@dataclass(slots=True, init=False)
class HuksReturnResult:
    """The result of a call; what it does not give is empty, never None."""

    outData: bytes
    properties: list[HuksParam]
    certChains: list[str]
    sharedSecret: bytes

    def __init__(
        self,
        outData: bytes = b"",
        properties: list[HuksParam] | None = None,
        certChains: list[str] | None = None,
        sharedSecret: bytes | None = None,
    ) -> None:
        self.outData = outData
        if properties is not None:
            self.properties = properties
        if certChains is not None:
            self.certChains = certChains
        if sharedSecret is not None:
            self.sharedSecret = sharedSecret

    def __repr__(self) -> str:
        return (
            f"HuksReturnResult(outData={shown(self.outData)}, properties={shown_list(self.properties, repr)}, "
            f"certChains={shown_list(self.certChains)}, sharedSecret={shown(self.sharedSecret)})"
        )

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return _make_empty(self, name, {"properties": list, "certChains": list, "sharedSecret": bytes})


def _make_empty(result: object, name: str, kinds: dict[str, type]) -> Any:
    try:
        empty = kinds[name]()
    except KeyError:
        raise AttributeError(
            f"{type(result).__name__!r} object has no attribute {name!r}", name=name, obj=result
        ) from None
    setattr(result, name, empty)
    return empty


@dataclass(slots=True)
class HuksListAliasesReturnResult:
    """The aliases of one namespace and storage level."""

    keyAliases: list[str] = field(default_factory=list)


@dataclass(slots=True)
class HuksHandle:
    """Deprecated api-8 form of an open session."""

    errorCode: int
    handle: int = 0
    token: bytes = b""

    def __repr__(self) -> str:
        return (
            f"HuksHandle(errorCode={self.errorCode}, handle={shown(self.handle)}, token={shown(self.token)})"
        )


@dataclass(slots=True)
class HuksResult:
    """Deprecated api-8 result: `errorCode` is 0 or a negative `HuksErrorCode`."""

    errorCode: int
    outData: bytes = b""
    properties: list[HuksParam] = field(default_factory=list)
    certChains: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return (
            f"HuksResult(errorCode={self.errorCode}, outData={shown(self.outData)}, "
            f"properties={shown_list(self.properties, repr)}, certChains={shown_list(self.certChains)})"
        )
