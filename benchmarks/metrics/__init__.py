"""The metrics; importing this package enters them all."""

from benchmarks.metrics import keys, loop, memory, parallel, small, start, streams

__all__ = ["keys", "loop", "memory", "parallel", "small", "start", "streams"]
