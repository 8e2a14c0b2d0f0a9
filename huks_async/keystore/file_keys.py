"""The key of a sealed file: wrapped for keys of the keystore, and recovered with any one of them."""

from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Any, TypeAlias

from huks_async.files.header import (
    CHUNK_BYTES,
    FILE_KEY_BYTES,
    MAX_RECIPIENTS,
    SALT_BYTES,
    Header,
    Recipient,
    hint,
    make_header,
)
from huks_async.files.recipients import Session, new_salt, way_of
from huks_async.keys.items.aliases import check_alias, storage_level
from huks_async.keys.items.item import KeyItem
from huks_async.keystore.open_state import state_for
from huks_async.keystore.session_functions import SessionFunctions
from huks_async.model.errors import BusinessError
from huks_async.model.params import HuksOptions, Options, ParamSet, parse_parameters
from huks_async.model.showing import type_name
from huks_async.runtime.randomness import random_bytes
from huks_async.sessions.context import KeySession

ShowToken: TypeAlias = Callable[[str, KeySession, HuksOptions], Awaitable[bytes | None]]
"""Gives the auth token for a session on the key with this alias; None if that session needs no token."""

_CRYPTO_FAIL, _NOT_FOUND = 12000006, 12000011


async def new_file(
    keystore: SessionFunctions,
    alias: str | Sequence[str],
    options: Options | None = None,
    *,
    chunk_bytes: int = CHUNK_BYTES,
    show_token: ShowToken | None = None,
) -> tuple[Header, bytes]:
    """Make the header of a new file that any one of the given keys can open.

    Args:
        keystore: the keystore that holds the keys.
        alias: of one key, or of several.
        options: where the keys are, if not at the default storage level or with another user.
        chunk_bytes: plaintext of a chunk.
        show_token: called once for each key that is bound to a user. Without it such keys are refused.

    Returns:
        the header and the file's key.

    Raises:
        BusinessError: 12000011 for an unknown alias; 12000001 for a key that cannot seal files; 401 for no
            alias, or too many; what `initSession` raises for a key that does not allow it.
    """
    aliases = _aliases(alias)
    where = parse_parameters(options if options is not None else {"properties": []})
    file_key, salt = random_bytes(FILE_KEY_BYTES), random_bytes(SALT_BYTES)
    recipients = []
    for each in aliases:
        namespace, item = await find_key(keystore, each, where)
        way, secret_salt = way_of(each, item.params.numbers), new_salt()
        output = await _run(keystore, each, way.hiding(file_key, salt, secret_salt), where, show_token)
        body = way.hidden(file_key, salt, secret_salt, output)
        recipients.append(Recipient(way.number, way.digest, 0, hint(salt, namespace, each), body))
    return make_header(file_key, salt, recipients, chunk_bytes), file_key


async def find_file_key(
    keystore: SessionFunctions,
    alias: str,
    header: Header,
    options: Options | None = None,
    *,
    show_token: ShowToken | None = None,
) -> bytes:
    """Recover the key of a file with a key of the keystore, and verify the header with it.

    `show_token` is called once if the file names the key's alias. If the key was renamed since, it is called once
    for each recipient that is tried.

    Raises:
        BusinessError: 12000011 for an unknown alias, and if no recipient of the file is that key; 12000006 if the
            header was changed, or the key of that alias has been replaced since; 12000001 for a key that cannot
            seal files; what `initSession` raises for a key that does not allow it.
    """
    where = parse_parameters(options if options is not None else {"properties": []})
    alias = check_alias(alias)
    namespace, item = await find_key(keystore, alias, where)
    way = way_of(alias, item.params.numbers)
    own = hint(header.salt, namespace, alias)
    # Recipients whose hint names this alias are tried first. The others follow, because the key may have been
    # moved or renamed since the file was sealed.
    candidates = sorted(filter(way.fits, header.recipients), key=lambda each: each.hint != own)
    meant = any(each.hint == own for each in header.recipients)
    for recipient in candidates:
        try:
            output = await _run(keystore, alias, way.finding(recipient, header.salt), where, show_token)
        except BusinessError as error:
            # Only a failed decryption means that the recipient is another key. A missing authentication or a
            # refusal by the policy must reach the caller.
            if error.code != _CRYPTO_FAIL:
                raise
            continue
        file_key = way.found(recipient, header.salt, output)
        if file_key is None:
            continue
        if header.belongs_to(file_key):
            return file_key
        meant = True
    if meant:
        raise BusinessError(
            _CRYPTO_FAIL,
            f"the header of the sealed file does not belong to the key {alias!r}: it was changed, or the key was "
            "replaced since",
        )
    raise BusinessError(
        _NOT_FOUND,
        f"the file was not sealed for the key {alias!r}: none of its {len(header.recipients)} recipients is that key",
    )


def _aliases(alias: Any) -> list[str]:
    kind = type(alias)  # `isinstance` would ask the value, which may raise
    if issubclass(kind, str):
        return [check_alias(alias)]
    if not issubclass(kind, Sequence) or issubclass(kind, (bytes, bytearray, memoryview)):
        raise BusinessError(401, f"alias must be a str or a list of them, got {type_name(alias)}")
    # counted before any is looked at, because a list of a caller's may have any length
    listed = list(islice(alias, MAX_RECIPIENTS + 1))
    if not 1 <= len(listed) <= MAX_RECIPIENTS:
        count = "more" if listed else "none"
        raise BusinessError(401, f"alias: a file is sealed for 1 to {MAX_RECIPIENTS} keys, got {count}")
    return list(dict.fromkeys(map(check_alias, listed)))


async def find_key(keystore: SessionFunctions, alias: str, where: ParamSet) -> tuple[str, KeyItem]:
    """The namespace and the item of an alias."""
    # No purposes are named here: the session that follows is checked with its own.
    owner = state_for(keystore._open_state(), where, "initSession", alias, purposes=0)
    level = storage_level(where)
    item = owner.shelf.ready(alias, level) or await owner.shelf.find(alias, level)
    return owner.shelf.namespace, item


async def _run(
    keystore: SessionFunctions,
    alias: str,
    session: Session,
    where: ParamSet,
    show_token: ShowToken | None,
) -> bytes:
    options = HuksOptions(properties=[*session.properties, *where.to_params()])
    async with keystore.session(alias, options) as running:
        token = None if show_token is None else await show_token(alias, running, options)
        if session.data is None:
            return await running.finish(session.last, token=token)
        first = await running.update(session.data, token=token)
        return first + await running.finish(session.last)
