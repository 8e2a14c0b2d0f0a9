"""Sealed files, format 2: the header, the chunks, and the coroutines that read and write both (docs/file-format.md)."""
