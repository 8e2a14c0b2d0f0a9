"""Whole messages in one call: extensions of the documented functions, with the same keys and rules.

Longer than other files: half of it is what the docstrings of ten public functions say, and each function has its step that
finds or prepares a key below.
"""

from collections.abc import Sequence
from threading import get_ident
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from huks_async.crypto import engine
from huks_async.crypto.caller_warnings import times_warned
from huks_async.crypto.family import Starter
from huks_async.crypto.operation import Operation
from huks_async.keys.items.aliases import DEFAULT_LEVEL, check_alias, storage_level
from huks_async.keys.items.item import KeyItem
from huks_async.keys.lifecycle import check_fate, refuse_one_stage
from huks_async.keystore.open_state import KeystoreFunctions, OpenState, state_for, state_of_named
from huks_async.messages import uses
from huks_async.messages.header import HEADER_BYTES
from huks_async.messages.uses import Use
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.memory import memory_for, refuse_out_of_memory
from huks_async.model.params import BytesLike, ParamSet, as_buffer, as_bytes
from huks_async.model.showing import type_name
from huks_async.model.tags import HuksTag
from huks_async.runtime.randomness import random_bytes

if TYPE_CHECKING:
    # each format is loaded by the first message of its kind, as algorithms are by their first use
    from huks_async.messages.deterministic import DeterministicSealer
    from huks_async.messages.symmetric import Opener, Sealer

DATA_KEY_BYTES = 32
MAX_CONTEXT_BYTES = 1024 * 1024
"""The longest context of a message. It is meant to be a name, and is processed as a whole."""
MOST_OVERHEAD = 64 * 1024
"""More bytes than sealing adds to any message."""

Alias: TypeAlias = str | Sequence[str]
PublicKeys: TypeAlias = BytesLike | Sequence[BytesLike]

_INFO, _IV = int(HuksTag.HUKS_TAG_INFO), int(HuksTag.HUKS_TAG_IV)
_LEVEL = int(HuksTag.HUKS_TAG_AUTH_STORAGE_LEVEL)
_ILLEGAL, _NOT_SUPPORTED, _WRONG, _CRYPTO_FAIL = 401, 12000001, 12000003, 12000006
_NO_BLOBS: dict[int, bytes] = {}
# CMAC starts its chain with zeros, and the parameters of a session must give that IV
_ZERO_IV: dict[int, bytes] = {_IV: bytes(8)}
_CMAC, _ML_KEM = int(HuksKeyAlg.HUKS_ALG_CMAC), int(HuksKeyAlg.HUKS_ALG_ML_KEM)
_ML_KEM_SEED_BYTES = 64
_MOST_LENGTHS = 32


