"""What keys may be and do: the support matrix as data, the checks that read it, and the table for readers.

The rules know numbers alone (algorithms, sizes, purposes, modes, paddings, digests). They see neither key
bytes nor data, and know nothing of how an algorithm is computed.
"""
