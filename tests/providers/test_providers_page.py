"""The commands and the program of docs/providers.md, as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.providers.softhsm import MODULE, needs_token

PAGE = Path(__file__).parent.parent.parent / "docs" / "providers.md"


@needs_token
def test_the_page_makes_a_key_in_a_token_and_uses_it(tmp_path: Path) -> None:
    """Token made, key generated, signed and verified."""
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    assert MODULE is not None
    page = PAGE.read_text()
    commands = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0]
    program = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "page.py").write_text(program.replace("/usr/lib/softhsm/libsofthsm2.so", MODULE))
    done = subprocess.run(
        ["sh", "-euc", f'{commands}\n"{sys.executable}" page.py'],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PAGE.parent.parent)},
        capture_output=True,
        text=True,
        check=False,
        # a bound for what hangs: on a busy machine the programs of the token alone took most of a minute
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("signed in the token, and verified there\n")
