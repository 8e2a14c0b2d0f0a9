"""Which key files there are, and what each is expected to be: a form of a key in `files/base`, or refused.

A file is named after its key: `p256.encrypted.pem` is a form of `base/p256.pem`. Words in the name tell a
public half. What is refused has a row with the words that its name and its way out must hold.
"""

from typing import NamedTuple

OPENSSL_FILES = [
    "brainpool256.encrypted.pem",
    "brainpool256.private.pem",
    "brainpool256.public.pem",
    "certificates.pem",
    "chain.p7b",
    "chain.p7b.der",
    "dh2048.encrypted.pem",
    "dh2048.pkcs8.der",
    "dh2048.spki.der",
    "dh2048.spki.pem",
    "dhmodp14.private.pem",
    "dhmodp14.public.pem",
    "dsa2048.dek.pem",
    "dsa2048.encrypted.pem",
    "dsa2048.old.pem",
    "dsa2048.pkcs8.der",
    "dsa2048.spki.der",
    "dsa2048.spki.pem",
    "ed25519.certificate.der",
    "ed25519.certificate.pem",
    "ed25519.encrypted.pem",
    "ed25519.p12",
    "ed25519.pkcs8.der",
    "ed25519.spki.der",
    "ed25519.spki.pem",
    "ed448.encrypted.pem",
    "ed448.private.pem",
    "ed448.public.pem",
    "exponent3.pem",
    "keys.pem",
    "nokey.p12",
    "p224.encrypted.pem",
    "p224.pkcs8.der",
    "p224.spki.der",
    "p224.spki.pem",
    "p256.3des.pem",
    "p256.bag.pem",
    "p256.bare.p12",
    "p256.both.pem",
    "p256.certificate.der",
    "p256.certificate.pem",
    "p256.compressed.pem",
    "p256.compressed.public.pem",
    "p256.crlf.pem",
    "p256.csr.der",
    "p256.csr.pem",
    "p256.dek.pem",
    "p256.encrypted.pem",
    "p256.explicit.pem",
    "p256.explicit.pkcs8.pem",
    "p256.explicit.public.pem",
    "p256.half.pem",
    "p256.legacy.p12",
    "p256.old.pem",
    "p256.open.p12",
    "p256.other.pem",
    "p256.p12",
    "p256.pkcs8.der",
    "p256.server.pem",
    "p256.sm4.pem",
    "p256.spki.der",
    "p256.spki.pem",
    "p256.trusted.pem",
    "p256.with.parameters.pem",
    "p384.compressed.pem",
    "p384.compressed.public.pem",
    "p384.encrypted.pem",
    "p384.explicit.pem",
    "p384.explicit.pkcs8.pem",
    "p384.explicit.public.pem",
    "p384.pkcs8.der",
    "p384.spki.der",
    "p384.spki.pem",
    "p521.compressed.pem",
    "p521.compressed.public.pem",
    "p521.encrypted.pem",
    "p521.explicit.pem",
    "p521.explicit.pkcs8.pem",
    "p521.explicit.public.pem",
    "p521.old.pem",
    "p521.pkcs8.der",
    "p521.spki.der",
    "p521.spki.pem",
    "parameters.pem",
    "primes3.old.pem",
    "primes3.pem",
    "rsa2048.certificate.der",
    "rsa2048.certificate.pem",
    "rsa2048.dek.pem",
    "rsa2048.encrypted.pem",
    "rsa2048.msblob",
    "rsa2048.old.pem",
    "rsa2048.p12",
    "rsa2048.pbes1.pem",
    "rsa2048.pkcs1.public.der",
    "rsa2048.pkcs1.public.pem",
    "rsa2048.pkcs8.der",
    "rsa2048.public.msblob",
    "rsa2048.scrypt.pem",
    "rsa2048.spki.der",
    "rsa2048.spki.pem",
    "secp256k1.encrypted.pem",
    "secp256k1.explicit.pem",
    "secp256k1.private.pem",
    "secp256k1.public.pem",
    "sm2.certificate.der",
    "sm2.certificate.pem",
    "sm2.compressed.pem",
    "sm2.compressed.public.pem",
    "sm2.dek.pem",
    "sm2.encrypted.pem",
    "sm2.explicit.pem",
    "sm2.explicit.pkcs8.pem",
    "sm2.explicit.public.pem",
    "sm2.half.pem",
    "sm2.p12",
    "sm2.pkcs8.der",
    "sm2.scrypt.pem",
    "sm2.sm4.pem",
    "sm2.spki.der",
    "sm2.spki.pem",
    "x25519.encrypted.pem",
    "x25519.pkcs8.der",
    "x25519.spki.der",
    "x25519.spki.pem",
    "x448.encrypted.pem",
    "x448.private.pem",
    "x448.public.pem",
]

PUBLIC_WORDS = {"public", "spki", "certificate", "pub", "rfc4716", "raw", "authorized_keys", "csr", "pkcs1"}
BASES = {
    "rsa2048": (1, 2048),
    "p224": (2, 224),
    "p256": (2, 256),
    "p384": (2, 384),
    "p521": (2, 521),
    "dsa2048": (3, 2048),
    "x25519": (101, 256),
    "ed25519": (102, 256),
    "dh2048": (103, 2048),
    "sm2": (150, 256),
}
NAMED_OTHERWISE = {
    "set.jwks": ("p256", False),
    "host-cert.pub": ("ed25519", True),
    "rsa2048.pkcs1.pem": ("rsa2048", False),
    "p256.server.pem": ("p256", False),
}
# of OpenSSH, where PEM is the public half
NAMED_OTHERWISE_IN = {("openssh", "rsa2048.pkcs1.pem"): ("rsa2048", True)}
SECRET_KEYS = {"aes128.jwk": (20, bytes(range(16)))}

