"""What the functions on key items and sessions do with keys of external providers (KEY_CLASS = EXTENSION).

This is the caller's side of such a call: the alias is a resource id, the parameters are passed to the provider
unchanged, and its answers become results.
"""

from functools import partial
from typing import Any

from huks_async.access.policy import AccessRequest
from huks_async.keystore.open_state import OpenState
from huks_async.keystore.provider_failures import noting_failures
from huks_async.model.enums import HuksAuthStorageLevel, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, HuksOptions, HuksParam, ParamSet, as_bytes
from huks_async.model.tags import HuksTag, InnerTag
from huks_async.providers.parameters import with_uid
from huks_async.providers.resource_ids import parse_resource_id
from huks_async.providers.resources import OpenResource
from huks_async.providers.service import ExternalProviders, checked_output
from huks_async.runtime.background import run_by_itself
from huks_async.runtime.closing import abandoned

_PURPOSE = int(HuksTag.HUKS_TAG_PURPOSE)
_AUTH_TOKEN = int(HuksTag.HUKS_TAG_AUTH_TOKEN)
_SPECIFIC_USER = int(InnerTag.SPECIFIC_USER_ID)
_ACCESS_GROUP = int(HuksTag.HUKS_TAG_KEY_ACCESS_GROUP)


@noting_failures
async def generate(state: OpenState, alias: Any, params: ParamSet) -> None:
    """Have a provider make a key at the place that an open resource names."""
    opened = _find(state, alias, "generateKeyItem", params.numbers.get(_PURPOSE, 0))
    await state.providers.ask_resource(opened, "onGenerateKeyItem", _to_provider(params, opened))


@noting_failures
async def export(state: OpenState, alias: Any, params: ParamSet) -> bytes:
    """The public half of a key."""
    opened = _find(state, alias, "exportKeyItem", 0)
    result = await state.providers.ask_resource(opened, "onExportKeyItem", _to_provider(params, opened))
    return checked_output(opened.provider, "onExportKeyItem", result)


@noting_failures
async def import_wrapped(
    state: OpenState, alias: Any, wrapping_alias: Any, params: ParamSet, data: BytesLike
) -> None:
    """Have a provider import a key that is wrapped for another key of the same provider."""
    from huks_async.keys.wrapping.wrapped import MAX_WRAPPED_BYTES  # late, as all that most services never do

    function = "importWrappedKeyItem"
    wrapped = as_bytes(data, "inData", MAX_WRAPPED_BYTES)
    opened = _find(state, alias, function, params.numbers.get(_PURPOSE, 0))
    opens = int(HuksKeyPurpose.HUKS_KEY_PURPOSE_UNWRAP)
    wrapping = _find(state, wrapping_alias, function, opens, "wrappingKeyAlias")
    if wrapping.provider is not opened.provider:
        raise BusinessError(12000018, "keyAlias and wrappingKeyAlias name keys of different providers")
    await state.providers.import_wrapped(opened, wrapping, _to_provider(params, opened), wrapped)


@noting_failures
async def init_session(state: OpenState, alias: Any, params: ParamSet) -> int:
    """Open a session; it has no challenge."""
    purpose = params.numbers.get(_PURPOSE)
    if not purpose:
        raise BusinessError(401, "HUKS_TAG_PURPOSE is absent: a session has exactly one purpose")
    opened = _find(state, alias, "initSession", purpose)
    return await _caught_up(state).init_session(opened, _options(params, opened, b""))


@noting_failures
async def update_session(state: OpenState, handle: int, params: ParamSet, data: BytesLike) -> bytes:
    """Feed a segment."""
    return await _feed(state, handle, "onUpdateSession", params, data, last=False)


@noting_failures
async def finish_session(state: OpenState, handle: int, params: ParamSet, data: BytesLike) -> bytes:
    """Feed the last segment. After an error that leaves the provider's session alive (of the PIN), ours stays, too."""
    return await _feed(state, handle, "onFinishSession", params, data, last=True)