class MessageFunctions(KeystoreFunctions):
    """Seal, sign and authenticate whole messages, and derive keys, each with one call.

    Every function does what a session of the key does. So a key serves only what it was made for, and a policy is
    asked as it is about that session (`initSession`; for an ML-KEM key `decapsulate`). The formats of sealed
    messages are in docs/message-formats.md. `context` names what a message belongs to (a row, a tenant, a purpose):
    it is authenticated but not stored in the message, and `unseal` must be given the same. `level` is the key's
    HUKS_TAG_AUTH_STORAGE_LEVEL. A call that is cancelled leaves nothing behind.

    All raise 12000011 for an unknown alias, 401 for arguments of a wrong type or more data than
    `Limits.max_call_bytes`, 401 or 12000003 for a key that was made for something else, and 12000001 for a key that
    is bound to a user's authentication, because only sessions accept an auth token.
    """

    async def seal(
        self, alias: str, data: BytesLike, context: BytesLike = b"", *, level: int = DEFAULT_LEVEL
    ) -> bytes:
        """Encrypt and authenticate a message with an AES or SM4 key made for ENCRYPT and GCM.

        Args:
            alias: the key.
            data: the message, within `Limits.max_call_bytes`.
            context: what the message belongs to (a row, a tenant, a purpose), at most 1 MiB: authenticated and not
                in the message, and `unseal` must be given the same.
            level: HUKS_TAG_AUTH_STORAGE_LEVEL of the key.

        Returns:
            the message for `unseal`, 84 bytes longer than the data. It reveals the length of the data and nothing
            else about it; sealing the same data again gives another message.
        """
        state = self._direct or self._open_state()
        if get_ident() != state.thread:
            state.owner.check("this keystore")
        # A function in a slot is slower to call in one step.
        recall = state.recall_use
        sealer: Sealer | None = recall(alias, level, "seal")
        if (
            sealer is not None
            and type(data) is bytes
            and type(context) is bytes
            and len(data) + len(context) <= sealer.at_once
        ):
            if perf_counter() > state.dispatcher.turn_ends and state.dispatcher.is_due():
                await state.dispatcher.give_turn()
            try:
                return sealer.seal(data, context)
            except Exception as error:
                refuse_out_of_memory(error, "a message")
                raise
        if sealer is None:
            sealer = _sealer(state, await _find(state, alias, level, uses.SEAL), uses.SEAL)
        return await _seal(state, sealer, data, context)

    async def unseal(
        self, alias: Alias, sealed: BytesLike, context: BytesLike = b"", *, level: int = DEFAULT_LEVEL
    ) -> bytes:
        """Open what `seal`, `data_key`, `seal_deterministic` or `seal_to` made.

        Args:
            alias: the key, made for DECRYPT (AES, SM4), AGREE (X25519, ECC) or UNWRAP (ML-KEM); for a message to a
                pair of public keys, both aliases.
            sealed: the message.
            context: as it was given when the message was made.
            level: HUKS_TAG_AUTH_STORAGE_LEVEL of the key, or of both.

        Raises:
            BusinessError: 12000006 if message, context and key do not belong together, whichever of them is
                wrong.
        """
        state = self._direct or self._open_state()
        if get_ident() != state.thread:
            state.owner.check("this keystore")
        recall = state.recall_use
        opener: Opener | None = recall(alias, level, "unseal")  # type: ignore[arg-type]
        if type(sealed) is not bytes:
            given = as_buffer(sealed, "sealed")
            state.driver.check_size(given, MOST_OVERHEAD)  # before it is copied
            sealed = await state.driver.copy(given)
        if type(context) is not bytes:
            context = as_bytes(context, "context")
        if opener is None:
            items = [await _find_to_open(state, each, level) for each in _one_or_two(alias, "alias")]
            if len(items) > 1 or uses.opens_by_agreement(items[0].params.numbers):
                return await _open_by_agreement(state, items, sealed, context)
            opener = _opener(state, items[0])
        if len(sealed) + len(context) > opener.at_once:
            _check_context(context)
            operation, body, overhead = opener.begin(sealed, context)
            return await state.driver.finish_alone(operation, body, overhead=overhead)
        if perf_counter() > state.dispatcher.turn_ends and state.dispatcher.is_due():
            await state.dispatcher.give_turn()
        try:
            return opener.open(sealed, context)
        except Exception as error:
            refuse_out_of_memory(error, "a message")
            raise

    async def data_key(
        self, alias: str, context: BytesLike = b"", *, level: int = DEFAULT_LEVEL
    ) -> tuple[bytes, bytes]:
        """Make a fresh random key for data that is encrypted elsewhere.

        Returns:
            the key in the clear, 32 bytes, to be used and forgotten; and the same key wrapped, to be kept beside
            the data: `unseal` recovers the key from it. The key `alias` is as for `seal`.
        """
        state = self._open_state()
        sealer = _sealer(state, await _find(state, alias, level, uses.DATA_KEY), uses.DATA_KEY)
        plain = random_bytes(DATA_KEY_BYTES)
        return plain, await _seal(state, sealer, plain, context)

    async def seal_deterministic(
        self, alias: str, data: BytesLike, context: BytesLike = b"", *, level: int = DEFAULT_LEVEL
    ) -> bytes:
        """Encrypt and authenticate a message so that the same data, key and context give the same bytes (AES-SIV).

        For look-ups of encrypted values. Anyone who sees two such messages of one context learns whether their data
        is the same; use `seal` if that matters, and if the data has few possible values.

        Args:
            alias: an AES key made for ENCRYPT and GCM.
            data: at most 256 KiB.
            context: what the message belongs to (a row, a tenant, a purpose), at most 1 MiB: authenticated and not
                in the message, and `unseal` must be given the same.
            level: HUKS_TAG_AUTH_STORAGE_LEVEL of the key.

        Returns:
            the message for `unseal`, 56 bytes longer than the data.
        """
        state = self._open_state()
        item = await _find(state, alias, level, uses.SEAL_DETERMINISTIC)
        data, context = as_buffer(data, "data"), as_bytes(context, "context")
        _check_context(context)
        state.driver.check_size(data)
        sealer = _deterministic(state, item)
        if len(data) + len(context) > sealer.at_once:
            return await state.driver.finish_alone(sealer.begin(context), data)
        if perf_counter() > state.dispatcher.turn_ends and state.dispatcher.is_due():
            await state.dispatcher.give_turn()
        with memory_for("a message"):
            return sealer.seal(data, context)

    async def seal_to(self, public_key: PublicKeys, data: BytesLike, context: BytesLike = b"") -> bytes:
        """Encrypt a message for the holder of a private key (HPKE, RFC 9180). Needs no key of this keystore.

        Args:
            public_key: SubjectPublicKeyInfo (DER) of X25519, P-256, P-384, P-521, ML-KEM-768 or ML-KEM-1024, as
                `exportKeyItem` gives it (of X25519 that is 32 raw bytes). A pair of ML-KEM-768 and X25519, or of
                ML-KEM-1024 and P-384: the message is safe as long as one of both is.
            data: at most 1 MiB.
            context: what the message belongs to, at most 1 MiB: authenticated and not in the message, and `unseal`
                must be given the same.

        Returns:
            the message for `unseal` with the private key. It does not prove who made it: sign it if that matters.

        Raises:
            BusinessError: 401 for bytes that are not a public key; 12000003 for a key of another kind; 12000006 for a
                point of X25519 with which everybody agrees on the same secret.
        """
        from huks_async.messages import recipients  # late: HPKE, for those who use it

        state = self._open_state()
        data, context = as_buffer(data, "data"), as_bytes(context, "context")
        _check_context(context)
        if len(data) > recipients.MAX_BYTES:
            raise BusinessError(
                _ILLEGAL,
                f"data has {len(data)} bytes, seal_to takes {recipients.MAX_BYTES}; seal more under a key of its own, "
                "and that key to the recipient",
            )
        sender = recipients.Sender(
            [as_bytes(each, "public_key") for each in _one_or_two(public_key, "public_key")]
        )
        return await state.driver.finish_alone(sender.begin(context), data)

    async def sign(self, alias: str, data: BytesLike, *, level: int = DEFAULT_LEVEL) -> bytes:
        """Sign a message with a key made for SIGN (RSA, ECC, Ed25519, SM2, DSA, ML-DSA).

        Digest, padding and salt are those that the key was made with. If the key leaves them open, they are SHA-256
        (SHA-384 for P-384, SHA-512 for P-521, SM3 for SM2), and for RSA also PSS with a salt as long as the digest.
        A key made with HUKS_DIGEST_NONE signs a hash value that the caller computed.

        Returns:
            the signature, in the form in which a session returns it: DER for ECDSA, SM2 and DSA.
        """
        state = self._direct or self._open_state()
        if get_ident() != state.thread:
            state.owner.check("this keystore")
        recall = state.recall_use
        signer: _Signer | None = recall(alias, level, "sign")
        if signer is None:
            signer = _signer(state, await _find(state, alias, level, uses.SIGN))
        if type(data) is not bytes:
            data = as_buffer(data, "data")
        if len(data) <= signer.at_once:
            if perf_counter() > state.dispatcher.turn_ends and state.dispatcher.is_due():
                await state.dispatcher.give_turn()
            return state.driver.call_once(signer.small, signer.small.finish, data)
        return await state.driver.finish_alone(signer.starter(signer.ready, _NO_BLOBS), data)

    async def verify(
        self, alias: str, data: BytesLike, signature: BytesLike, *, level: int = DEFAULT_LEVEL
    ) -> None:
        """Check a signature that `sign`, a session or another program made, with a key made for VERIFY.

        Raises:
            BusinessError: 12000006 if signature, data and key do not belong together.
        """
        state = self._open_state()
        item = await _find(state, alias, level, uses.VERIFY)
        data, given = as_buffer(data, "data"), as_bytes(signature, "signature")
        operation = _starter(state, item, uses.VERIFY)(item.ready, _NO_BLOBS)
        await state.driver.update_alone(operation, data)
        try:
            await state.driver.finish_alone(operation, given)
        except BusinessError as error:
            if error.code not in (_ILLEGAL, _WRONG, _CRYPTO_FAIL):
                raise
            raise BusinessError(_CRYPTO_FAIL, error.message) from None

    async def mac(self, alias: str, data: BytesLike, *, level: int = DEFAULT_LEVEL) -> bytes:
        """Give the authentication code of a message under a key made for MAC (HMAC, SM3, CMAC, AES, DES, 3DES).

        The digest is the key's, or SHA-256 if the key leaves it open.
        """
        state = self._open_state()
        return await _mac(state, await _find(state, alias, level, uses.MAC), uses.MAC, data)

    async def check_mac(
        self, alias: str, data: BytesLike, tag: BytesLike, *, level: int = DEFAULT_LEVEL
    ) -> None:
        """Check a code that `mac` or another program made, in constant time.

        Raises:
            BusinessError: 12000006 if code, data and key do not belong together, and for a truncated code.
        """
        # late: it brings the system's OpenSSL along, beside that of cryptography
        from hmac import compare_digest

        state = self._open_state()
        item = await _find(state, alias, level, uses.CHECK_MAC)
        given = as_bytes(tag, "tag")
        if not compare_digest(await _mac(state, item, uses.CHECK_MAC, data), given):
            raise BusinessError(_CRYPTO_FAIL, "code, data and key do not belong together")

    async def derive(
        self, alias: str, context: BytesLike, length: int, *, level: int = DEFAULT_LEVEL
    ) -> bytes:
        """Derive secret bytes from a key made for DERIVE: a pseudo-random function of the context.

        It is HKDF (RFC 5869) with the key's digest, or SHA-256 if the key leaves that open, without salt, with the
        context as info, so other programs that have the key derive the same bytes. A shorter result is the
        beginning of a longer one for the same context.

        Args:
            alias: an AES, DES or 3DES key.
            context: what the bytes are for; another context gives unrelated bytes.
            length: in bytes, at most 255 times the digest's.
            level: of the key.

        Raises:
            BusinessError: 12000006 for a length beyond that; 401 for one that is not between 1 and the most that
                HUKS_TAG_DERIVE_KEY_SIZE takes; 12000012 for a key made with HUKS_STORAGE_ONLY_USED_IN_HUKS, whose
                results a session stores.
        """
        state = self._open_state()
        item = await _find(state, alias, level, uses.DERIVE)
        info = as_bytes(context, "context")
        _check_context(info)
        if type(length) is bool or not issubclass(type(length), int):
            raise BusinessError(_ILLEGAL, f"length must be an int, got {type_name(length)}")
        operation = _starter(state, item, uses.DERIVE, int(length))(item.ready, {_INFO: info})
        await state.driver.update_alone(operation, b"")
        return operation.finish(b"")