_CURVE, _COPY, _DH = "P-224, P-256", "keytool -importkeystore", "ffdhe2048"
REFUSED: dict[str, tuple[str, str]] = {
    # name: what it is called, what helps
    "certificates.pem": ("2 certificates", "file of its own"),
    "keys.pem": ("2 private keys", "file of its own"),
    "chain.p7b": ("PKCS#7", "openssl pkcs7"),
    "chain.p7b.der": ("PKCS#7", "openssl pkcs7 -inform DER"),
    "p256.csr.pem": ("certificate request", "openssl req"),
    "p256.csr.der": ("certificate request", "openssl req -inform DER"),
    "rsa2048.csr": ("certificate request", "openssl req"),
    "p256.trusted.pem": ("trusted certificate", "openssl x509"),
    "parameters.pem": ("parameters without a key", "another block"),
    "nokey.p12": ("certificates and no private key", "openssl pkcs12"),
    "exponent3.pem": ("public exponent 3", "make a new key"),
    "primes3.pem": ("more than two primes", "make a new key"),
    "primes3.old.pem": ("more than two primes", "make a new key"),
    "sm2.dek.pem": ("SM2 private key encrypted in the old way", "openssl pkey"),
    "p256.other.pem": ("passphrase is wrong", ""),
    "rsa2048.msblob": ("PRIVATEKEYBLOB", "openssl rsa -inform MSBLOB"),
    "rsa2048.public.msblob": ("PUBLICKEYBLOB", "openssl rsa -pubin -inform MSBLOB"),
    "two.jwks": ("JWK set holds 2 keys", "file of its own"),
    "two.authorized_keys": ("2 public keys of OpenSSH", "file of its own"),
    "two.p12": ("PKCS#12 file that holds 2 keys", _COPY),
    "bc.two.p12": ("PKCS#12 file that holds 2 keys", _COPY),
    "mixed.p12": ("PKCS#12 file that holds 2 keys", _COPY),
    "secret.p12": ("PKCS#12 file that holds a secret key", "getEncoded"),
    "bc.sm2.p12": ("PKCS#12 file whose key is encrypted", "openssl pkcs12"),
    "rsa2048.jks": ("Java keystore (JKS)", _COPY),
    "rsa2048.jceks": ("Java keystore (JCEKS)", _COPY),
    "bc.rsa2048.bks": ("BouncyCastle (BKS)", "-srcstoretype BKS"),
    "bc.rsa2048.uber": ("BouncyCastle (UBER)", "-srcstoretype UBER"),
    "bc.rsa2048.bcfks": ("BouncyCastle (BCFKS)", "-srcstoretype BCFKS"),
    "default.dh.pkcs8.der": ("DH private key of MODP group 14 (RFC 3526, Java's default)", _DH),
    "default.dh.spki.der": ("DH public key of MODP group 14 (RFC 3526, Java's default)", _DH),
    "dhmodp14.private.pem": ("DH private key of MODP group 14", _DH),
    "dhmodp14.public.pem": ("DH public key of MODP group 14", _DH),
    "putty.ppk": ("private key of PuTTY", "puttygen"),
    "private.gpg": ("OpenPGP", "make a new one"),
    "public.gpg": ("OpenPGP", "make a new one"),
    "private.gpg.asc": ("OpenPGP", "make a new one"),
    "public.gpg.asc": ("OpenPGP", "make a new one"),
    "age.txt": ("key file of age", "make a new one"),
    "age.public.txt": ("public key of age", "X25519"),
    "sealed.age": ("encrypted with age", "age -d"),
    "sealed.age.pem": ("encrypted with age", "age -d"),
    "minisign.key": ("minisign", "Ed25519"),
    "minisign.pub": ("minisign", "Ed25519"),
}
# families of names: the key that HUKS does not have, and what helps
REFUSED_BASES = {
    "secp256k1": (("secp256k1", _CURVE), ("JWK", "P-256"), ("describe in full", "huks algorithms")),
    "brainpool256": (("brainpoolP256r1", _CURVE),),
    "ed448": (("Ed448", "Ed25519"),),
    "x448": (("X448", "X25519"),),
}


class Taken(NamedTuple):
    """A file that is read: the key that it is a form of, and whether it is the public half."""

    base: str
    public: bool


class Refused(NamedTuple):
    """A file that is refused, with words of its name and of the way out."""

    what: str
    way_out: str


def expectation(maker: str, name: str) -> Taken | Refused:
    """What becomes of a file."""
    if name in REFUSED:
        return Refused(*REFUSED[name])
    chosen = NAMED_OTHERWISE_IN.get((maker, name)) or NAMED_OTHERWISE.get(name)
    if chosen is not None:
        return Taken(*chosen)
    words = name.split(".")
    for base, rows in REFUSED_BASES.items():
        if base in words:
            # the row of a JWK, that of explicit parameters, or the common one
            number = 1 if name.endswith("jwk") and len(rows) > 1 else 2 if "explicit" in words else 0
            return Refused(*rows[number])
    base = next(word for word in words if word in BASES)
    return Taken(base, bool(PUBLIC_WORDS & set(words)))


def half_said(name: str) -> str:
    """The half that the message about a refused key must name."""
    return "public" if PUBLIC_WORDS & set(name.split(".")) else "private"
