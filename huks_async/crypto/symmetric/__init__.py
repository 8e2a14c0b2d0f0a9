"""Ciphers under a secret key: AES, DES, 3DES and SM4, a file for each way of chaining blocks.

`block_modes` and `aead` are the two families; `gcm` and `ccm` are the modes behind `aead`. The room knows the
secret key and the parameters of one call. It does not know the other algorithms, nor the rules that were checked
before.
"""
