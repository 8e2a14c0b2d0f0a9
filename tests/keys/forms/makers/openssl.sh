#!/bin/sh
# Keys of files/base as OpenSSL's command line writes them: openssl.sh BASE TARGET
set -eu
base=$1 target=$2
cd "$target"
quiet() { "$@" 2>/dev/null; }
for name in rsa2048 p224 p256 p384 p521 dsa2048 ed25519 x25519 sm2 dh2048; do
    key="$base/$name.pem"
    openssl pkcs8 -topk8 -nocrypt -in "$key" -outform DER -out "$name.pkcs8.der"
    openssl pkcs8 -topk8 -in "$key" -passout pass:secret -iter 2048 -out "$name.encrypted.pem"
    openssl pkey -in "$key" -pubout -out "$name.spki.pem"
    openssl pkey -in "$key" -pubout -outform DER -out "$name.spki.der"
done
for name in rsa2048 p256 p521 dsa2048; do
    openssl pkey -in "$base/$name.pem" -traditional -out "$name.old.pem"
done
openssl pkcs8 -topk8 -in "$base/rsa2048.pem" -passout pass:secret -v1 PBE-SHA1-3DES -out rsa2048.pbes1.pem
openssl pkcs8 -topk8 -in "$base/rsa2048.pem" -passout pass:secret -scrypt -out rsa2048.scrypt.pem
openssl pkcs8 -topk8 -in "$base/p256.pem" -passout pass:secret -v2 des3 -iter 2048 -out p256.3des.pem
openssl pkcs8 -topk8 -in "$base/p256.pem" -passout pass:secret -v2 sm4-cbc -iter 2048 -out p256.sm4.pem
openssl pkcs8 -topk8 -in "$base/sm2.pem" -passout pass:secret -v2 sm4-cbc -v2prf hmacWithSHA512 -iter 2048 -out sm2.sm4.pem
openssl pkcs8 -topk8 -in "$base/sm2.pem" -passout pass:secret -scrypt -out sm2.scrypt.pem
quiet openssl rsa -in "$base/rsa2048.pem" -aes256 -traditional -passout pass:secret -out rsa2048.dek.pem
quiet openssl dsa -in "$base/dsa2048.pem" -aes128 -passout pass:secret -out dsa2048.dek.pem
quiet openssl ec -in "$base/p256.pem" -des3 -passout pass:secret -out p256.dek.pem
quiet openssl ec -in "$base/sm2.pem" -aes128 -passout pass:secret -out sm2.dek.pem
quiet openssl rsa -in "$base/rsa2048.pem" -RSAPublicKey_out -out rsa2048.pkcs1.public.pem
quiet openssl rsa -in "$base/rsa2048.pem" -RSAPublicKey_out -outform DER -out rsa2048.pkcs1.public.der
for name in p256 p384 p521 sm2; do
    quiet openssl ec -in "$base/$name.pem" -param_enc explicit -out "$name.explicit.pem"
    quiet openssl ec -in "$base/$name.pem" -param_enc explicit -pubout -out "$name.explicit.public.pem"
    quiet openssl ec -in "$base/$name.pem" -conv_form compressed -out "$name.compressed.pem"
    quiet openssl ec -in "$base/$name.pem" -conv_form compressed -pubout -out "$name.compressed.public.pem"
    openssl pkcs8 -topk8 -nocrypt -in "$name.explicit.pem" -out "$name.explicit.pkcs8.pem"
done
quiet openssl ec -in "$base/p256.pem" -no_public -out p256.half.pem
quiet openssl ec -in "$base/sm2.pem" -no_public -out sm2.half.pem
openssl ecparam -name prime256v1 -out p256.parameters
cat p256.parameters p256.old.pem > p256.with.parameters.pem
for name in rsa2048 p256 ed25519 sm2; do
    openssl req -x509 -new -key "$base/$name.pem" -subj /CN=throwaway -days 3650 -out "$name.certificate.pem"
    openssl x509 -in "$name.certificate.pem" -outform DER -out "$name.certificate.der"
    openssl pkcs12 -export -inkey "$base/$name.pem" -in "$name.certificate.pem" -passout pass:secret -out "$name.p12"
done
openssl pkcs12 -export -inkey "$base/p256.pem" -in p256.certificate.pem -passout pass:secret -legacy -out p256.legacy.p12
openssl pkcs12 -export -inkey "$base/p256.pem" -in p256.certificate.pem -passout pass: -out p256.open.p12
openssl pkcs12 -export -inkey "$base/p256.pem" -nocerts -passout pass:secret -out p256.bare.p12 2>/dev/null
cat p256.certificate.pem rsa2048.certificate.pem "$base/p256.pem" > p256.server.pem
cat "$base/p256.pem" p256.spki.pem > p256.both.pem
openssl pkcs12 -in p256.p12 -passin pass:secret -nodes -out p256.bag.pem
sed 's/$/\r/' "$base/p256.pem" > p256.crlf.pem
# what is not taken
openssl req -new -key "$base/p256.pem" -subj /CN=throwaway -out p256.csr.pem
openssl req -in p256.csr.pem -outform DER -out p256.csr.der
openssl pkcs12 -export -nokeys -in p256.certificate.pem -passout pass:secret -out nokey.p12
openssl crl2pkcs7 -nocrl -certfile p256.certificate.pem -out chain.p7b
openssl crl2pkcs7 -nocrl -certfile p256.certificate.pem -outform DER -out chain.p7b.der
openssl x509 -in p256.certificate.pem -trustout -addtrust serverAuth -out p256.trusted.pem
cat p256.certificate.pem rsa2048.certificate.pem > certificates.pem
cat "$base/p256.pem" "$base/rsa2048.pem" > keys.pem
cp p256.parameters parameters.pem
openssl genrsa -3 -out exponent3.pem 2048 2>/dev/null
for name in brainpool256 secp256k1 ed448 x448; do
    cp "$base/$name.pem" "$name.private.pem"
    openssl pkey -in "$base/$name.pem" -pubout -out "$name.public.pem"
    openssl pkcs8 -topk8 -in "$base/$name.pem" -passout pass:secret -iter 2048 -out "$name.encrypted.pem"
done
quiet openssl ec -in "$base/secp256k1.pem" -param_enc explicit -out secp256k1.explicit.pem
cp "$base/rsa3primes.pem" primes3.pem
quiet openssl rsa -in "$base/rsa3primes.pem" -traditional -out primes3.old.pem
cp "$base/dhmodp14.pem" dhmodp14.private.pem
openssl pkey -in "$base/dhmodp14.pem" -pubout -out dhmodp14.public.pem
quiet openssl rsa -in "$base/rsa2048.pem" -outform MSBLOB -out rsa2048.msblob
quiet openssl rsa -in "$base/rsa2048.pem" -pubout -outform MSBLOB -out rsa2048.public.msblob
openssl pkcs8 -topk8 -in "$base/p256.pem" -passout pass:other -iter 2048 -out p256.other.pem
rm p256.parameters
