"""Elements of DER: made, taken strictly, and looked at without trust."""

from huks_async.keys.forms.layouts import invalid

INTEGER, BITS, OCTETS, NULL, OID, SEQUENCE = 0x02, 0x03, 0x04, 0x05, 0x06, 0x30
EXPLICIT = 0xA0
"""The tag [0]; [1] is the next number."""
IMPLICIT = 0x80
"""The tag [0] of something that is not constructed."""


def tlv(tag: int, *content: bytes) -> bytes:
    """One element: tag, length, content."""
    body = b"".join(content)
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def take(data: bytes, start: int, tag: int) -> tuple[bytes, int]:
    """The content of the element with this tag at `start`, and where the next element begins.

    Raises:
        BusinessError: 401 for another tag, or a length that is not minimal or beyond the data.

    """
    if start + 2 > len(data) or data[start] != tag:
        raise invalid(f"DER: no element with tag {tag:#04x} at byte {start}")
    size = data[start + 1]
    body = start + 2
    if size >= 0x80:
        count = size & 0x7F
        octets = data[body : body + count]
        size = int.from_bytes(octets, "big")
        body += count
        if not 0 < count <= 4 or len(octets) != count or octets[0] == 0 or size < 0x80:
            raise invalid(f"DER: a bad length at byte {start + 1}")
    if body + size > len(data):
        raise invalid(f"DER: the element at byte {start} ends beyond the data")
    return data[body : body + size], body + size


def element(data: bytes, start: int = 0) -> tuple[int, int, int] | None:
    """Tag of the element at `start`, where its content begins and where it ends; None for no element."""
    if start + 2 > len(data):
        return None
    length, content = data[start + 1], start + 2
    if length >= 0x80:
        width = length - 0x80
        if not 0 < width <= 4:
            return None
        length = int.from_bytes(data[content : content + width], "big")
        content += width
    return (data[start], content, content + length) if content + length <= len(data) else None


def elements(content: bytes) -> list[tuple[int, bytes]]:
    """Tags and contents of the elements that `content` is made of; none where it is not made of such."""
    found: list[tuple[int, bytes]] = []
    start = 0
    while start < len(content):
        one = element(content, start)
        if one is None:
            return []
        tag, begin, start = one
        found.append((tag, content[begin:start]))
    return found


def sequence(data: bytes) -> list[tuple[int, bytes]]:
    """The elements of a SEQUENCE that is all of `data`; none where it is not one."""
    whole = element(data)
    if whole is None or whole[0] != SEQUENCE or whole[2] != len(data):
        return []
    return elements(data[whole[1] :])


def whole_bytes(bits: bytes) -> bytes:
    """The bytes of a BIT STRING, whose content begins with the number of bits that its last byte does not use.

    Raises:
        BusinessError: 401 where they are no whole number of bytes.

    """
    if bits[:1] != b"\0":
        raise invalid("DER: a BIT STRING that is no whole number of bytes")
    return bits[1:]


def shape(parts: list[tuple[int, bytes]]) -> tuple[int, ...]:
    """The tags of some elements."""
    return tuple(tag for tag, _ in parts)


def number(content: bytes) -> int:
    """The value of an INTEGER that is not negative."""
    return int.from_bytes(content, "big")
