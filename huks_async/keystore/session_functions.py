"""The documented functions on key sessions.

Longer than other files: four functions with all that their docstrings must say, each with its quick way beside the ordinary
one, because the two must agree.
"""

from collections.abc import Callable, Mapping
from functools import partial
from threading import get_ident
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import anyio

from huks_async.crypto.caller_warnings import times_warned
from huks_async.crypto.rules.authorise import check_batch_purpose, check_batch_tags, check_named
from huks_async.crypto.rules.empty_bytes import refuse_empty_bytes, used_bytes
from huks_async.keys.items.aliases import check_alias, storage_level
from huks_async.keys.items.item import KeyItem
from huks_async.keys.items.prepared import Prepared, plan_key
from huks_async.keys.lifecycle import is_stored
from huks_async.keystore.key_class import is_external
from huks_async.keystore.open_state import (
    KeystoreFunctions,
    OpenState,
    check_security_level,
    read_call,
    state_for,
    state_of_named,
)
from huks_async.model.enums import HuksKeyFlag, HuksKeyPurpose
from huks_async.model.errors import BusinessError, ParameterSetError
from huks_async.model.params import (
    MAX_PARAM_BYTES,
    NO_PARAMETERS,
    BytesLike,
    HuksOptions,
    Options,
    ParamSet,
    as_buffer,
    as_bytes,
    parse_parameters,
    parse_properties,
    split_options,
)
from huks_async.model.results import HuksReturnResult, HuksSessionHandle
from huks_async.model.showing import type_name
from huks_async.model.tags import HuksTag
from huks_async.runtime.closing import abandoned
from huks_async.sessions.context import KeySession, SessionParts

if TYPE_CHECKING:
    from huks_async.keystore.guarded_sessions import GuardedSession

_T = TypeVar("_T")

_PURPOSE = int(HuksTag.HUKS_TAG_PURPOSE)
_ACCESS_GROUP = int(HuksTag.HUKS_TAG_KEY_ACCESS_GROUP)
_KEY_ALIAS = int(HuksTag.HUKS_TAG_KEY_ALIAS)
_AUTH_TOKEN = int(HuksTag.HUKS_TAG_AUTH_TOKEN)
_RESULT_FLAGS = {
    int(HuksKeyPurpose.HUKS_KEY_PURPOSE_AGREE): HuksKeyFlag.HUKS_KEY_FLAG_AGREE_KEY,
    int(HuksKeyPurpose.HUKS_KEY_PURPOSE_DERIVE): HuksKeyFlag.HUKS_KEY_FLAG_DERIVE_KEY,
}


_new_object = object.__new__


class _SecretRule(NamedTuple):
    """What finish needs to know about a session whose result may be stored as a key."""

    base: ParamSet
    flag: HuksKeyFlag
    state: OpenState


