"""Benchmarks: what the library costs beside the raw calls under it, and beside its peers.

`python -m benchmarks` measures everything; `python -m benchmarks.profile` tells where the time goes.
"""
