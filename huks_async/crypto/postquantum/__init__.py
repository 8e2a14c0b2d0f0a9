"""ML-DSA (FIPS 204) and ML-KEM (FIPS 203).

Seeds are the work of `cryptography`, expanded private keys that of `libcrypto`; `key_checks` holds what both
algorithms ask of a key that comes in.
"""
