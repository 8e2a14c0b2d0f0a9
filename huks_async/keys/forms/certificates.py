"""The public key of an X.509 certificate. Nothing else of it is looked at: who vouches for it, how long."""

from huks_async.keys.forms.der import BITS, EXPLICIT, INTEGER, SEQUENCE, elements, sequence, shape, tlv


def public_key_of(der: bytes) -> bytes | None:
    """SubjectPublicKeyInfo DER of a certificate; None for what is no certificate."""
    outer = sequence(der)
    if shape(outer) != (SEQUENCE, SEQUENCE, BITS):
        return None
    # The library neither gives the bytes of a key that it has no class for, nor reads certificates that Java
    # signs with DSA. Nothing is believed of a certificate but its key, so its shape is enough.
    fields = elements(outer[0][1])
    if fields and fields[0][0] == EXPLICIT:
        fields = fields[1:]
    # serial number, signature, issuer, validity, subject, key
    if shape(fields)[:6] != (INTEGER, *5 * (SEQUENCE,)) or shape(elements(fields[5][1])) != (SEQUENCE, BITS):
        return None
    return tlv(SEQUENCE, fields[5][1])
