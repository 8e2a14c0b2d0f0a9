"""Messages, each sealed and opened with one call: their formats, byte by byte, and how keys are used for them.

This package is pure and synchronous, like the engine: it sees key bytes and data, and knows nothing about aliases,
stores, sessions or the event loop. docs/message-formats.md describes the formats for other programs.
"""