# --- keys ---------------------------------------------------------------------------------------


async def _find(state: OpenState, alias: Any, level: Any, use: Use) -> KeyItem:
    """Find the key, after asking the policy whether the caller may open the session that the function stands for."""
    checked, where = _name(alias, level)
    owner = state_for(state, where, "initSession", checked, use.purpose)
    return await _take(owner, checked, where)


async def _find_to_open(state: OpenState, alias: Any, level: Any) -> KeyItem:
    """Find the key to open a message with. Its algorithm decides which call the policy is asked about."""
    checked, where = _name(alias, level)
    try:
        item = await _take(state_of_named(state, where), checked, where)
    except BusinessError:
        # Before the caller learns that the key is absent or damaged, the policy is asked whether the caller may
        # open messages at all; if not, its refusal is raised instead.
        state_for(state, where, "initSession", checked, uses.UNSEAL.purpose)
        raise
    function, purpose = uses.opening_call(item.params.numbers)
    state_for(state, where, function, checked, purpose)
    return item


def _name(alias: Any, level: Any) -> tuple[str, ParamSet]:
    checked = check_alias(alias, "alias")
    if type(level) is bool or not issubclass(type(level), int):
        raise BusinessError(_ILLEGAL, f"level must be an int, got {type_name(level)}")
    return checked, ParamSet({_LEVEL: int(level)}, {})


