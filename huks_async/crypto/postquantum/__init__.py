"""ML-DSA (FIPS 204) and ML-KEM (FIPS 203).

`mldsa` and `mlkem` hold what each computes; `parameter_set` holds their keys, which have the same life. Seeds are
the work of `cryptography`, expanded private keys that of `libcrypto`.
"""
