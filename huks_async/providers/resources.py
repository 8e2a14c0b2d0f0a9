"""Which keys of providers are open, and for which caller."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from huks_async.model.errors import BusinessError
from huks_async.model.showing import shown
from huks_async.providers.registry import Provider
from huks_async.providers.resource_ids import ResourceId

MAX_OPEN = 100


class _Place(NamedTuple):
    caller: str
    resource: ResourceId


@dataclass(slots=True, eq=False)
class OpenResource:
    """A key of a provider that a caller has open. `handle` is None until the provider has returned one."""

    provider: Provider
    caller: str
    uid: int
    resource: ResourceId
    handle: str | None = None

    @property
    def open_handle(self) -> str:
        """The provider's handle of the key, once it is open."""
        assert self.handle is not None
        return self.handle


class OpenResources:
    """The table of open resources: each caller has its own."""

    def __init__(self) -> None:
        self._open: dict[_Place, OpenResource] = {}

    def reserve(self, provider: Provider, caller: str, uid: int, resource: ResourceId) -> OpenResource:
        """Reserve a place for a resource that is about to be opened.

        Raises:
            BusinessError: 12000017 if the caller has it open already; 12000025 if 100 of that provider are open.
        """
        place = _Place(caller, resource)
        if place in self._open:
            raise BusinessError(12000017, "the resource is open already; close it first (closeResource)")
        if sum(entry.provider is provider for entry in self._open.values()) >= MAX_OPEN:
            raise BusinessError(12000025, f"{MAX_OPEN} resources of {provider.who} are open; close some")
        entry = self._open[place] = OpenResource(provider, caller, uid, resource)
        return entry

    def find(self, caller: str, resource: ResourceId) -> OpenResource:
        """The resource, which the caller must have open.

        Raises:
            BusinessError: 12000011 if it is not open for this caller.
        """
        entry = self._open.get(_Place(caller, resource))
        if entry is None or entry.handle is None:
            raise BusinessError(
                12000011,
                f"the resource with index {shown(resource.index)} of provider {shown(resource.providerName)} is not "
                "open for this caller, or its token failed since; call openResource",
            )
        return entry

    def drop(self, entry: OpenResource) -> bool:
        """Forget a resource, unless another one has taken its place in the table; return whether it was there."""
        place = _Place(entry.caller, entry.resource)
        if self._open.get(place) is not entry:
            return False
        del self._open[place]
        return True

    def take(self, caller: str, resource: ResourceId) -> OpenResource | None:
        """Remove a resource that a caller has open, so that it can be closed; None if it is not open."""
        entry = self._open.get(_Place(caller, resource))
        if entry is None or entry.handle is None:
            return None
        self.drop(entry)
        return entry

    def of_provider(self, provider: Provider) -> list[OpenResource]:
        """All open resources of a provider."""
        return [entry for entry in self._open.values() if entry.provider is provider]

    def __iter__(self) -> Iterator[OpenResource]:
        return iter(self._open.values())

    def __len__(self) -> int:
        return len(self._open)
