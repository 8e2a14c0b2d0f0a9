"""An output that is seen at once: whether anything was, and that a terminal gets text alone."""

import codecs
import re

from huks_async.cli.shell.console import CommandError, standard_output, usage_error
from huks_async.cli.shell.targets import Output
from huks_async.model.params import BytesLike

_STEERING = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
"""Control characters that no text needs; a terminal takes commands by them."""


class Shown:
    """Passes everything on to another output, and knows whether anything was written.

    Where that output is the terminal and was not asked for by name, plaintext that is no printable UTF-8 is
    refused, each piece before it is written. A character whose end has not come yet is kept back until then.
    """

    def __init__(self, target: Output, output: str | None) -> None:
        self._target = target
        self._text = None
        if output is None and standard_output().isatty():
            self._text = codecs.getincrementaldecoder("utf-8")()
        self.hidden: bool = target.hidden
        self.begun: bool = False
        """Whether bytes were written."""

    def write(self, data: BytesLike) -> None:
        """Write a piece.

        Raises:
            CommandError: it is binary and would go to a terminal.

        """
        if not len(data):
            return
        if self._text is not None:
            data = self._whole_characters(bytes(data), self._text)
            if not data:
                return
        self.begun = True
        self._target.write(data)

    def write_at(self, data: memoryview, place: int) -> None:
        """Put bytes to a place of their own."""
        self._target.write_at(data, place)

    def commit(self) -> None:
        """Make the output appear as a whole.

        Raises:
            CommandError: it would go to a terminal and ends inside a character.

        """
        if self._text is not None and self._text.getstate()[0]:
            raise self._refusal()
        self._target.commit()

    def _whole_characters(self, data: bytes, decoder: codecs.IncrementalDecoder) -> bytes:
        """What was kept back and the piece, up to the last character that is whole."""
        data = decoder.getstate()[0] + data
        decoder.reset()
        try:
            binary = _STEERING.search(decoder.decode(data)) is not None
        except UnicodeDecodeError:
            binary = True
        if binary:
            raise self._refusal()
        return data.removesuffix(decoder.getstate()[0])

    def _refusal(self) -> CommandError:
        return usage_error(
            f"the content is binary{' from here on' if self.begun else ''} and standard output is a terminal",
            hint="name a file with --output FILE, or force it with --output -",
        )
