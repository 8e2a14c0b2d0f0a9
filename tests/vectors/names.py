"""Short names of the documented numbers, as the tests of this package write them."""

from huks_async import HuksCipherMode, HuksKeyAlg, HuksKeyDigest, HuksKeyPadding, HuksKeyPurpose

ENCRYPT = HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT
DECRYPT = HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT
SIGN = HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN
VERIFY = HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY
DERIVE = HuksKeyPurpose.HUKS_KEY_PURPOSE_DERIVE
MAC = HuksKeyPurpose.HUKS_KEY_PURPOSE_MAC
AGREE = HuksKeyPurpose.HUKS_KEY_PURPOSE_AGREE
WRAP, UNWRAP = HuksKeyPurpose.HUKS_KEY_PURPOSE_WRAP, HuksKeyPurpose.HUKS_KEY_PURPOSE_UNWRAP
CIPHER = ENCRYPT | DECRYPT
SIGNATURE = SIGN | VERIFY

PUBLIC, PRIVATE, PAIR = 0, 1, 2

RSA = HuksKeyAlg.HUKS_ALG_RSA
ECC = HuksKeyAlg.HUKS_ALG_ECC
DSA = HuksKeyAlg.HUKS_ALG_DSA
AES = HuksKeyAlg.HUKS_ALG_AES
HMAC = HuksKeyAlg.HUKS_ALG_HMAC
HKDF = HuksKeyAlg.HUKS_ALG_HKDF
PBKDF2 = HuksKeyAlg.HUKS_ALG_PBKDF2
ECDH = HuksKeyAlg.HUKS_ALG_ECDH
X25519 = HuksKeyAlg.HUKS_ALG_X25519
ED25519 = HuksKeyAlg.HUKS_ALG_ED25519
DH = HuksKeyAlg.HUKS_ALG_DH
SM2 = HuksKeyAlg.HUKS_ALG_SM2
SM3 = HuksKeyAlg.HUKS_ALG_SM3
SM4 = HuksKeyAlg.HUKS_ALG_SM4
DES = HuksKeyAlg.HUKS_ALG_DES
TRIPLE_DES = HuksKeyAlg.HUKS_ALG_3DES
CMAC = HuksKeyAlg.HUKS_ALG_CMAC
ML_KEM = HuksKeyAlg.HUKS_ALG_ML_KEM
ML_DSA = HuksKeyAlg.HUKS_ALG_ML_DSA

ECB, CBC, CTR = HuksCipherMode.HUKS_MODE_ECB, HuksCipherMode.HUKS_MODE_CBC, HuksCipherMode.HUKS_MODE_CTR
OFB, CFB = HuksCipherMode.HUKS_MODE_OFB, HuksCipherMode.HUKS_MODE_CFB
CCM, GCM = HuksCipherMode.HUKS_MODE_CCM, HuksCipherMode.HUKS_MODE_GCM

NO_PADDING, PKCS7 = HuksKeyPadding.HUKS_PADDING_NONE, HuksKeyPadding.HUKS_PADDING_PKCS7
OAEP, PSS = HuksKeyPadding.HUKS_PADDING_OAEP, HuksKeyPadding.HUKS_PADDING_PSS
PKCS1 = HuksKeyPadding.HUKS_PADDING_PKCS1_V1_5

MD5, DIGEST_SM3 = HuksKeyDigest.HUKS_DIGEST_MD5, HuksKeyDigest.HUKS_DIGEST_SM3
SHA1, SHA224 = HuksKeyDigest.HUKS_DIGEST_SHA1, HuksKeyDigest.HUKS_DIGEST_SHA224
SHA256, SHA384 = HuksKeyDigest.HUKS_DIGEST_SHA256, HuksKeyDigest.HUKS_DIGEST_SHA384
SHA512 = HuksKeyDigest.HUKS_DIGEST_SHA512
DIGESTS = {"SHA1": SHA1, "SHA224": SHA224, "SHA256": SHA256, "SHA384": SHA384, "SHA512": SHA512}
"""By the names that the files use, without hyphens."""

WARNINGS = (
    "ignore::huks_async.model.errors.HuksLegacyWarning",
    "ignore::huks_async.model.errors.HuksCompatibilityWarning",
)
"""What published vectors make our library warn of: SHA-1, 3DES, short keys, short salts."""
