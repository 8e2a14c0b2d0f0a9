"""Which providers are registered, by name, ability and owner."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from huks_async.model.errors import BusinessError
from huks_async.model.plain import plain_text
from huks_async.model.showing import shown, type_name
from huks_async.providers.resource_ids import ResourceId

MAX_PROVIDERS = 10
MAX_NAME_BYTES = 128
_MAX_ABILITY_BYTES = 127


class Owner(NamedTuple):
    """The application, and its user, that registered a provider."""

    bundle: str
    user_id: int


class _Identity(NamedTuple):
    name: str
    ability: str
    owner: Owner


@dataclass(slots=True, eq=False)
class Provider:
    """A registered provider."""

    name: str
    ability_name: str
    owner: Owner
    ability: Any
    gone: bool = field(default=False)

    @property
    def who(self) -> str:
        """How messages name the provider."""
        return f"provider {shown(self.name)}"

    def resource_id(self, index: str) -> ResourceId:
        """The id of one of its keys."""
        return ResourceId(self.name, self.ability_name, self.owner.bundle, index)


class Registry:
    """The registered providers.

    Args:
        abilities: what the application declares, by ability name: the only objects that can be registered.
    """

    def __init__(self, abilities: Mapping[str, Any]) -> None:
        self._abilities = dict(abilities)
        self._providers: dict[_Identity, Provider] = {}
        self._coming: set[_Identity] = set()

    @property
    def declares_any(self) -> bool:
        """Whether the application declares abilities at all."""
        return bool(self._abilities)

    async def register(
        self, name: Any, ability_name: str, owner: Owner, connect: Callable[[Provider], Any]
    ) -> None:
        """Register a provider once `connect` has returned.

        Raises:
            BusinessError: 401 or 12000018 for a wrong name; 12000019 for a provider that is registered already;
                12000025 for one too many; 12000020 for an ability that is not declared; what `connect` raises.
        """
        name = check_name(name)
        check_ability_name(ability_name)
        identity = _Identity(name, ability_name, owner)
        if identity in self._providers or identity in self._coming:
            raise BusinessError(
                12000019,
                f"provider {shown(name)} with ability {shown(ability_name)} is registered; unregister it first",
            )
        if len(self._providers) + len(self._coming) >= MAX_PROVIDERS:
            raise BusinessError(12000025, f"{MAX_PROVIDERS} providers are registered, which is the most")
        ability = self._abilities.get(ability_name)
        if ability is None:
            raise BusinessError(
                12000020,
                f"there is no ability {shown(ability_name)}: declared are {', '.join(map(shown, self._abilities))}; "
                "see Keystore.open(abilities=…)",
            )
        provider = Provider(name, ability_name, owner, ability)
        self._coming.add(identity)
        try:
            await connect(provider)
            self._providers[identity] = provider
        finally:
            self._coming.discard(identity)

    def unregister(self, name: Any, ability_name: str | None, owner: Owner) -> list[Provider]:
        """Forget providers of an owner, one ability or all of that name; return those that were forgotten.

        Raises:
            BusinessError: 401 or 12000018 for a wrong name; 12000012 if no provider at all is registered; 12000011
                if this one is not.
        """
        name = check_name(name)
        if not self._providers:
            raise BusinessError(12000012, "no provider is registered")
        found = [
            identity
            for identity in self._providers
            if identity.name == name
            and identity.owner == owner
            and (ability_name is None or identity.ability == ability_name)
        ]
        if not found:
            raise BusinessError(
                12000011, f"{shown(owner.bundle)} has registered no such provider: {shown(name)}"
            )
        providers = [self._providers.pop(identity) for identity in found]
        for provider in providers:
            provider.gone = True
        return providers

    def find(self, name: str, ability_name: str, bundle: str, user_id: int) -> Provider:
        """The provider of a resource id.

        Raises:
            BusinessError: 12000011 if it is not registered.
        """
        provider = self._providers.get(_Identity(name, ability_name, Owner(bundle, user_id)))
        if provider is None:
            raise BusinessError(
                12000011,
                f"the provider is not found: {shown(name)} with ability {shown(ability_name)} of {shown(bundle)} is not "
                f"registered for user {user_id}",
            )
        return provider

    def all(self) -> list[Provider]:
        """All registered providers."""
        return list(self._providers.values())


def check_name(name: Any) -> str:
    """Check the name of a provider: 1 … 128 bytes."""
    text = plain_text(name)
    if text is None:
        raise BusinessError(401, f"providerName must be a str, got {type_name(name)}")
    # measured before it is encoded, as it may be of any length
    size = len(text) if len(text) > MAX_NAME_BYTES else len(text.encode(errors="surrogatepass"))
    if not 0 < size <= MAX_NAME_BYTES:
        raise BusinessError(12000018, f"providerName has {size} bytes, accepted 1 … {MAX_NAME_BYTES}")
    return text


def check_ability_name(name: str) -> str:
    """Check the name of an ability: fewer than 128 bytes."""
    size = len(name.encode())
    if not 0 < size <= _MAX_ABILITY_BYTES:
        raise BusinessError(
            12000018, f"the ability's name has {size} bytes, accepted 1 … {_MAX_ABILITY_BYTES}"
        )
    return name