@noting_failures
async def abort_session(state: OpenState, handle: int) -> None:
    """End a session by the provider's finish without data. Errors of its PIN or handle are ignored."""
    session = _caught_up(state).sessions.take_idle(handle, state.session_owner)
    if session is not None:
        await state.providers.abort_session(session)


async def fail_session(state: OpenState, handle: int, error: BusinessError) -> BusinessError | None:
    """End a session whose call was refused for its parameters; return the error to raise, None if there is none.

    In a coroutine that may not wait, the event loop ends it.
    """
    if abandoned():
        leave_session_later(state, handle)
        return error
    sessions = _caught_up(state).sessions
    try:
        with sessions.using(handle, state.session_owner) as session:
            sessions.drop(session)
    except BusinessError as refused:
        return None if refused.code == 12000011 else refused
    await state.providers.leave_session(session)
    return error


async def leave_session(state: OpenState, handle: int, error: BaseException | None) -> None:
    """End a session whose block is left by an error, or None; one with a call running ends with this call."""
    session = state.providers.sessions.abandon(handle, state.session_owner)
    if session is not None:
        await state.providers.leave_session(session, error)


def leave_session_soon(state: OpenState, handle: int) -> None:
    """As `leave_session`, without waiting: its place is free at once, and the provider is told by the event loop."""
    session = state.providers.sessions.abandon(handle, state.session_owner)
    if session is not None:
        state.table.post(partial(run_by_itself, partial(state.providers.leave_session_by_itself, session)))


def leave_session_later(state: OpenState, handle: int) -> None:
    """As `leave_session_soon`, in a coroutine that may be in the middle of anything, the session table included."""
    state.table.do_later(partial(leave_session_soon, state, handle))


async def _feed(
    state: OpenState, handle: int, method: str, params: ParamSet, data: BytesLike, *, last: bool
) -> bytes:
    try:
        async with _caught_up(state).using_session(handle, state.session_owner) as session:
            options = _options(params, session.opened, await state.driver.copy(data))
            _caught_up(state).sessions.check_open(session)
            return await state.providers.feed_session(session, method, options, last=last)
    except GeneratorExit:  # the garbage collector closes it, in the middle of anything
        leave_session_later(state, handle)
        raise


def _caught_up(state: OpenState) -> ExternalProviders:
    """The providers, without the sessions whose blocks were left where nothing may be awaited, as in a closing generator."""
    state.table.catch_up()
    return state.providers


def _find(state: OpenState, alias: Any, function: str, purposes: int, what: str = "keyAlias") -> OpenResource:
    if state.acts_for is not None:
        raise BusinessError(12000001, "keys of external providers have no user: leave out userId")
    resource = parse_resource_id(alias, what)
    keyrings = state.keyrings
    if keyrings.permissions.asks:
        caller = keyrings.caller
        keyrings.permissions.check_use(
            AccessRequest(
                caller=caller,
                function=function,
                alias=resource.to_json(),
                purposes=purposes,
                namespace=keyrings.namespace,
                user_id=caller.user_id,
                group=None,
                level=int(HuksAuthStorageLevel.HUKS_AUTH_STORAGE_LEVEL_CE),
            )
        )
    return state.providers.resources.find(state.session_owner, resource)


def _to_provider(params: ParamSet, opened: OpenResource) -> list[Any]:
    # a provider that heeds them would take the caller's word for what the policy decides about other keys
    if _SPECIFIC_USER in params.numbers:
        raise BusinessError(
            12000001, "SPECIFIC_USER_ID: keys of external providers have no user: leave it out"
        )
    if _ACCESS_GROUP in params.blobs:
        raise BusinessError(
            12000001, "HUKS_TAG_KEY_ACCESS_GROUP: keys of external providers have no group: leave it out"
        )
    return [*params.to_params(), with_uid(opened.uid)]


def _options(params: ParamSet, opened: OpenResource, data: bytes) -> HuksOptions:
    if _AUTH_TOKEN in params.blobs:
        raise BusinessError(
            401, "keys of external providers take no auth token: their tokens have PINs (authUkeyPin)"
        )
    properties: list[HuksParam] = _to_provider(params, opened)
    return HuksOptions(properties, data)
