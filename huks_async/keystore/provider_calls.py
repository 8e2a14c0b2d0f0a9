"""What the functions on external providers do; `ProviderFunctions` loads this module at its first call."""

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huks_async.access.callers import Caller
from huks_async.keystore.open_state import OpenState
from huks_async.keystore.provider_failures import noting_failures
from huks_async.keystore.provider_functions import ExternalParameters
from huks_async.model.errors import BusinessError
from huks_async.model.external_crypto import (
    HuksExternalCryptoParam,
    HuksExternalCryptoTag,
    HuksExternalErrorInfo,
    HuksExternalPinAuthState,
    external_tag_name,
)
from huks_async.model.memory import is_out_of_memory, out_of_memory
from huks_async.model.params import as_bytes
from huks_async.model.plain import plain_text
from huks_async.model.showing import shown, type_name
from huks_async.providers.parameters import ExternalParams, parse_external, with_uid
from huks_async.providers.protocol import HuksCryptoExtensionCertInfo, HuksCryptoExtensionResult
from huks_async.providers.registry import Owner, Provider, check_ability_name, check_name
from huks_async.providers.resource_ids import ResourceId, parse_resource_id
from huks_async.providers.resources import OpenResource

_T = HuksExternalCryptoTag
_MAX_PROPERTY_BYTES = 100
_PIN_EXPORT = "SKF_ExportPublicKey"


@noting_failures
async def register(state: OpenState, providerName: str, params: ExternalParameters) -> None:
    """Make a provider known."""
    name, given = check_name(providerName), parse_external(params)
    _check_may_register(state, f"registering the provider {shown(name)}")
    ability = given.text(_T.HUKS_EXT_CRYPTO_TAG_ABILITY_NAME, "the ability's name")
    providers = state.providers
    await providers.registry.register(name, ability, _owner(state), providers.connect)


@noting_failures
async def unregister(state: OpenState, providerName: str, params: ExternalParameters | None = None) -> None:
    """Forget a provider, and close all of its resources."""
    name, given = check_name(providerName), parse_external(params)
    _check_may_register(state, f"unregistering the provider {shown(name)}")
    ability = None
    if _T.HUKS_EXT_CRYPTO_TAG_ABILITY_NAME in given:
        ability = check_ability_name(given.text(_T.HUKS_EXT_CRYPTO_TAG_ABILITY_NAME, "the ability's name"))
    await state.providers.forget(state.providers.registry.unregister(name, ability, _owner(state)))


@noting_failures
async def make_resource_id(state: OpenState, providerName: str, params: ExternalParameters) -> str:
    """The resource id of a key."""
    name, given = check_name(providerName), parse_external(params)
    ability = given.text(_T.HUKS_EXT_CRYPTO_TAG_ABILITY_NAME, "the ability's name")
    bundle = given.text(_T.HUKS_EXT_CRYPTO_TAG_BUNDLE_NAME, "the namespace that registered the provider")
    if _T.HUKS_EXT_CRYPTO_TAG_RESOURCE_INFO not in given:
        raise BusinessError(
            12000002, f"{_T.HUKS_EXT_CRYPTO_TAG_RESOURCE_INFO.name} is absent: it names the key"
        )
    provider = _find_provider(state, name, ability, bundle)
    result = await state.providers.ask(provider, "onGetResourceId", given.to_provider(_uid(state)))
    if not isinstance(result.resourceId, str):
        raise BusinessError(12000020, f"{provider.who}: onGetResourceId gave no resourceId")
    try:
        return provider.resource_id(str.__str__(result.resourceId)).to_json()
    except BusinessError as error:
        raise BusinessError(12000020, f"{provider.who}: {error.message}") from None


@noting_failures
async def open_resource(state: OpenState, resourceId: str, params: ExternalParameters | None = None) -> None:
    """Open a key for the caller."""
    resource, given = parse_resource_id(resourceId), parse_external(params)
    await state.providers.open(_provider(state, resource), state.session_owner, resource, given)


