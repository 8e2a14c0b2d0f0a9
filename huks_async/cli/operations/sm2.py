"""SM2 in `huks encrypt` and `huks decrypt`: one bare ciphertext, in the form of the other side."""

import io
from collections.abc import Iterable
from typing import Annotated, Literal, TypeAlias

from cyclopts import Parameter

import huks_async
from huks_async.cli.operations.pump import pump
from huks_async.cli.shell.console import CommandError
from huks_async.cli.shell.descriptors import SEGMENT
from huks_async.cli.shell.files import segments
from huks_async.cli.words.authentication import UsePlace
from huks_async.cli.words.parameters import Tags, options
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits

_CRYPTO_FAIL = 12000006

Form: TypeAlias = Annotated[
    Literal["der", "c1c3c2", "c1c2c3"] | None,
    Parameter(
        name="--sm2-form",
        help="Form of an SM2 ciphertext: der (default), or its parts one after another: c1c3c2 (GB/T 32918) or "
        "c1c2c3 (older software). Written with 04 in front of the point, read with and without.",
    ),
]
_ORDERS: dict[str, Literal["C1C3C2", "C1C2C3"]] = {"c1c3c2": "C1C3C2", "c1c2c3": "C1C2C3"}


def is_sm2(algorithm: object, form: str | None, alias: str) -> bool:
    """Whether a key of this algorithm is one of SM2.

    Raises:
        CommandError: it is not, and a form of SM2 was asked for.

    """
    if algorithm == HuksKeyAlg.HUKS_ALG_SM2:
        return True
    if form is not None:
        raise CommandError(f"--sm2-form is for SM2 keys; the key {alias!r} is of another algorithm")
    return False


async def encrypt(
    keystore: "huks_async.Keystore",
    alias: str,
    tags: Tags,
    source: io.FileIO,
    form: str | None,
    place: UsePlace,
) -> bytes:
    """The ciphertext of a whole input."""
    made = bytearray()
    await pump(keystore, alias, options(**tags), segments(source), made.extend, place=place)
    order = _ORDERS.get(form or "")
    return bytes(made) if order is None else huks_async.sm2_ciphertext_to_raw(made, order)


async def decrypt(
    keystore: "huks_async.Keystore",
    alias: str,
    tags: Tags,
    pieces: Iterable[bytes],
    form: str | None,
    place: UsePlace,
) -> bytes:
    """The plaintext of a whole input.

    Raises:
        CommandError: it is too long for one ciphertext, or cannot be decrypted.
        BusinessError: 401 for what is not of the form.

    """
    from huks_async.crypto.sm2.operations import MAX_OVERHEAD  # late: of all files few are of SM2

    most = Limits().max_collected_bytes + MAX_OVERHEAD
    given = bytearray()
    for piece in pieces:
        given += piece
        if len(given) > most:
            raise CommandError("the input is longer than an SM2 ciphertext that one session takes")
    order = _ORDERS.get(form or "")
    data = bytes(given) if order is None else huks_async.sm2_ciphertext_from_raw(given, order)
    made = bytearray()
    # one call takes less than a session, and on a device much less
    parts = (data[start : start + SEGMENT] for start in range(0, len(data), SEGMENT))
    try:
        await pump(keystore, alias, options(**tags), parts, made.extend, place=place)
    except BusinessError as error:
        if error.code != _CRYPTO_FAIL:
            raise
        raise CommandError(
            "the input cannot be decrypted: it was made with another key, was changed, or has another form",
            hint="--sm2-form c1c3c2 and --sm2-form c1c2c3 read what is not DER; nothing was written",
        ) from error
    return bytes(made)