async def _take(owner: OpenState, alias: str, where: ParamSet) -> KeyItem:
    level = storage_level(where)
    item = owner.shelf.ready(alias, level) or await owner.shelf.find(alias, level)
    # Whatever is kept with a key to speed up its next message was made after this check, so it holds there, too.
    refuse_one_stage(item)
    return item


def _one_or_two(given: Any, what: str) -> Sequence[Any]:
    """What was given, or both of a pair."""
    if type(given) not in (list, tuple):
        return (given,)
    if len(given) != 2:
        raise BusinessError(_ILLEGAL, f"{what} is one, or a list of two, got {len(given)}")
    return tuple(given)


def _check_context(context: bytes) -> None:
    if len(context) > MAX_CONTEXT_BYTES:
        raise BusinessError(
            _ILLEGAL,
            f"context has {len(context)} bytes, accepted {MAX_CONTEXT_BYTES}: give a name or a hash of what it is",
        )


def _starter(state: OpenState, item: KeyItem, use: Use, length: int = 0) -> Starter:
    """Let the key authorise a function as it authorises a session; the result serves all later calls of it."""
    name = (use.name, length) if length else use.name
    known: Starter | None = item.messages.get(name)
    if known is not None:
        return known
    before = times_warned()
    starter = _authorise(state, item, use, length)
    if times_warned() == before:  # what warned of a weak algorithm is not kept, so that each call warns
        if len(item.messages) >= _MOST_LENGTHS:
            item.messages.clear()
        item.messages[name] = starter
    return starter


