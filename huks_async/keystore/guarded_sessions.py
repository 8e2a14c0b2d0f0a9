"""Opening sessions on keys that demand something before they are used. Most services have none."""

from collections.abc import Mapping
from typing import NamedTuple

from huks_async.access.bound import bound_of
from huks_async.access.demand import Demand, check_refined_values, refuse_bare_digest
from huks_async.access.gate import Gate, check_position
from huks_async.crypto.caller_warnings import times_warned
from huks_async.crypto.operation import Operation
from huks_async.crypto.rules.authorise import check_batch_purpose, check_batch_tags, check_named
from huks_async.crypto.rules.empty_bytes import refuse_empty_bytes, used_bytes
from huks_async.keys.items.aliases import storage_level
from huks_async.keys.items.item import KeyItem
from huks_async.keys.items.prepared import Plan, plan_key
from huks_async.keystore.open_state import OpenState, ask_policy
from huks_async.model.enums import AUTHENTICATED_MODES, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag, InnerTag
from huks_async.sessions.guarded import Batch, Guarded

_T, _I = HuksTag, InnerTag
_SIGN, _ENCRYPT = HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN, HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT
_OF_BATCHES = frozenset({_I.IS_BATCH_OPERATION, _I.BATCH_OPERATION_TIMEOUT, _T.HUKS_TAG_AUTH_TOKEN})


class GuardedSession(NamedTuple):
    """A session that is ready to be entered into the table.

    Attributes:
        operation: the operation behind its gate.
        context: as for other sessions.
        challenge: to be returned with the handle.
        deadline: of a batch session, on the clock of the table; None for others.
    """

    operation: Operation
    context: object
    challenge: bytes
    deadline: float | None


class _Checked(NamedTuple):
    """The outcome of checking a session's number parameters, kept for sessions that repeat them."""

    gate: Gate
    context: object

    def begin(self, plan: Plan, blobs: Mapping[int, bytes]) -> GuardedSession:
        """Make the operation of a session from the plan for its numbers and its byte strings, checked by the caller."""
        operation = plan.starter(plan.ready, blobs)
        if not self.gate.stands:
            return GuardedSession(operation, self.context, b"", None)
        guarded = Guarded(operation, self.gate)
        return GuardedSession(guarded, self.context, guarded.challenge, None)


async def prepare_guarded(
    state: OpenState,
    owner: OpenState,
    item: KeyItem,
    demand: Demand,
    properties: object,
    params: ParamSet,
    context: object,
) -> GuardedSession:
    """Check the parameters of a session on a key with demands, in the documented order, and make its operation.

    Raises:
        BusinessError: 12000016 if the key needs the user to have a PIN and there is none; 12000001 for batch tags
            and values that do not fit the key, and for a nonce that the caller chose; 401 without
            HUKS_TAG_CHALLENGE_POS; otherwise as for all sessions.
    """
    numbers = params.numbers
    key = plan_key(numbers)
    known = item.guarded.find(key)
    if known is None:
        return await _prepare_anew(state, owner, item, demand, properties, params, context)
    # The check of these numbers is still valid, because the key and its rules do not change. Whether the user has
    # a PIN may have changed since, and the byte strings are new, so both are checked for each session.
    if demand.password:
        await owner.access.require_pin(owner.user_id)
    _check_bytes(demand, params)
    _keep_list(item, demand, properties, params, known)
    checked: _Checked = known.context
    return checked.begin(known, params.blobs)


def _keep_list(item: KeyItem, demand: Demand, properties: object, params: ParamSet, plan: Plan) -> None:
    """Remember the list, so that the next session with it skips these checks.

    Not if the key needs a PIN or there are byte strings that the operation ignores: both need a check each time.
    """
    if not demand.password and params.blobs.keys() <= used_bytes(params.numbers):
        item.guarded.keep_list(properties, params, plan)


