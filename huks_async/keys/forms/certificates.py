"""The public key of an X.509 certificate. Nothing else of it is looked at: who vouches for it, how long."""

from cryptography import x509

from huks_async.crypto.asymmetric import finite_field
from huks_async.keys.forms.der import EXPLICIT, SEQUENCE, elements, sequence, shape, tlv


def public_key_of(der: bytes) -> bytes | None:
    """SubjectPublicKeyInfo DER of a certificate; None for what is no certificate."""
    try:
        # certificates whose serial number is not positive are read with a notice that helps nobody here
        with finite_field.allowed():
            x509.load_der_x509_certificate(der)
    except ValueError:
        return None
    # the library does not give the bytes of a key that it has no class for
    fields = elements(sequence(der)[0][1])
    if fields and fields[0][0] == EXPLICIT:
        fields = fields[1:]
    # serial number, signature, issuer, validity, subject, key
    return tlv(SEQUENCE, fields[5][1]) if shape(fields)[5:6] == (SEQUENCE,) else None
