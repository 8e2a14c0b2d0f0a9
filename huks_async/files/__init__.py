"""Sealed files, format 2: the header, the chunks, and the coroutines' way through both (docs/file-format.md)."""