def _authorise(state: OpenState, item: KeyItem, use: Use, length: int = 0) -> Starter:
    numbers = item.params.numbers
    session = uses.session_numbers(item.alias, numbers, use, length)
    try:
        starter = engine.prepare(numbers, item.material, session, state.limits, device=state.device)
    except BusinessError as error:
        raise uses.explained(error, item.alias, use) from None
    if use.gives_secret:
        # what a session's finish checks, too, before it gives a derived secret out
        check_fate(item.params, stored=False)
    return starter


class _Signer(NamedTuple):
    """What each signature with a key needs, made once.

    Args:
        starter: makes the operation for a long message.
        ready: the key.
        small: the operation for all short messages, used for one after the other.
        at_once: the most bytes that a short message has.
    """

    starter: Starter
    ready: Any
    small: Operation
    at_once: int


def _signer(state: OpenState, item: KeyItem) -> _Signer:
    known: _Signer | None = item.messages.get("sign")
    if known is not None:
        return known
    before = times_warned()
    starter = _authorise(state, item, uses.SIGN)
    small = starter(item.ready, _NO_BLOBS)
    at_once = state.driver.most_at_once(small) if small.reusable else -1
    made = _Signer(starter, item.ready, small, at_once)
    if times_warned() == before:
        item.messages["sign"] = made
    return made