async def _prepare_anew(
    state: OpenState,
    owner: OpenState,
    item: KeyItem,
    demand: Demand,
    properties: object,
    params: ParamSet,
    context: object,
) -> GuardedSession:
    numbers = params.numbers
    seconds = check_batch_tags(numbers)
    if demand.password:
        await owner.access.require_pin(owner.user_id)
    purpose, _ = check_named(numbers)
    # an operation of a batch may have any purpose of the key's batches
    needs_token = demand.needs_token(purpose if seconds is None else demand.batch)
    names_user = demand.secure_sign and purpose == _SIGN
    if names_user:
        refuse_bare_digest(numbers)
    position = 0
    if demand.needs_user:
        if demand.purposes is not None:
            check_refined_values(numbers)
        if needs_token:
            position = check_position(demand, numbers.get(_T.HUKS_TAG_CHALLENGE_POS))
    gate = Gate(
        owner.access,
        demand,
        bound_of(item.params),
        owner.user_id,
        position,
        needs_token=needs_token,
        names_user=names_user,
    )
    if seconds is not None:
        return _batch(state, owner, item, demand, gate, params, seconds)
    before = times_warned()
    checked = _Checked(gate, context)
    plan = item.plan(numbers, state.limits, checked, device=state.device)
    _check_bytes(demand, params)
    # a plan that warned of a weak algorithm is not kept, so that each session warns
    if times_warned() == before:
        item.guarded.keep(plan_key(numbers), plan)
        _keep_list(item, demand, properties, params, plan)
    return checked.begin(plan, params.blobs)


def _batch(
    state: OpenState,
    owner: OpenState,
    item: KeyItem,
    demand: Demand,
    gate: Gate,
    params: ParamSet,
    seconds: int,
) -> GuardedSession:
    purpose, _ = check_named(params.numbers)
    check_batch_purpose(item.params.numbers, purpose)
    _refuse_unnamed_signature(demand, purpose)
    level = storage_level(params)
    # what the policy permitted when the session was opened
    permitted = {purpose}

    def start(given: ParamSet) -> Operation:
        one = ParamSet(
            {tag: value for tag, value in given.numbers.items() if tag not in _OF_BATCHES},
            {tag: value for tag, value in given.blobs.items() if tag not in _OF_BATCHES},
        )
        wanted, _ = check_named(one.numbers)
        # Each operation names a purpose of its own, so it meets each check that a session for that purpose meets.
        if wanted not in permitted:
            if owner.keyrings.permissions.asks:
                ask_policy(owner, params, "initSession", item.alias, wanted, level)
            permitted.add(wanted)
        check_batch_purpose(item.params.numbers, wanted)
        _refuse_unnamed_signature(demand, wanted)
        if demand.purposes is not None:
            check_refined_values(one.numbers)
        plan = item.plan(one.numbers, state.limits, None, device=state.device)
        _check_bytes(demand, one)
        return plan.starter(plan.ready, one.blobs)

    deadline = state.table.clock() + seconds
    batch = Batch(gate, state.table.clock, deadline, start)
    return GuardedSession(batch, None, batch.challenge, deadline)


def _refuse_unnamed_signature(demand: Demand, purpose: int) -> None:
    """Refuse (12000001) signatures of a batch, which name nobody, with a key whose signatures name somebody."""
    if demand.secure_sign and purpose & _SIGN:
        raise BusinessError(
            12000001,
            "HUKS_TAG_KEY_SECURE_SIGN_TYPE: signatures of this key name who was authenticated, those of a batch name "
            "nobody; sign in a session without IS_BATCH_OPERATION (314)",
        )


def _check_bytes(demand: Demand, params: ParamSet) -> None:
    numbers = params.numbers
    refuse_empty_bytes(params.blobs, used_bytes(numbers))
    if (
        demand.purposes is not None
        and numbers.get(_T.HUKS_TAG_PURPOSE) == _ENCRYPT
        and numbers.get(_T.HUKS_TAG_BLOCK_MODE) in AUTHENTICATED_MODES
        and _T.HUKS_TAG_NONCE in params.blobs
    ):
        raise BusinessError(
            12000001,
            "HUKS_TAG_NONCE: a key with HUKS_TAG_KEY_AUTH_PURPOSE encrypts with nonces of its own; leave the tag "
            "out, and take the nonce from the end of the output",
        )
