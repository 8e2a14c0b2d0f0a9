#!/bin/sh
# Keys of files/base as ssh-keygen writes them: openssh.sh BASE TARGET
set -eu
umask 077
base=$1 target=$2
for name in rsa2048 p256 p384 p521 ed25519; do
    # ssh-keygen reads no PKCS#8 of Ed25519: that key was made by it
    if [ -e "$base/$name.openssh" ]; then from="$base/$name.openssh"; else from="$base/$name.pem"; fi
    cp "$from" "$target/$name.openssh"
    chmod 600 "$target/$name.openssh"
    ssh-keygen -q -p -P '' -N '' -C 'someone@somewhere' -f "$target/$name.openssh"
    ssh-keygen -y -f "$target/$name.openssh" > "$target/$name.pub"
    cp -p "$target/$name.openssh" "$target/$name.encrypted.openssh"
    ssh-keygen -q -p -P '' -N secret -f "$target/$name.encrypted.openssh"
    ssh-keygen -e -f "$target/$name.pub" > "$target/$name.rfc4716"
done
for name in rsa2048 p256; do
    ssh-keygen -e -m PKCS8 -f "$target/$name.pub" > "$target/$name.spki.pem"
    cp "$target/$name.openssh" "$target/$name.pkcs8.pem"
    ssh-keygen -q -p -P '' -N '' -m PKCS8 -f "$target/$name.pkcs8.pem"
    cp "$target/$name.openssh" "$target/$name.old.pem"
    ssh-keygen -q -p -P '' -N '' -m PEM -f "$target/$name.old.pem"
done
cp "$target/rsa2048.openssh" "$target/rsa2048.old.encrypted.pem"
ssh-keygen -q -p -P '' -N secret -m PEM -f "$target/rsa2048.old.encrypted.pem"
ssh-keygen -e -m PEM -f "$target/rsa2048.pub" > "$target/rsa2048.pkcs1.pem"
{
    echo '# people'
    echo
    printf 'command="echo \\"ssh-rsa AAAA\\" # all",no-pty,from="10.0.0.0/8" %s\n' "$(cat "$target/ed25519.pub")"
} > "$target/ed25519.authorized_keys"
cat "$target/p256.pub" "$target/ed25519.pub" > "$target/two.authorized_keys"
cp "$target/ed25519.pub" "$target/host.pub"
ssh-keygen -q -s "$target/p256.openssh" -I throwaway -h -n host -V always:forever "$target/host.pub"
rm "$target/host.pub"
