"""The numbers of a stranger's key, looked at before anything is computed with them.

The library below tests what should be prime, and raises to powers, for as long as the numbers ask: minutes for a
file of a few kilobytes. Keys of HUKS have numbers of few sizes, and the groups of Diffie-Hellman are three.
"""

from huks_async.crypto.asymmetric import dh, dsa, rsa
from huks_async.keys.forms.der import INTEGER, OID, SEQUENCE, elements, number, sequence, shape
from huks_async.keys.forms.layouts import invalid
from huks_async.model.errors import BusinessError

_NOT_HERE = 12000001
# the primes of RFC 2409, 3526 and 7919 begin with 64 ones and then with digits of pi or of e
_PI, _E = 0xC90FDAA2, 0xADF85458
_MODP_GROUPS = {768: 1, 1024: 2, 1536: 5, 2048: 14, 3072: 15, 4096: 16, 6144: 17, 8192: 18}
MAX_RSA_BITS = 4096
_DH_WAY_OUT = (
    "make one of ffdhe2048, ffdhe3072 or ffdhe4096: openssl genpkey -algorithm DH -pkeyopt group:ffdhe2048"
)
# as PKCS#3 and as X9.42 name it; the library below writes the second
_PKCS3_DH, _X9_42_DH = bytes.fromhex("2a864886f70d010301"), bytes.fromhex("2a8648ce3e0201")
_DSA = bytes.fromhex("2a8648ce380401")


def check_private_numbers(identifier: bytes, key: bytes) -> None:
    """Check the numbers of an RSA, DSA or DH private key in PKCS#8, or of one in the older forms.

    Args:
        identifier: content of the AlgorithmIdentifier of PKCS#8; empty for the older forms.
        key: what is in the OCTET STRING of PKCS#8, or all of an older form.

    Raises:
        BusinessError: 12000001 for sizes and groups that HUKS does not have, 401 for numbers of one key that do not
            fit each other.

    """
    parts = sequence(key)
    if len(parts) >= 9 and set(shape(parts)[:9]) == {INTEGER}:  # RSAPrivateKey, RFC 8017, A.1.2
        check_rsa_numbers(*(number(content).bit_length() for _, content in parts[1:9]))
    most = check_identifier(identifier)
    value = elements(key)
    if most is not None and shape(value) == (INTEGER,) and number(value[0][1]).bit_length() > most:
        raise invalid(f"the private value of the key has more than {most} bits, so it is not of its group")


def check_identifier(identifier: bytes, half: str = "private") -> int | None:
    """Check the group that the AlgorithmIdentifier of a DSA or DH key has.

    Returns:
        how many bits a private value has at most; None for other algorithms.

    Raises:
        BusinessError: 12000001 for groups that HUKS does not have.

    """
    named = elements(identifier)
    if shape(named) != (OID, SEQUENCE):
        return None
    algorithm, parameters = named[0][1], elements(named[1][1])
    # DSA: p, q, g. DH: p, g, and of X9.42 then q.
    numbers = [number(content) for tag, content in parameters[:3] if tag == INTEGER]
    if algorithm == _DSA and len(numbers) == 3:
        check_dsa_bits(numbers[0].bit_length(), numbers[1].bit_length(), half)
        return numbers[1].bit_length()
    if algorithm in (_PKCS3_DH, _X9_42_DH) and len(numbers) >= 2:
        prime = numbers[0]
        check_dh_group(prime, numbers[1], half)
        if algorithm == _X9_42_DH and numbers[2:] != [(prime - 1) // 2]:
            raise unsupported(f"a DH {half} key of a subgroup of its own", _DH_WAY_OUT)
        return prime.bit_length()
    return None


def check_rsa_numbers(n: int, e: int, d: int, p: int, q: int, *others: int) -> None:
    """The same by the bits of the numbers of an RSA private key.

    Raises:
        BusinessError: as above.

    """
    check_rsa_bits(n)
    if max(p, q) > n // 2 + rsa.SPARE_FACTOR_BITS:
        raise invalid(
            f"an RSA private key of {n} bits with primes of {p} and {q}; make a new one: openssl genrsa"
        )
    if max(e, d, *others) > n:
        raise invalid(f"an RSA private key of {n} bits with numbers that are longer than its modulus")


def check_rsa_bits(bits: int, half: str = "private") -> None:
    """Refuse a modulus that no RSA key of HUKS has, before anything is computed with it.

    Raises:
        BusinessError: 12000001.

    """
    if bits > MAX_RSA_BITS:
        raise unsupported(
            f"an RSA {half} key of {bits} bits", "make one of 3072 or 4096: openssl genrsa 4096"
        )


def check_rsa_size(bits: int, half: str) -> None:
    """Refuse a key that was read, whose modulus has a size that HUKS does not have.

    Raises:
        BusinessError: 12000001.

    """
    check_rsa_bits(bits, half)
    if not rsa.has_size(bits):
        raise unsupported(
            f"an RSA {half} key of {bits} bits",
            "it has 512, 768, 1024 to 2048 in steps of 8, 3072 and 4096: openssl genrsa 3072",
        )


def check_dh_group(prime: int, generator: int, half: str = "private") -> None:
    """Refuse a group that no DH key of HUKS has, before anything is computed with it.

    Raises:
        BusinessError: 12000001 with a name for the group.

    """
    size = prime.bit_length()
    if size in dh.SIZES and prime == dh.prime_of(size) and generator == dh.GENERATOR:
        return
    lead = prime >> (size - 96) if size > 96 else 0
    name = f"a group of its own, {size} bits"
    if lead >> 32 == (1 << 64) - 1 and lead & 0xFFFFFFFF == _PI and size in _MODP_GROUPS:
        java = ", Java's default" if size == 2048 else ""
        name = f"MODP group {_MODP_GROUPS[size]} (RFC 3526{java})"
    elif lead >> 32 == (1 << 64) - 1 and lead & 0xFFFFFFFF == _E:
        name = f"ffdhe{size} (RFC 7919)"
    raise unsupported(f"a DH {half} key of {name}", _DH_WAY_OUT)


def check_dsa_bits(size: int, order: int, half: str = "private") -> None:
    """Refuse a DSA group of a size that HUKS does not have.

    Raises:
        BusinessError: 12000001.

    """
    if size not in dsa.SIZES or order not in dsa.ORDER_BITS:
        raise unsupported(
            f"a DSA {half} key of {size} bits with a subgroup of {order} bits",
            "HUKS has 512 to 4096 bits in steps of 8, with subgroups of 160, 224 or 256",
        )


def unsupported(what: str, way_out: str) -> BusinessError:
    """The error for a key that HUKS does not have."""
    return BusinessError(_NOT_HERE, f"{what}, which HUKS does not have; {way_out}")
