"""Key agreement, whatever the algorithm: one update takes the peer's public key, finish gives the secret."""

from collections.abc import Callable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from huks_async.crypto.asymmetric import finite_field
from huks_async.crypto.asymmetric.finite_field import DHPublicKey
from huks_async.crypto.operation import Operation
from huks_async.crypto.spki import MAX_SPKI_BYTES, is_finite_field, load_spki
from huks_async.model.enums import HuksErrorCode
from huks_async.model.errors import BusinessError
from huks_async.model.params import BytesLike

_EC_OID = bytes.fromhex("06072a8648ce3d0201")


def load_peer(
    spki: bytes, *, of_our_group: bool = False
) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey | dsa.DSAPublicKey | DHPublicKey:
    """The public key in a SubjectPublicKeyInfo (DER) that a peer sent.

    Args:
        spki: what the peer sent.
        of_our_group: whether its group is the only one of finite-field DH that is expected; no other is loaded.

    Raises:
        BusinessError: 401 for bytes that are none, or one of a kind that HUKS does not know;
            12000006 for an elliptic curve that is not supported, and for another DH group.

    """
    head = spki[:40]
    is_finite = is_finite_field(spki)
    if is_finite and not of_our_group:
        raise wrong_peer("a DH key of another group")
    key: object
    try:
        if is_finite:
            with finite_field.allowed():
                key = load_der_public_key(spki)
        else:
            key = load_spki(spki)
    except UnsupportedAlgorithm:
        if _EC_OID in head:
            raise wrong_peer("a key of another curve") from None
        key = None
    except ValueError:
        key = None
    if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | dsa.DSAPublicKey | DHPublicKey):
        return key
    raise BusinessError(
        401,
        f"update of an agreement takes the peer's SubjectPublicKeyInfo in DER; these {len(spki)} bytes are none",
    )


def wrong_peer(got: str) -> BusinessError:
    """The error for a peer's key that cannot agree with ours."""
    return BusinessError(
        12000006, f"the peer's public key is {got}; both sides need the same algorithm and group"
    )


class Agreement(Operation):
    """A running agreement."""

    __slots__ = ("_agree", "_secret", "held", "kind")

    def __init__(self, kind: str, agree: Callable[[bytes], bytes]) -> None:
        self.kind: str = kind
        self._agree = agree
        self._secret: bytes | None = None
        self.held: int = 0

    def update(self, data: BytesLike) -> bytes:
        """Take the peer's public key.

        Raises:
            BusinessError: 12000012 for a second one, 401 for none.

        """
        if self._secret is not None:
            raise BusinessError(
                12000012,
                "an agreement takes the peer's public key in one update; this is a second",
                reason=HuksErrorCode.HUKS_FAILURE,
            )
        if not len(data):
            raise BusinessError(401, "update of an agreement takes the peer's public key as inData, got none")
        if len(data) > MAX_SPKI_BYTES:
            raise BusinessError(
                401, f"update of an agreement takes the peer's public key; these {len(data)} bytes are none"
            )
        self._secret = self._agree(bytes(data))
        self.held = len(self._secret)
        return b""

    def finish(self, data: BytesLike) -> bytes:
        """Give the shared secret; `data` has no meaning here."""
        secret = self._secret
        if secret is None:
            raise BusinessError(
                401,
                "finish of an agreement needs an update with the peer's public key before it",
                reason=HuksErrorCode.HUKS_ERROR_NULL_POINTER,
            )
        self._secret = None
        self.held = 0
        return secret