class SessionFunctions(KeystoreFunctions):
    """Open a session on a key, feed it, finish or abort it."""

    async def initSession(self, keyAlias: str, options: Options) -> HuksSessionHandle:
        """Open a session on a key; its parameters are frozen here.

        Args:
            keyAlias: the key.
            options: ALGORITHM, exactly one PURPOSE, and what the operation needs: PADDING, DIGEST and BLOCK_MODE
                as the key was made with them, IV or NONCE, AAD, AE_TAG for decryption, derivation parameters.
                `inData` is ignored.

        Returns:
            `handle`, and `challenge`, empty for keys without user authentication.

        Raises:
            BusinessError: 12000011 for an unknown alias; 401, 12000002, 12000003 for parameters that the
                key or the algorithm does not allow; 12000010 at the limit of sessions; 12000012 when the
                stored key is damaged.

        The session pins the key: deleting or replacing the key later does not affect the session.
        """
        state = self._direct or self._open_state()
        if get_ident() != state.thread:
            state.owner.check("this keystore")
        if type(options) is HuksOptions:
            try:
                properties = options.properties
            except AttributeError:
                properties = read_call(state, split_options, options)[0]  # which refuses them
        elif type(options) is dict:
            properties = options.get("properties")
        else:
            properties = read_call(state, split_options, options)[0]
        # Parameters that were checked for this key once need not be checked again for its next session.
        # A function in a slot is slower to call in one step.
        recall = state.recall
        known = recall(keyAlias, properties) if type(properties) is list else None
        if known is None:
            dispatcher = state.dispatcher
            if type(properties) is list and (bound := state.recall_guarded(keyAlias, properties)) is not None:
                if perf_counter() > dispatcher.turn_ends and dispatcher.is_due():
                    await dispatcher.give_turn()
                plan, own, _ = bound
                return _enter_guarded(state, plan.context.begin(plan, own))
            try:
                params = read_call(state, parse_properties, properties)
                external = read_call(state, is_external, params)
                prepared = None if external else await _prepare(state, keyAlias, properties, params)
            except BusinessError:
                await dispatcher.turn()  # whoever goes on with sessions that are refused holds up nobody
                raise
            if external:
                from huks_async.keystore import provider_keys  # late: few services use providers

                return HuksSessionHandle(await provider_keys.init_session(state, keyAlias, params))
            if type(prepared) is not tuple:
                if perf_counter() > dispatcher.turn_ends and dispatcher.is_due():
                    await dispatcher.give_turn()
                return _enter_guarded(state, cast("GuardedSession", prepared))
            known = cast("Prepared", prepared)
        (starter, ready, context), blobs, known_lists = known
        if perf_counter() > state.dispatcher.turn_ends and state.dispatcher.is_due():
            await state.dispatcher.give_turn()
        # where there is a context, finish reads its parameters
        session = state.table.open(
            state.session_owner, starter(ready, blobs), context, known_lists if context is None else None
        )
        # The result is made without calling __init__, which would be a noticeable part of a short session.
        opened = _new_object(HuksSessionHandle)
        opened.handle = session.handle
        return opened

    async def updateSession(
        self, handle: int, options: Options, token: BytesLike | None = None
    ) -> HuksReturnResult:
        """Feed a segment; `outData` has the output that is ready, often none.

        Args:
            handle: the session.
            options: `inData` is the segment, of about 100 KB as advised. For agreement it is the peer's public
                key; for derivation it is ignored. Parameters are not read again.
            token: an auth token, for keys bound to user authentication.

        Raises:
            BusinessError: 12000011 for a session that is gone (the message says why) or in another call;
                401 for wrong arguments; 12000012 for a second agreement or derivation; 12000014 when
                sessions hold too many bytes.

        Any error of the operation ends the session, and so does cancelling the call. The buffer that is passed
        must not be changed before the call returns.
        """
        state = self._direct or self._open_state()
        if get_ident() != state.thread:
            state.owner.check("this keystore")
        data = _ordinary_data(state, handle, options)
        if data is not None and token is None:
            out = state.driver.start_update(state.session_owner, handle, data)
        elif data is not None and type(token) is bytes and len(token) <= MAX_PARAM_BYTES:
            params = ParamSet({}, {_AUTH_TOKEN: token})
            out = state.driver.start_update(state.session_owner, handle, data, params)
        else:
            handle = _check_handle(handle)
            params, segment = await _segment(state, handle, options, token)
            if is_external(params):
                from huks_async.keystore import provider_keys  # late: few services use providers

                _end_if_abandoned(state, handle)
                return HuksReturnResult(await provider_keys.update_session(state, handle, params, segment))
            out = state.driver.start_update(state.session_owner, handle, segment, params)
        if not isinstance(out, bytes):
            out = await out
        result = _new_object(HuksReturnResult)
        result.outData = out
        return result

    async def finishSession(
        self, handle: int, options: Options, token: BytesLike | None = None
    ) -> HuksReturnResult:
        """Feed the last segment and end the session; `outData` has the rest of the output.

        Args:
            handle: the session.
            options: `inData` is the last segment, or nothing; for verification it is the signature. For
                agreement and derivation the parameters say whether the result is stored: storage flag,
                KEY_ALIAS, ALGORITHM, KEY_SIZE and the attributes of the new key.
            token: an auth token, for keys bound to user authentication.

        Raises:
            BusinessError: 12000006 for a wrong signature, tag or padding; otherwise as `updateSession`.

        The session is gone afterwards, whatever happens, if its key is one of the keystore's own. A call that is
        cancelled while it stores its result has stored the key whole, in place of an older one, or not at all; its
        caller cannot tell which.

        A session on a key of a provider stays where the provider has taken nothing: after 401 for a token or too much
        data, and after a refusal by a code that is not about the token or the handle (of the PIN: 12000021, 12000023). A
        call that is cancelled ends it.
        """
        state = self._direct or self._open_state()
        if get_ident() != state.thread:
            state.owner.check("this keystore")
        data = _ordinary_data(state, handle, options)
        if data is not None and token is None:
            params = NO_PARAMETERS
            out = state.driver.start_finish(state.session_owner, handle, data)
        elif data is not None and type(token) is bytes and len(token) <= MAX_PARAM_BYTES:
            params = ParamSet({}, {_AUTH_TOKEN: token})
            out = state.driver.start_finish(state.session_owner, handle, data, params)
        else:
            handle = _check_handle(handle)
            params, segment = await _segment(state, handle, options, token, ends=True)
            if is_external(params):
                from huks_async.keystore import provider_keys  # late: few services use providers

                _end_if_abandoned(state, handle)
                return HuksReturnResult(await provider_keys.finish_session(state, handle, params, segment))
            out = state.driver.start_finish(state.session_owner, handle, segment, params)
        if not isinstance(out, bytes):
            out, session = await out
            rule = session.context
            if rule is not None:
                out = await state.driver.complete(session, _keep_secret(rule, params, out))
        result = _new_object(HuksReturnResult)
        result.outData = out
        return result

    async def abortSession(self, handle: int, options: Options) -> None:
        """End a session without a result.

        Succeeds for a handle that is unknown or gone; does not end a session that has a call running. In a task that the
        garbage collector ends, where nothing may wait, the event loop does it soon.

        Raises:
            BusinessError: 401 for wrong arguments.
        """
        try:
            state = self._open_state()
        except BusinessError:
            if not abandoned():
                raise
            # the garbage collector ends it in another thread
            self._end_soon("abortSession", handle, options)
            return
        handle = _check_handle(handle)
        try:
            params = read_call(state, parse_parameters, options)
        except ParameterSetError as error:
            failure = await _fail_any(state, handle, error)
            if failure is not error:
                return  # there is no session to end, or a call is running in it
            raise error from None
        if read_call(state, is_external, params):
            from huks_async.keystore import provider_keys  # late: few services use providers

            if abandoned():  # the event loop ends it, and the closing of the keystore waits for that
                provider_keys.leave_session_later(state, handle)
            else:
                await provider_keys.abort_session(state, handle)
            return
        state.driver.abort(state.session_owner, handle)
        dispatcher = state.dispatcher
        if perf_counter() <= dispatcher.turn_ends or not dispatcher.is_due():
            return
        # One that is abandoned may not wait, and the task that runs meanwhile, as in the garbage collector, is another's,
        # whose scope this is not to change.
        if not abandoned():
            # Shielded, because a block that is cancelled may have several sessions to abort.
            with anyio.CancelScope(shield=True):
                await dispatcher.give_turn()

    def _pinned(self) -> "SessionFunctions":
        """These functions, bound to the caller of this context even if they are called in another one later."""
        return self

    def session(self, keyAlias: str, options: Options) -> KeySession:
        """Open a session for an `async with` block, which ends it on every way out.

        An extension of the documented surface:

            async with keystore.session("photos", options) as session:
                async for part in session.stream(chunks): ...

        See `KeySession` for `update`, `finish` and `stream`.
        """
        table = self._open_state().table
        place = table.place() if table.debug else None
        pinned = self._pinned()
        return KeySession(pinned, keyAlias, options, pinned._session_parts, place)

    def _session_parts(self) -> SessionParts:
        state = self._open_state()

        async def leave(handle: int, error: BaseException | None) -> None:
            from huks_async.keystore import provider_keys  # late: few services use providers

            await provider_keys.leave_session(state, handle, error)

        def leave_later(handle: int) -> None:
            from huks_async.keystore import provider_keys  # late: few services use providers

            provider_keys.leave_session_later(state, handle)

        def read(read_options: Callable[[Options], _T], options: Options) -> _T:
            return read_call(state, read_options, options)

        abandon = partial(state.table.abandon, owner=state.session_owner)
        return SessionParts(state.pool, state.limits, read, abandon, leave, leave_later)


