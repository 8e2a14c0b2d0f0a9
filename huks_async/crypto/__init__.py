"""The engine: from a key and parameters to a running operation.

Everything here is pure and synchronous: no I/O, no event loop, no state but caches that anybody may lose.
At the top stand what all algorithms share: `engine` finds the family of a key and prepares operations,
`family` and `operation` are the two interfaces that a family implements, and `key_material`, `secret_key`,
`digests`, `byte_parameters`, `signature_form` and `caller_warnings` are what families are made with. Below are
the rooms:

- `rules`: what keys of each algorithm may be and do, and whether a session keeps to it;
- `symmetric`: ciphers under a secret key, mode by mode;
- `asymmetric`: RSA, DSA, elliptic curves, Diffie-Hellman;
- `mac_and_derivation`: message authentication codes, and keys made of keys;
- `sm2`: the Chinese elliptic curve algorithm, signatures and encryption;
- `postquantum`: ML-DSA and ML-KEM;
- `libcrypto`: a second OpenSSL, for what `cryptography` does not do.
"""
