"""The calls that the library is measured against, each with its objects kept as long as it allows.

Every function gives a callable that does one whole operation, or raises `PeerMissing`.
"""