async def _prepare(
    state: OpenState, keyAlias: str, properties: Any, params: ParamSet
) -> "Prepared | GuardedSession":
    """Look up the key of a session, and let it authorise the session's parameters.

    The outcome is remembered with the key. A later session with the same numbers is not authorised again; one
    with the same list is neither looked up nor parsed nor authorised again.
    """
    alias = check_alias(keyAlias)
    numbers = params.numbers
    owner = state_for(state, params, "initSession", alias)
    check_security_level(params)
    level = storage_level(params)
    item = owner.shelf.ready(alias, level) or await owner.shelf.find(alias, level)
    if item.demand is not None:
        from huks_async.keystore.guarded_sessions import prepare_guarded  # late: few keys demand anything

        rule = _rule_of(state, owner, item, numbers)
        return await prepare_guarded(state, owner, item, item.demand, properties, params, rule)
    key = plan_key(numbers)
    plan = item.prepared.find(key)
    if plan is None:
        if check_batch_tags(numbers) is not None:
            check_batch_purpose(item.params.numbers, check_named(numbers)[0])
        rule = _rule_of(state, owner, item, numbers)
        before = times_warned()
        plan = item.plan(numbers, state.limits, rule, device=state.device)
        if times_warned() > before:
            # The plan is not kept, so that a weak algorithm warns each time and a filter that is set later counts.
            refuse_empty_bytes(params.blobs, used_bytes(numbers))
            return plan, params.blobs, item.prepared
        item.prepared.keep(key, plan)
    used = used_bytes(numbers)
    if params.blobs.keys() <= used:
        item.prepared.keep_list(properties, params, plan)
    else:
        # The list is not kept: byte strings that the operation ignores must be checked each time.
        refuse_empty_bytes(params.blobs, used)
    return plan, params.blobs, item.prepared


