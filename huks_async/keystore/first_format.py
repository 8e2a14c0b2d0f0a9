"""Sealed files of format 1: one AES-GCM message with its tag at the end.

offset  bytes  content
0       8   "huksenc" and the version, 1; these bytes are the associated data
8       12  nonce
20      n   ciphertext
20 + n  16  tag
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from huks_async.files.header import MAGIC
from huks_async.keys.items.aliases import check_alias
from huks_async.keystore.file_keys import find_key
from huks_async.keystore.session_functions import SessionFunctions
from huks_async.model.enums import HuksCipherMode, HuksKeyAlg, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike, HuksOptions, HuksParam, Options, parse_parameters
from huks_async.model.tags import HuksTag
from huks_async.runtime.workers import WorkerPool
from huks_async.sessions.spool import Spool

_HEADER = MAGIC + b"\x01"
_NONCE_BYTES, _TAG_BYTES = 12, 16
_START = len(_HEADER) + _NONCE_BYTES
SHORTEST = _START + _TAG_BYTES
"""Bytes of a file without content."""


async def open_first_format(
    keystore: SessionFunctions,
    pool: WorkerPool,
    alias: str,
    start: bytes,
    pieces: AsyncIterator[BytesLike],
    options: Options | None,
) -> AsyncGenerator[bytes, None]:
    """Open a file of format 1, of which `start` was read already, `SHORTEST` bytes unless the file is shorter.

    Yields nothing before all of the file is verified.

    A session needs the tag when it is opened, so the ciphertext waits in a spool until its end, where the tag is,
    has been read. The plaintext waits in another spool until the tag has been verified.

    Raises:
        BusinessError: 12000006 if the file was changed or was sealed for another key; 12000011 for an unknown
            alias; 12000004 if a temporary file cannot be written.
    """
    where = parse_parameters(options if options is not None else {"properties": []})
    alias = check_alias(alias)
    item = (await find_key(keystore, alias, where))[1]
    if len(start) < SHORTEST:
        raise BusinessError(12000006, "the sealed file is cut off: it ends in its first bytes")
    spool = Spool(pool)
    try:
        end = start[_START:]
        async for piece in pieces:
            end += piece
            await spool.add(end[:-_TAG_BYTES])
            end = end[-_TAG_BYTES:]
        await spool.add(end[:-_TAG_BYTES])
        tag = end[-_TAG_BYTES:]
        size = item.params.numbers.get(HuksTag.HUKS_TAG_KEY_SIZE)
        tags: dict[str, int | bytes] = {
            "ALGORITHM": HuksKeyAlg.HUKS_ALG_AES,
            "PURPOSE": HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT,
            "PADDING": 0,
            "BLOCK_MODE": HuksCipherMode.HUKS_MODE_GCM,
            **({} if size is None else {"KEY_SIZE": size}),
            "NONCE": start[len(_HEADER) : _START],
            "AE_TAG": tag,
            "ASSOCIATED_DATA": _HEADER,
        }
        session_options = HuksOptions(
            [
                *(HuksParam(HuksTag[f"HUKS_TAG_{name}"], value) for name, value in tags.items()),
                *where.to_params(),
            ]
        )
        async with (
            keystore.session(alias, session_options) as session,
            aclosing(session.stream(spool.release())) as parts,
        ):
            async for part in parts:
                yield part
    finally:
        await spool.aclose()
