"""What the documented functions give back. Field names are those of the declaration."""

from dataclasses import dataclass, field

from huks_async.model.params import HuksParam


@dataclass(slots=True)
class HuksSessionHandle:
    """An open session: its handle (0 … 2^53 - 1) and, for keys bound to authentication, 32 bytes of challenge."""

    handle: int
    challenge: bytes = b""


@dataclass(slots=True, init=False)
class HuksReturnResult:
    """The result of a call; what it does not give is empty, never None."""

    outData: bytes = b""
    properties: list[HuksParam] = field(default_factory=list)
    certChains: list[str] = field(default_factory=list)
    sharedSecret: bytes = b""

    # by hand: one is made for every call of every session, and default factories cost as much again
    def __init__(
        self,
        outData: bytes = b"",
        properties: list[HuksParam] | None = None,
        certChains: list[str] | None = None,
        sharedSecret: bytes = b"",
    ) -> None:
        self.outData = outData
        self.properties = [] if properties is None else properties
        self.certChains = [] if certChains is None else certChains
        self.sharedSecret = sharedSecret


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


@dataclass(slots=True)
class HuksResult:
    """Deprecated api-8 result: `errorCode` is 0 or a negative `HuksErrorCode`."""

    errorCode: int
    outData: bytes = b""
    properties: list[HuksParam] = field(default_factory=list)
    certChains: list[str] = field(default_factory=list)
