#!/bin/sh
# Keys of files/base as GnuTLS's certtool writes them: gnutls.sh BASE TARGET
set -eu
base=$1 target=$2
printf 'cn = "throwaway"\nexpiration_days = -1\nserial = 1\n' > "$target/template"
for name in rsa2048 p256 p384 p521 ed25519 dsa2048; do
    key="$base/$name.pem"
    certtool --key-info --infile "$key" --outfile "$target/$name.private.pem"
    certtool --pubkey-info --load-privkey "$key" --outfile "$target/$name.public.pem"
    certtool --to-p8 --load-privkey "$key" --password secret --pkcs-cipher aes-256 --outfile "$target/$name.encrypted.pem"
    certtool --generate-self-signed --load-privkey "$key" --template "$target/template" --outfile "$target/$name.certificate.pem"
    certtool --to-p12 --load-privkey "$key" --load-certificate "$target/$name.certificate.pem" --p12-name key \
        --password secret --outder --outfile "$target/$name.p12"
done
certtool --to-p8 --load-privkey "$base/rsa2048.pem" --password secret --pkcs-cipher 3des --outder --outfile "$target/rsa2048.3des.der"
certtool --generate-request --load-privkey "$base/rsa2048.pem" --template "$target/template" --outfile "$target/rsa2048.csr"
certtool --to-p12 --load-privkey "$base/p256.pem" --p12-name key --password secret --outfile "$target/p256.p12.pem"
rm "$target/template"
