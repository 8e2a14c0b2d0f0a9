"""A process that runs a stream each time it is told to, and prints the seconds it took.

Run by the metrics of streams: `python -m benchmarks.streamer ours|raw|beside gcm|cbc SEGMENTS FOLDER`, a
stream for each line of input. What counts is processor time, since nothing waits. `beside` is the raw
stream in a process that has used huks_async.
"""

import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable

from benchmarks.peers import raw

SEGMENT_BYTES = 100 * 1024


def serve(stream: Callable[[], object]) -> None:
    """Run the stream once to warm up, then once for each line of input."""
    stream()
    print("ready", flush=True)
    gc.disable()
    for _ in sys.stdin:
        start = time.thread_time()
        stream()
        print(time.thread_time() - start, flush=True)
        gc.collect()


def raw_stream(key: str, segments: int) -> Callable[[], object]:
    """The stream as `cryptography` alone does it."""
    run = {"gcm": raw.gcm_stream, "cbc": raw.cbc_stream}[key]
    secret, start = os.urandom(32), bytes({"gcm": 12, "cbc": 16}[key])
    segment = bytes(SEGMENT_BYTES)
    return lambda: run(secret, start, segment, segments)


def serve_with_ours(side: str, key: str, segments: int, folder: str) -> None:
    """The stream through a keystore; or, once that has run, the raw one beside it."""
    # not at the top: the raw side must run in a process that knows nothing of the library
    from benchmarks import ours
    from benchmarks.measuring import Settings

    settings = Settings(quick=False, rounds=0, slice_seconds=0, folder=folder)
    segment = bytes(SEGMENT_BYTES)
    with asyncio.Runner() as runner:
        context = ours.open_keystore(settings, key)
        keystore = runner.run(context.__aenter__())

        def stream() -> None:
            runner.run(ours.stream(keystore, key, segment, segments))

        stream()
        serve(stream if side == "ours" else raw_stream(key, segments))
        runner.run(context.__aexit__(None, None, None))


if __name__ == "__main__":
    _, which, cipher, count, where = sys.argv
    if which == "raw":
        serve(raw_stream(cipher, int(count)))
    else:
        serve_with_ours(which, cipher, int(count), where)
