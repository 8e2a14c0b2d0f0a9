"""The engine: pure and synchronous. No I/O, no event loop, no global state."""
