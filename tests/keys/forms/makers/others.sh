#!/bin/sh
# Keys of programs whose files are named and not taken: others.sh BASE TARGET
set -eu
umask 077
base=$1 target=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo secret > passphrase
: > empty
puttygen "$base/ed25519.openssh" -O private -o "$target/putty.ppk" --old-passphrase empty --new-passphrase empty
export GNUPGHOME="$work/gnupg"
mkdir "$GNUPGHOME"
gpg -q --batch --passphrase '' --quick-generate-key throwaway@example.org ed25519 default never 2>/dev/null
gpg -q --batch --export-secret-keys > "$target/private.gpg"
gpg -q --batch --export > "$target/public.gpg"
gpg -q --batch --armor --export-secret-keys > "$target/private.gpg.asc"
gpg -q --batch --armor --export > "$target/public.gpg.asc"
gpgconf --kill all
age-keygen -o "$target/age.txt" 2>/dev/null
age-keygen -y "$target/age.txt" > "$target/age.public.txt"
age -r "$(cat "$target/age.public.txt")" -o "$target/sealed.age" passphrase
age -a -r "$(cat "$target/age.public.txt")" -o "$target/sealed.age.pem" passphrase
printf '\n\n' | minisign -G -W -f -p "$target/minisign.pub" -s "$target/minisign.key" >/dev/null
