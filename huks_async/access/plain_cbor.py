"""A look through the CBOR of a passkey's answer before a library decodes it.

Passkeys write the canonical form of CTAP2, which has no tags. General decoders follow tags: a value that is shared
by reference makes half a kilobyte stand for more than any memory holds, and that when it is encoded again, to see how
long it was. A form of a number that is not the shortest, or a map that has a key twice, makes that length wrong, and
what follows is then read from a place of its writer's choice. So these are refused before anything is decoded. The
order of a map's keys is no matter.
"""

_BYTES, _TEXT, _LIST, _MAP, _TAG, _SIMPLE = 2, 3, 4, 5, 6, 7
_MAX_DEPTH = 4
_FALSE, _UNDEFINED = 20, 23
_IN_ONE_BYTE = 24
_LONGEST_NUMBER = 27

_CREDENTIAL_ID_LENGTH_AT, _CREDENTIAL_ID_AT, _AUTHENTICATOR_DATA_HEAD = 53, 55, 37
_FLAGS_AT, _HAS_CREDENTIAL = 32, 64


def check_plain(data: bytes) -> None:
    """Check that some bytes are CBOR of this form, one item or several; ValueError if not."""
    at = 0
    while at < len(data):
        at = _end_of_item(data, at, _MAX_DEPTH)


def check_authenticator_data(data: bytes) -> None:
    """Check the CBOR at the end of authenticator data: the public key and the extensions; ValueError as above."""
    start = _AUTHENTICATOR_DATA_HEAD
    if len(data) > _FLAGS_AT and data[_FLAGS_AT] & _HAS_CREDENTIAL:
        length = int.from_bytes(data[_CREDENTIAL_ID_LENGTH_AT:_CREDENTIAL_ID_AT], "big")
        start = _CREDENTIAL_ID_AT + length
    check_plain(data[start:])


def _end_of_item(data: bytes, at: int, depth: int) -> int:
    if at >= len(data):
        raise ValueError("it ends within an item")
    kind, value = data[at] >> 5, data[at] & 31
    at += 1
    if kind == _TAG:
        raise ValueError("it has a tag")
    if kind == _SIMPLE:
        if not _FALSE <= value <= _UNDEFINED:
            raise ValueError("it has a float or an unknown simple value")
        return at
    if value >= _IN_ONE_BYTE:
        if value > _LONGEST_NUMBER:
            raise ValueError("it has a length that is left open")
        width = 1 << (value - _IN_ONE_BYTE)
        octets = data[at : at + width]
        value = int.from_bytes(octets, "big")
        shortest = _IN_ONE_BYTE if width == 1 else 1 << 4 * width
        if len(octets) < width or value < shortest:
            raise ValueError("it has a number that is not in its shortest form")
        at += width
    if kind in (_BYTES, _TEXT):
        at += value
        if at > len(data):
            raise ValueError("it ends within a string")
    elif kind in (_LIST, _MAP):
        if not depth:
            raise ValueError("it is nested too deeply")
        keys: set[bytes] = set()
        for _ in range(value):
            if kind == _MAP:
                start, at = at, _end_of_item(data, at, depth - 1)
                keys.add(data[start:at])
            at = _end_of_item(data, at, depth - 1)
        if kind == _MAP and len(keys) < value:
            raise ValueError("it has a map with a key twice")
    return at