@noting_failures
async def close_resource(state: OpenState, resourceId: str, params: ExternalParameters | None = None) -> None:
    """Close it."""
    resource, given = parse_resource_id(resourceId), parse_external(params)
    await state.providers.close(state.session_owner, resource, given)


@noting_failures
async def prove_pin(state: OpenState, resourceId: str, params: ExternalParameters) -> None:
    """Prove the PIN of a token."""
    resource = parse_resource_id(resourceId)
    if state.device:
        raise BusinessError(202, "authUkeyPin is for system applications")
    given = parse_external(params)
    if not given.get(_T.HUKS_EXT_CRYPTO_TAG_UKEY_PIN):
        raise BusinessError(12000018, f"{_T.HUKS_EXT_CRYPTO_TAG_UKEY_PIN.name} is absent or empty")
    opened = state.providers.resources.find(state.session_owner, resource)
    result = await state.providers.ask_resource(opened, "onAuthUkeyPin", given.to_provider(opened.uid))
    proved = _checked_pin_state(opened.provider, "onAuthUkeyPin", result)
    if proved is not HuksExternalPinAuthState.HUKS_EXT_CRYPTO_PIN_AUTH_SUCCEEDED:
        raise BusinessError(
            12000020, f"{opened.provider.who}: onAuthUkeyPin gave success with authState {shown(proved)}"
        )


@noting_failures
async def pin_state(
    state: OpenState, resourceId: str, params: ExternalParameters | None = None
) -> HuksExternalPinAuthState:
    """Whether the caller has proved the PIN."""
    resource, given = parse_resource_id(resourceId), parse_external(params)
    opened = state.providers.resources.find(state.session_owner, resource)
    result = await state.providers.ask_resource(
        opened, "onGetUkeyPinAuthState", given.to_provider(opened.uid)
    )
    return _checked_pin_state(opened.provider, "onGetUkeyPinAuthState", result)


@noting_failures
async def clear_pin_state(state: OpenState, resourceId: str) -> None:
    """Forget that the caller has proved the PIN."""
    opened = state.providers.resources.find(state.session_owner, parse_resource_id(resourceId))
    await state.providers.ask_resource(opened, "onClearUkeyPinAuthState", [with_uid(opened.uid)])


@noting_failures
async def get_property(
    state: OpenState, resourceId: str, propertyId: str, params: ExternalParameters | None = None
) -> list[HuksExternalCryptoParam]:
    """A property of a key or its token."""
    opened, name, given = _for_property(state, resourceId, propertyId, params)
    result = await state.providers.ask_resource(opened, "onGetProperty", name, given.to_provider(opened.uid))
    return _checked_property(opened.provider, result)


@noting_failures
async def set_property(
    state: OpenState, resourceId: str, propertyId: str, params: ExternalParameters | None = None
) -> None:
    """Set a property of a key or its token."""
    opened, name, given = _for_property(state, resourceId, propertyId, params)
    await state.providers.ask_resource(opened, "onSetProperty", name, given.to_provider(opened.uid))


def last_error(state: OpenState) -> HuksExternalErrorInfo:
    """What a provider told of the caller's last failure."""
    return state.providers.last_error(state.session_owner)


@noting_failures
async def export_certificates(
    state: OpenState, resourceId: str, params: ExternalParameters | None = None
) -> list[HuksCryptoExtensionCertInfo]:
    """The certificates of one key."""
    resource, given = parse_resource_id(resourceId), parse_external(params)
    provider = _provider(state, resource)
    result = await state.providers.ask(
        provider, "onExportCertificate", resource.index, given.to_provider(_uid(state))
    )
    return _checked_certificates(provider, result)


@noting_failures
async def list_certificates(
    state: OpenState, providerName: str, params: ExternalParameters
) -> list[HuksCryptoExtensionCertInfo]:
    """All certificates of a provider."""
    name, given = check_name(providerName), parse_external(params)
    ability = given.text(_T.HUKS_EXT_CRYPTO_TAG_ABILITY_NAME, "the ability's name")
    bundle = given.text(_T.HUKS_EXT_CRYPTO_TAG_BUNDLE_NAME, "the namespace that registered the provider")
    provider = _find_provider(state, name, ability, bundle)
    result = await state.providers.ask(provider, "onEnumCertificates", given.to_provider(_uid(state)))
    return _checked_certificates(provider, result)


