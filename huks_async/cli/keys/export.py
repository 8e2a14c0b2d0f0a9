"""`huks keys export`: the public half of a key pair for other programs."""

from typing import Annotated, Literal

from cyclopts import Parameter

from huks_async.cli.words.arguments import HERE, TO_STANDARD_OUTPUT, Alias, Destination, Place
from huks_async.cli.words.parameters import options
from huks_async.keys.forms.convert import spki_of_export
from huks_async.keys.forms.pem import to_pem
from huks_async.model.tags import HuksTag


async def export(
    alias: Alias,
    /,
    *,
    form: Annotated[
        Literal["pem", "der", "huks"],
        Parameter(
            name=["--form", "-f"], help="pem or der: SubjectPublicKeyInfo; huks: as exportKeyItem gives it."
        ),
    ] = "pem",
    destination: Destination = TO_STANDARD_OUTPUT,
    place: Place = HERE,
) -> None:
    """Write the public half of a key pair."""
    if form != "pem":
        destination.refuse_terminal("the key in this form")
    async with place.open(new=False) as keystore:
        data = (await keystore.exportKeyItem(alias, options(**place.tags))).outData
        if form != "huks":
            stored = (await keystore.getKeyItemProperties(alias, options(**place.tags))).properties
            algorithm = next(int(p.value) for p in stored if p.tag == HuksTag.HUKS_TAG_ALGORITHM)
            data = spki_of_export(data, algorithm)
    with destination.open() as target:
        target.write(to_pem(data, "PUBLIC KEY").encode() if form == "pem" else data)
        target.commit()
