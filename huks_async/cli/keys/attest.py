"""`huks keys attest` and `attestation-root`, and `huks verify-attestation` on the other side."""

import re
from typing import Annotated, Literal

from cyclopts import Parameter

from huks_async.cli.shell.console import CommandError, escape, show, show_json, usage_error
from huks_async.cli.shell.files import open_input, segments
from huks_async.cli.words.arguments import (
    HERE,
    TO_STANDARD_OUTPUT,
    Alias,
    Destination,
    InputName,
    Json,
    Place,
    check_standard_input,
    no_option,
)
from huks_async.cli.words.parameters import Tags, options, properties
from huks_async.keys.attestation import AttestationError, AttestationReport, verify_attestation
from huks_async.keys.forms.pem import in_lines
from huks_async.model.enums import HuksKeyDigest, HuksKeyFlag, HuksKeyPadding

_MAX_CHAIN_BYTES = 1024 * 1024
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")

Challenge = Annotated[
    str, Parameter(name=["--challenge", "-c"], help="What the verifier gave, in hexadecimal digits.")
]


async def attest(
    alias: Alias,
    /,
    *,
    challenge: Challenge,
    form: Annotated[
        Literal["named", "anonymous", "offline"],
        Parameter(name=["--form", "-f"], help="offline: anonymous, under an authority valid for 30 days."),
    ] = "named",
    key_id: Annotated[str | None, Parameter(help="Text to put beside the key, e.g. its name.")] = None,
    destination: Destination = TO_STANDARD_OUTPUT,
    place: Place = HERE,
) -> None:
    """Certify that the keystore holds a key: writes certificates in PEM, the key's first.

    The authority is made of software and belongs to the store; see `huks keys attestation-root`.
    """
    tags: Tags = {"ATTESTATION_CHALLENGE": _challenge(challenge), **place.tags}
    if key_id is not None:
        # whatever the locale, text is UTF-8; bytes that are no text stay as they are
        tags["ATTESTATION_ID_ALIAS"] = key_id.encode("utf-8", "surrogateescape")
    async with place.open(new=False) as keystore:
        if form == "offline":
            result = await keystore.anonAttestKeyItemOffline(alias, properties(**tags))
        elif form == "anonymous":
            result = await keystore.anonAttestKeyItem(alias, options(**tags))
        else:
            result = await keystore.attestKeyItem(alias, options(**tags))
    _write(result.certChains, destination)


async def attestation_root(*, destination: Destination = TO_STANDARD_OUTPUT, place: Place = HERE) -> None:
    """Write the certificate that verifiers of this store's attestations are to trust, in PEM."""
    async with place.open() as keystore:
        root = await keystore.attestation_root()
    _write([root], destination)


def verify_attestation_command(
    chain: InputName,
    /,
    *,
    challenge: Challenge,
    root: Annotated[
        list[str],
        Parameter(
            name=["--root", "-r"],
            negative=(),
            help="A file of certificates to trust; may be repeated.",
            allow_leading_hyphen=True,
            validator=no_option,
        ),
    ],
    json: Json = False,
) -> None:
    """Check certificates that `keys attest` wrote, and print what they say of the key."""
    expected = _challenge(challenge)
    check_standard_input(chain, *root)
    roots = [certificate for path in root for certificate in _certificates(_read(path), path)]
    text = _read(chain)
    try:
        report = verify_attestation(_certificates(text, chain), expected, roots=roots)
    except AttestationError as error:
        raise CommandError(error.message, hint=f"reason: {error.refusal.name}") from None
    if json:
        show_json(_for_programs(report))
        return
    for name, value in _told(report).items():
        show(f"{name}: {value}")


def _for_programs(report: AttestationReport) -> dict[str, object]:
    return {
        "public_key": report.public_key.hex(),
        "level": report.level,
        "software": report.is_software,
        "challenge": report.challenge.hex(),
        "key_id": report.key_id.hex(),
        "origin": report.origin,
        "application": {name: _plain(value) for name, value in report.application.items()},
        "application_kind": report.application_kind,
        "groups": list(report.groups),
        "purposes": report.purposes,
        "digest": report.digest,
        "padding": report.padding,
        "sign_type": report.sign_type,
        "device_ids": dict(report.device_ids),
        "not_before": report.not_before.isoformat(),
        "not_after": report.not_after.isoformat(),
        "root": report.root,
    }


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, (int, str)) else str(value)


def _told(report: AttestationReport) -> dict[str, object]:
    origins = {int(flag): flag.name.removeprefix("HUKS_KEY_FLAG_") for flag in HuksKeyFlag}
    origin = "" if report.origin is None else origins.get(report.origin, str(report.origin))
    told: dict[str, object] = {
        "vouched for by": "software" if report.is_software else f"hardware (level {report.level})",
        "root": report.root,
        "attested": report.not_before.isoformat(),
        "valid until": report.not_after.isoformat(),
        "key": report.public_key.hex(),
        "key id": report.key_id.decode(errors="replace"),
        "origin": origin.lower().replace("_", " "),
        "application": ", ".join(f"{name}={value!r}" for name, value in report.application.items()),
        "usage": ", ".join(report.groups),
    }
    for name, enum, value in (
        ("digest", HuksKeyDigest, report.digest),
        ("padding", HuksKeyPadding, report.padding),
    ):
        if value is not None:
            told[name] = enum(value).name if value in list(enum) else value
    if report.purposes is not None:
        told["purposes"] = report.purposes
    # a keystore's texts must not steer a terminal
    return {name: escape(str(value), also="") for name, value in told.items() if value != ""}


def _challenge(text: str) -> bytes:
    try:
        challenge = bytes.fromhex(text)
    except ValueError:
        challenge = b""
    if not challenge:
        raise usage_error(
            "the challenge must be hexadecimal digits", hint="the verifier makes one: openssl rand -hex 32"
        )
    return challenge


def _read(name: str) -> str:
    data = bytearray()
    with open_input(name) as file:
        for piece in segments(file):
            data += piece
            if len(data) > _MAX_CHAIN_BYTES:
                raise CommandError(
                    f"{name} is longer than any chain of certificates, {_MAX_CHAIN_BYTES} bytes"
                )
    return data.decode("ascii", "replace")


def _certificates(text: str, name: str) -> list[str]:
    found = _CERTIFICATE.findall(text)
    if not found:
        raise CommandError(f"{name} has no certificates in PEM")
    return found


def _write(certificates: list[str], destination: Destination) -> None:
    with destination.open() as target:
        for certificate in certificates:
            target.write(in_lines(certificate).encode())
        target.commit()