def _sealer(state: OpenState, item: KeyItem, use: Use) -> "Sealer":
    known = item.messages.get(use.name)
    if known is None:
        from huks_async.messages.symmetric import KINDS, Sealer, check_library

        _authorise(state, item, use)
        material = item.material
        check_library(material.algorithm)
        kind = KINDS[material.algorithm][use is uses.DATA_KEY]
        known = Sealer(material.algorithm, material.secret, kind, state.limits.max_call_bytes)
        item.messages[use.name] = known
    made: Sealer = known
    return made


def _opener(state: OpenState, item: KeyItem) -> "Opener":
    known = item.messages.get("unseal")
    if known is None:
        from huks_async.messages.symmetric import Opener, check_library

        _authorise(state, item, uses.UNSEAL)
        material = item.material
        check_library(material.algorithm)
        known = Opener(material.algorithm, material.secret, state.limits.max_call_bytes)
        item.messages["unseal"] = known
    made: Opener = known
    return made


def _deterministic(state: OpenState, item: KeyItem) -> "DeterministicSealer":
    known = item.messages.get(uses.SEAL_DETERMINISTIC.name)
    if known is None:
        from huks_async.messages.deterministic import DeterministicSealer

        _authorise(state, item, uses.SEAL_DETERMINISTIC)
        known = DeterministicSealer(item.material.secret)
        item.messages[uses.SEAL_DETERMINISTIC.name] = known
    made: DeterministicSealer = known
    return made


def _private_of(item: KeyItem) -> Any:
    """The private key as an object of the `cryptography` library.

    Raises:
        BusinessError: 401 for a public key; 12000001 for one of ML-KEM that was imported in its expanded form.
    """
    private, material = item.ready.private, item.material
    if private is None:
        raise BusinessError(
            _ILLEGAL, f"unseal: key {item.alias!r} has no private half; messages are opened where that is"
        )
    if material.algorithm == _ML_KEM and len(material.secret) != _ML_KEM_SEED_BYTES:
        raise BusinessError(
            _NOT_SUPPORTED,
            f"unseal: key {item.alias!r} was imported in ML-KEM's expanded form, and HPKE takes the seed, which that "
            "does not have; a key that generateKeyItem makes has it",
        )
    return private


# --- work ---------------------------------------------------------------------------------------


async def _seal(state: OpenState, sealer: "Sealer", data: BytesLike, context: BytesLike) -> bytes:
    if type(data) is not bytes:
        data = as_buffer(data, "data")
    if type(context) is not bytes:
        context = as_bytes(context, "context")
    if len(data) + len(context) > sealer.at_once:
        _check_context(context)
        return await state.driver.finish_alone(sealer.begin(context), data)
    if perf_counter() > state.dispatcher.turn_ends and state.dispatcher.is_due():
        await state.dispatcher.give_turn()
    with memory_for("a message"):
        return sealer.seal(data, context)


async def _mac(state: OpenState, item: KeyItem, use: Use, data: BytesLike) -> bytes:
    starter = _starter(state, item, use)
    blobs = _ZERO_IV if item.material.algorithm == _CMAC else _NO_BLOBS
    return await state.driver.finish_alone(starter(item.ready, blobs), as_buffer(data, "data"))


async def _open_by_agreement(state: OpenState, items: list[KeyItem], sealed: bytes, context: bytes) -> bytes:
    from huks_async.messages import recipients

    for item in items:
        uses.check_private(item.alias, item.params.numbers)
    _check_context(context)
    recipient = recipients.Recipient([_private_of(item) for item in items])
    operation = recipient.begin(sealed, context)
    body = memoryview(sealed)[HEADER_BYTES:]
    return await state.driver.finish_alone(operation, body, overhead=recipient.overhead)