def _for_property(
    state: OpenState, resource_id: Any, property_id: Any, params: object
) -> tuple[OpenResource, str, ExternalParams]:
    resource, name = parse_resource_id(resource_id), plain_text(property_id)
    if name is None:
        raise BusinessError(401, f"propertyId must be a str, got {type_name(property_id)}")
    size = len(name.encode(errors="surrogatepass"))
    if not 0 < size <= _MAX_PROPERTY_BYTES:
        raise BusinessError(12000018, f"propertyId has {size} bytes, accepted 1 … {_MAX_PROPERTY_BYTES}")
    given = parse_external(params)
    if state.device and name == _PIN_EXPORT:
        raise BusinessError(202, f"the property {_PIN_EXPORT} is for system applications")
    return state.providers.resources.find(state.session_owner, resource), name, given


def _caller(state: OpenState) -> Caller:
    return state.keyrings.caller


def _owner(state: OpenState) -> Owner:
    caller = _caller(state)
    return Owner(caller.namespace, caller.user_id)


def _uid(state: OpenState) -> int:
    return state.providers.uid_of(state.session_owner)


def _provider(state: OpenState, resource: ResourceId) -> Provider:
    return _find_provider(state, resource.providerName, resource.abilityName, resource.bundleName)


def _find_provider(state: OpenState, name: str, ability: str, bundle: str) -> Provider:
    """A registered provider, for a caller that the policy lets use providers: 201 for others, 12000011 if there is none."""
    caller = _caller(state)
    # first, because wrong PINs lock a token for everybody, and opening a resource is what lets a caller try one
    state.keyrings.permissions.check_providers(caller)
    return state.providers.registry.find(name, ability, bundle, caller.user_id)


def _check_may_register(state: OpenState, what: str) -> None:
    if not state.providers.registry.declares_any:
        raise BusinessError(
            201,
            "this application declares no abilities, so it has none to register: Keystore.open(abilities=…)",
        )
    state.keyrings.permissions.check_registering(_caller(state), what)


@contextmanager
def _judging(provider: Provider, what: str, wrong: str) -> Iterator[None]:
    """A block that looks at what a provider gave: objects of the provider's, which may raise anything.

    Args:
        provider: whose objects they are.
        what: what they are, for the error of a lack of memory.
        wrong: what the provider did if they are something else.

    Raises:
        BusinessError: 12000020 for objects that raise; 12000014 where the system gives no memory.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise out_of_memory(f"{what} from {provider.who}") from error
        raise BusinessError(12000020, wrong) from None


def _checked_pin_state(
    provider: Provider, method: str, result: HuksCryptoExtensionResult
) -> HuksExternalPinAuthState:
    state = result.authState
    with _judging(provider, "authState", f"{provider.who}: {method} gave authState {shown(state)}"):
        return HuksExternalPinAuthState(state)  # type: ignore[arg-type]


def _checked_property(provider: Provider, result: HuksCryptoExtensionResult) -> list[HuksExternalCryptoParam]:
    wrong = f"{provider.who}: onGetProperty gave a property that is no list of parameters"
    with _judging(provider, "a property", wrong):
        return [
            HuksExternalCryptoParam(
                param.tag,
                param.value
                if isinstance(param.value, int)
                else as_bytes(param.value, external_tag_name(param.tag)),
            )
            for param in result.property or ()
        ]


def _checked_certificates(
    provider: Provider, result: HuksCryptoExtensionResult
) -> list[HuksCryptoExtensionCertInfo]:
    with _judging(provider, "certificates", f"{provider.who} gave certs that are no certificates"):
        return [
            HuksCryptoExtensionCertInfo(
                operator.index(cert.purpose),
                provider.resource_id(cert.resourceId).to_json(),
                as_bytes(cert.cert, "a certificate"),
            )
            for cert in result.certs or ()
        ]