def _rule_of(
    state: OpenState, owner: OpenState, item: KeyItem, numbers: Mapping[int, int]
) -> _SecretRule | None:
    flag = _RESULT_FLAGS.get(numbers.get(_PURPOSE, 0))
    home = state if owner.acts_for is None else owner
    return None if flag is None else _SecretRule(item.params, flag, home)


def _enter_guarded(state: OpenState, prepared: "GuardedSession") -> HuksSessionHandle:
    session = state.table.open(state.session_owner, prepared.operation, prepared.context)
    if prepared.deadline is not None:
        state.table.set_deadline(session, prepared.deadline)
    return HuksSessionHandle(session.handle, prepared.challenge or None)


async def _keep_secret(rule: _SecretRule, params: ParamSet, secret: bytes) -> bytes:
    # The user is that of the session, but the parameters of finish name the group of the result.
    if is_stored(params):
        # The result becomes a new key under another alias, which the policy's answer about the session does not cover.
        alias = params.blobs.get(_KEY_ALIAS, b"").decode(errors="replace")
        owner = state_for(rule.state, params, "finishSession", alias)
    else:
        owner = state_of_named(rule.state, params)
    return await owner.maker.keep_secret(rule.base, params, secret, rule.flag)


def _end_if_abandoned(state: OpenState, handle: int) -> None:
    """End a session at a provider in place of a call on it in a coroutine that may not wait, and the coroutine with it.

    The call would wait in a scope of the task that runs meanwhile, which is another's, and would be cancelled by it.
    """
    if abandoned():
        from huks_async.keystore import provider_keys  # late: few services use providers

        provider_keys.leave_session_later(state, handle)
        raise GeneratorExit


