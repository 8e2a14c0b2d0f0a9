"""A provider on PKCS#11 tokens: HSMs, smart cards, SoftHSM. Needs the extra `pkcs11`."""
