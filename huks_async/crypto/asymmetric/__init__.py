"""RSA, DSA, the NIST curves, Curve25519 and finite-field Diffie-Hellman, as far as `cryptography` has them.

Each algorithm is a family of its own file (`rsa`, `dsa`, `elliptic`, `curve25519`, `dh`); `signing` and
`agreement` are what they share: how a message reaches a signature, how a peer's key reaches an agreement.
The room may ask `libcrypto` for what `cryptography` refuses (small RSA and odd DSA sizes, OAEP with MD5), at
the moment when somebody needs it.
"""