def _ordinary_data(state: OpenState, handle: object, options: object) -> bytes | None:
    """The data of a call with arguments of the most common forms; None if they must be parsed.

    These forms are no parameters, and those of a session on the same key once more, as programs for devices have them.
    """
    if type(options) is HuksOptions:
        try:
            properties, data = options.properties, options.inData
        except AttributeError:
            return None
    elif type(options) is dict:
        properties, data = options.get("properties"), options.get("inData")
    else:
        return None
    if type(data) is not bytes or type(handle) is not int:
        return None
    if properties is None or (
        type(properties) is list and (not properties or _repeats(state, handle, properties))
    ):
        return data
    return None


def _repeats(state: OpenState, handle: int, properties: list[Any]) -> bool:
    """Whether parameters are such as began a session on this one's key, and so are known to be legal.

    Whose session it is does not matter for that, and is checked with the call itself.
    """
    session = state.table.sessions.get(handle)
    if session is None or session.known_lists is None:
        return False
    try:
        return session.known_lists.recognise(properties) is not None
    except Exception:
        return False  # a list that must be parsed; objects of the caller may raise anything


async def _segment(
    state: OpenState, handle: int, options: object, token: BytesLike | None, ends: bool = False
) -> tuple[ParamSet, BytesLike]:
    """Check the arguments of a call on a session; a set of parameters that is illegal as a whole ends the session."""
    try:
        params, data = read_call(state, _parse_segment, state, options, token)
    except ParameterSetError as error:
        raise await _fail_any(state, handle, error) from None
    if read_call(state, is_external, params):
        return params, data  # the provider judges the parameters
    try:
        check_security_level(params)
    except BusinessError as wrong:
        if ends:
            raise state.driver.fail(state.session_owner, handle, wrong) from None
        state.owner.check("this keystore")
        state.table.give_back(state.table.take(handle, state.session_owner))
        raise
    return params, data


def _parse_segment(state: OpenState, options: object, token: BytesLike | None) -> tuple[ParamSet, BytesLike]:
    """Parse options and the token beside them, which becomes one of the parameters.

    The parameters come last: what is wrong beside them leaves a session that an illegal set of them ends.
    """
    properties, data = split_options(options)
    segment = b"" if data is None else as_buffer(data, "inData")
    state.driver.check_size(segment, what="inData")
    shown = None if token is None else as_bytes(token, "token")
    params = parse_properties(properties)
    if shown is not None:
        if _AUTH_TOKEN in params.blobs:
            raise ParameterSetError(401, "HUKS_TAG_AUTH_TOKEN is given twice: as a tag and as the token")
        params = ParamSet(params.numbers, params.blobs | {_AUTH_TOKEN: shown})
    return params, segment


async def _fail_any(state: OpenState, handle: int, error: BusinessError) -> BusinessError:
    """End a session, whoever has its key, whose call was refused for its parameters; return the error to raise.

    An illegal set of parameters cannot tell whether it is about a key of a provider.
    """
    failure = state.driver.fail(state.session_owner, handle, error)
    if failure is error or state.providers_on_demand.made is None:
        return failure
    from huks_async.keystore import provider_keys  # late: few services use providers

    return await provider_keys.fail_session(state, handle, error) or failure


def _check_handle(handle: Any) -> int:
    if type(handle) is bool or not issubclass(type(handle), int):
        raise BusinessError(401, f"handle must be an int, got {type_name(handle)}")
    return int.__int__(handle)
