"""Message authentication codes (HMAC, CMAC) and derivation (HKDF, PBKDF2).

Both work on the bytes of a secret key of any symmetric algorithm. The room does not know the ciphers.
"""
