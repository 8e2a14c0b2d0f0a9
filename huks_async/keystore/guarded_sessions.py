"""Opening sessions on keys that demand something before they are used. Most services have none."""

from itertools import chain
from typing import NamedTuple

from huks_async.access.control import Bound, bound_of
from huks_async.access.demand import Demand, check_refined_values
from huks_async.access.gate import Gate, check_position
from huks_async.access.tokens import CHALLENGE_BYTES
from huks_async.crypto.caller_warnings import times_warned
from huks_async.crypto.operation import Operation
from huks_async.crypto.rules.authorise import check_batch_purpose, check_batch_tags, check_named
from huks_async.crypto.rules.empty_bytes import refuse_empty_bytes, used_bytes
from huks_async.keys.items.item import KeyItem
from huks_async.keystore.open_state import OpenState
from huks_async.model.enums import HuksCipherMode, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag, InnerTag
from huks_async.runtime.randomness import random_bytes
from huks_async.sessions.guarded import Batch, Guarded

_T, _I = HuksTag, InnerTag
_SIGN, _ENCRYPT = HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN, HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT
_AEAD = (HuksCipherMode.HUKS_MODE_GCM, HuksCipherMode.HUKS_MODE_CCM)
_OF_BATCHES = frozenset({_I.IS_BATCH_OPERATION, _I.BATCH_OPERATION_TIMEOUT, _T.HUKS_TAG_AUTH_TOKEN})


class GuardedSession(NamedTuple):
    """A session that is ready to be entered into the table.

    Attributes:
        operation: with its gate.
        context: as for other sessions.
        challenge: for the handle.
        deadline: of a batch session, on the clock of the table; None for others.
    """

    operation: Operation
    context: object
    challenge: bytes
    deadline: float | None


async def prepare_guarded(
    state: OpenState, owner: OpenState, item: KeyItem, demand: Demand, params: ParamSet, context: object
) -> GuardedSession:
    """Check the parameters of a session on a key with demands, in the documented order, and make its operation.

    Raises:
        BusinessError: 12000016 where the user has no PIN and the key needs one; 12000001 for batch tags and values that
            the key does not go with, and for a nonce of the caller's; 401 without HUKS_TAG_CHALLENGE_POS; otherwise as
            for all sessions.
    """
    numbers = params.numbers
    key = tuple(chain.from_iterable(numbers.items()))
    known = item.prepared.find(key)
    if known is None:
        return await _prepare_anew(state, owner, item, demand, params, context)
    # what was checked once for these numbers holds; what others may have changed since is asked again
    if demand.password:
        await owner.access.require_pin(owner.user_id)
    checked: _Checked = known.context
    _check_bytes(demand, params)
    operation = known.starter(known.ready, params.blobs)
    return _behind_gate(owner, demand, checked, operation)


class _Checked(NamedTuple):
    """What the numbers of a session came to."""

    bound: Bound
    position: int
    needs_token: bool
    names_user: bool
    context: object


async def _prepare_anew(
    state: OpenState, owner: OpenState, item: KeyItem, demand: Demand, params: ParamSet, context: object
) -> GuardedSession:
    numbers = params.numbers
    seconds = check_batch_tags(numbers)
    if demand.password:
        await owner.access.require_pin(owner.user_id)
    purpose, _ = check_named(numbers)
    needs_token = demand.needs_token(purpose)
    position = 0
    if demand.needs_user:
        if demand.purposes is not None:
            check_refined_values(numbers)
        if needs_token:
            position = check_position(demand, numbers.get(_T.HUKS_TAG_CHALLENGE_POS))
    names_user = demand.secure_sign and purpose == _SIGN
    checked = _Checked(bound_of(item.params), position, needs_token, names_user, context)
    if seconds is not None:
        return _batch(state, owner, item, demand, checked, purpose, seconds)
    before = times_warned()
    plan = item.plan(numbers, state.limits, checked, device=state.device)
    _check_bytes(demand, params)
    if times_warned() == before:  # weak algorithms warn each time
        item.prepared.keep(tuple(chain.from_iterable(numbers.items())), plan)
    return _behind_gate(owner, demand, checked, plan.starter(plan.ready, params.blobs))


def _gate(owner: OpenState, demand: Demand, checked: _Checked) -> Gate:
    challenge = random_bytes(CHALLENGE_BYTES)
    return Gate(owner.access, demand, checked.bound, owner.user_id, challenge, checked.position)


def _behind_gate(owner: OpenState, demand: Demand, checked: _Checked, operation: Operation) -> GuardedSession:
    needs_token, names_user = checked.needs_token, checked.names_user
    if not (needs_token or names_user or demand.password):
        return GuardedSession(operation, checked.context, b"", None)
    gate = _gate(owner, demand, checked)
    guarded = Guarded(operation, gate, needs_token=needs_token, names_user=names_user)
    return GuardedSession(guarded, checked.context, gate.challenge if needs_token else b"", None)


def _batch(
    state: OpenState,
    owner: OpenState,
    item: KeyItem,
    demand: Demand,
    checked: _Checked,
    purpose: int,
    seconds: int,
) -> GuardedSession:
    check_batch_purpose(item.params.numbers, purpose)

    def start(given: ParamSet) -> tuple[Operation, bool]:
        one = ParamSet(
            {tag: value for tag, value in given.numbers.items() if tag not in _OF_BATCHES},
            {tag: value for tag, value in given.blobs.items() if tag not in _OF_BATCHES},
        )
        wanted, _ = check_named(one.numbers)
        check_batch_purpose(item.params.numbers, wanted)
        plan = item.plan(one.numbers, state.limits, None, device=state.device)
        _check_bytes(demand, one)
        return plan.starter(plan.ready, one.blobs), demand.needs_token(wanted)

    gate = _gate(owner, demand, checked)
    deadline = state.table.clock() + seconds
    challenge = gate.challenge if checked.needs_token else b""
    return GuardedSession(Batch(gate, state.table.clock, deadline, start), None, challenge, deadline)


def _check_bytes(demand: Demand, params: ParamSet) -> None:
    numbers = params.numbers
    refuse_empty_bytes(params.blobs, used_bytes(numbers))
    if (
        demand.purposes is not None
        and numbers.get(_T.HUKS_TAG_PURPOSE) == _ENCRYPT
        and numbers.get(_T.HUKS_TAG_BLOCK_MODE) in _AEAD
        and _T.HUKS_TAG_NONCE in params.blobs
    ):
        raise BusinessError(
            12000001,
            "HUKS_TAG_NONCE: a key with HUKS_TAG_KEY_AUTH_PURPOSE encrypts with nonces of its own; leave the tag "
            "out, and take the nonce from the end of the output",
        )
