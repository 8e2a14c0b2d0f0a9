"""README and the other pages say what is true."""

import enum
import inspect
import itertools
import json
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import huks_async
from huks_async.crypto.libcrypto import search as libcrypto_search

TOP = Path(__file__).parent.parent
README = (TOP / "README.md").read_text()
PAGES = [TOP / "README.md", TOP / "CHANGELOG.md", *sorted((TOP / "docs").glob("*.md"))]

PROMISES = [
    name
    for name, fact in json.loads((TOP / "tests/conformance/facts/surface.json").read_text())[
        "functions"
    ].items()
    if fact["kind"] == "promise"
]

PYTHON_BLOCKS = [
    pytest.param(match[1], id=f"{page.name}-{number}")
    for page in PAGES
    # these have tests of their own: the first one's blocks are files that use one another, the second needs a token
    if page.name not in {"interoperability.md", "providers.md"}
    for number, match in enumerate(
        re.finditer(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    )
]


@pytest.mark.parametrize("code", PYTHON_BLOCKS)
def test_python_blocks_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block of Python is a program that runs as it stands, warnings being errors."""
    monkeypatch.setenv("HUKS_ASYNC_HOME", str(tmp_path / "keystore"))
    monkeypatch.delenv("HUKS_ASYNC_PROFILE", raising=False)
    program = tmp_path / "block.py"
    program.write_text(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", program],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_readme_opens_with_two_commands() -> None:
    """The first thing a reader sees is the demo, the second the tests."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert README.startswith("# huks_async\n\n```sh\n")
    demo, tests = blocks[:2]
    assert demo.count("\n") == tests.count("\n") == 1
    assert demo.rstrip().endswith("huks demo")
    assert "-m pytest" in tests
    for command in (demo, tests):
        assert command.startswith("python3 -m venv .venv")
        assert "-c constraints.txt" in command
        # pip would leave files in the user's cache, outside this folder
        assert "PIP_DISABLE_PIP_VERSION_CHECK=1" in command
        assert "--no-cache-dir" in command


def test_a_source_distribution_has_what_readme_needs() -> None:
    """A source distribution has the files that README's commands and links name."""
    targets = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    named = {link.partition("#")[0] for link in re.findall(r"\]\(([^):]+)\)", README)} | {"constraints.txt"}
    assert {name.partition("/")[0] for name in named} <= set(targets["sdist"]["include"])


def test_ci_runs_readmes_commands() -> None:
    """CI takes its commands from README, so that the two cannot differ, and comes to the tests last.

    It names pytest by itself once, for the tests that README's second command leaves to a run of their own there.
    """
    if not (TOP / ".ci").exists():
        pytest.skip(".ci is not part of this copy of the project")
    script = (TOP / ".ci" / "run").read_text()
    assert len(re.findall(r"-m pytest", script)) == 1
    assert '$(readme_command "$2")' in script
    assert """PYTEST_ADDOPTS='-m "not long"' readme "$version" 2 || return\n""" in script
    assert '.venv/bin/python -m pytest -q --basetemp=.venv/tmp -m long "$@"\n}\n' in script
    assert '        readme_tests "$newest" tests/cli\n    fi\n}\nbeside second second_lane\n' in script
    assert script.rstrip().splitlines()[-5:] == [
        "status=0",
        'if [ "$newest" = "$oldest" ]; then debug_mode; fi',
        '(readme_tests "$oldest" --ignore=tests/cli) || status=$?',
        "joined second",
        'exit "$status"',
    ]


def test_error_page_is_made_from_the_table() -> None:
    """docs/errors.md is what its script prints."""
    render = runpy.run_path(str(TOP / "docs" / "make_errors.py"))["render"]
    assert (TOP / "docs" / "errors.md").read_text() == render()


def test_reference_is_made_from_the_code() -> None:
    """docs/reference.md is what its script prints, and has every public name."""
    page = (TOP / "docs" / "reference.md").read_text()
    assert page == runpy.run_path(str(TOP / "docs" / "make_reference.py"))["render"]()
    for name in huks_async.__all__:
        if not hasattr(huks_async.Keystore, name):
            assert re.search(rf"^\| `(?:await )?{name}\b", page, re.MULTILINE), name


def _public_members() -> Iterator[tuple[str, Any]]:
    for name in huks_async.__all__:
        value = getattr(huks_async, name)
        if inspect.isroutine(value) or inspect.isclass(value):
            yield name, value
        if inspect.isclass(value) and not issubclass(value, enum.Enum):
            for member in vars(value):
                if not member.startswith("_") and (
                    inspect.isroutine(getattr(value, member)) or isinstance(vars(value)[member], property)
                ):
                    yield f"{name}.{member}", vars(value)[member]


def test_every_public_name_says_what_it_promises() -> None:
    """A docstring, a full sentence, for every public class, function, method and property."""
    for name, value in _public_members():
        text = inspect.getdoc(value) or ""
        first = text.partition("\n\n")[0].rstrip()
        assert len(first) > 10, name
        assert first[-1] in ".:" or "\n" in text, name


def test_documented_functions_say_how_they_fail() -> None:
    """Each function of HUKS on the keystore names its errors, or the function that it does the same as."""
    for name in PROMISES:
        text = inspect.getdoc(getattr(huks_async.Keystore, name)) or ""
        assert re.search(r"Raises:|Deprecated form of|Do what|does for|As `|Tell whether|Give all", text), (
            name
        )


def test_functions_of_the_module_say_what_the_methods_say() -> None:
    """`help` of a function at module level has the arguments and errors of the method that it calls."""
    for name in huks_async.__all__:
        value, method = getattr(huks_async, name), getattr(huks_async.Keystore, name, None)
        if inspect.isfunction(value) and method is not None:
            assert value.__doc__ == method.__doc__, name
    assert "Raises:" in (huks_async.initSession.__doc__ or "")


def test_no_docstring_sends_to_one_that_has_no_name() -> None:
    """What an argument of a public function is stands there, as the classes that `Keystore` is made of are not public."""
    for name, value in _inherited_members():
        assert "see the class" not in (inspect.getdoc(value) or ""), name


def _inherited_members() -> Iterator[tuple[str, Any]]:
    for name in dir(huks_async.Keystore):
        if not name.startswith("_"):
            yield name, getattr(huks_async.Keystore, name)


def test_algorithms_page_has_the_table_of_the_matrix() -> None:
    """The table in docs/algorithms.md is what its script makes of the support matrix."""
    render = runpy.run_path(str(TOP / "docs" / "make_algorithms.py"))["render"]
    page = (TOP / "docs" / "algorithms.md").read_text()
    assert render(page) == page
    assert page.count("| **") == 16


def test_algorithms_page_names_the_gate() -> None:
    """The versions of libcrypto on the page are those that the search accepts."""
    page = (TOP / "docs" / "algorithms.md").read_text()
    for (major, minor), patch in libcrypto_search._FIXED_IN.items():
        assert f"{major}.{minor}.{patch}" in page
    for variable in (libcrypto_search.PATH_VARIABLE, libcrypto_search.ACCEPT_VARIABLE):
        assert variable in page


def test_the_map_shows_the_floors_that_imports_are_held_to() -> None:
    """docs/architecture.md lists the layers of the import linter, in its order, and no other room."""
    contracts = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = [set(layer.split(" | ")) for layer in contracts[0]["layers"]]
    page = (TOP / "docs" / "architecture.md").read_text()
    shown = [
        set(re.findall(r"`(huks_async\.\w+)`", row))
        for row in re.findall(r"^\| \d \|([^|]+)\|", page, re.MULTILINE)
    ]
    assert shown == floors


def test_the_map_names_files_and_rooms_that_are_there() -> None:
    """Every path on the page exists, in the library or beside it."""
    page = (TOP / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:\w+/)+(?:\w+(?:\.\w+)?)?|\w+\.(?:py|toml))`", page))
    assert len(named) > 40
    missing = [
        name
        for name in named
        if not ((TOP / "huks_async" / name).exists() or (TOP / name).exists())
        and not list((TOP / "huks_async").rglob(name))
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_constraints_pin_every_requirement() -> None:
    """Each line is one exact version, which the package and its extras accept, and none of their requirements is missing.

    The peers of benchmarks alone are no part of what is tested together.
    """
    lines = [line for line in (TOP / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line), line
    pinned = {
        canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)
    }
    assert len(pinned) == len(lines)
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    extras = [each for name, each in project["optional-dependencies"].items() if name != "bench"]
    for text in itertools.chain(project["dependencies"], *extras):
        requirement = Requirement(text)
        if requirement.name != "huks-async":
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), text
