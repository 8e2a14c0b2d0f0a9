"""Texts that are secrets, as bytes."""


def utf8(text: str) -> bytes | None:
    """The UTF-8 of a text; None if it holds lone surrogates, which have none.

    The exception that Python raises for those keeps the whole text. So it ends here, and is no context of the refusal.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None
