"""The metrics; importing this package enters them all."""

from benchmarks.metrics import keys, loop, memory, messages, parallel, sealed_streams, small, start, streams

__all__ = ["keys", "loop", "memory", "messages", "parallel", "sealed_streams", "small", "start", "streams"]
