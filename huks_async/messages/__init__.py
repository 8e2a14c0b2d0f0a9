"""Messages: sealed with one call, opened with one call. The formats, byte by byte, and how keys are used for them.

The room is pure and synchronous, as the engine is: it sees key bytes and data, and knows nothing of aliases, stores,
sessions or the event loop. docs/message-formats.md describes the formats for other programs.
"""
