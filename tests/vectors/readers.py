"""Readers of published vector files: NIST's response files, and Wycheproof's JSON."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cryptography_vectors
import pytest

NIST = Path(cryptography_vectors.__file__).parent
WYCHEPROOF = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "wycheproof"


def nist(path: str, output: str, *, sticky: tuple[str, ...] = ()) -> Iterator[dict[str, str]]:
    """The cases of a response file: its fields by lower-case name.

    A paragraph with the field `output` is a case. Fields of other paragraphs and of lines in brackets
    hold for the cases below, as do the `sticky` ones of cases. `section` is the last line in brackets;
    `fail` is there in a case that must not verify.
    """
    shared: dict[str, str] = {}
    found = False
    for paragraph in (NIST / path).read_text().split("\n\n"):
        fields: dict[str, str] = {}
        for raw in paragraph.splitlines():
            line = raw.partition("#")[0].strip()
            if line.startswith("[B."):  # the method that made the keys below
                continue
            if line.startswith("["):
                shared["section"] = line.strip("[]")
                for part in line.strip("[]").split(","):
                    name, equals, value = part.partition("=")
                    if equals:
                        shared[name.strip().lower()] = value.strip()
                continue
            name, equals, value = line.partition("=")
            if equals:
                fields[name.strip().lower()] = value.strip()
            elif line == "FAIL":
                fields["fail"] = line
        if output in fields:
            found = True
            shared |= {name: fields[name] for name in sticky if name in fields}
            yield shared | fields
        else:
            shared |= fields
    assert found, f"{path} has no case with {output}"


def wycheproof(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Group and case, for every case of a file; skips the test where the file is not beside the project."""
    path = WYCHEPROOF / f"{name}_test.json"
    if not path.is_file():
        pytest.skip(f"Wycheproof's {path.name} is not in ../shared/vectors/wycheproof")
    content = json.loads(path.read_text())
    count = 0
    for group in content["testGroups"]:
        for case in group["tests"]:
            count += 1
            yield group, case
    assert count == content["numberOfTests"] > 0
