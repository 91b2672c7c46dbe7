"""The README's tables: every quirk names tests that exist, and every test of a quirk is named."""

import re
from pathlib import Path

import pytest

from connectors import sandbox
from tests.places import ROOT

HERE = Path(__file__).parent
README = Path(sandbox.__file__).with_name("README.md").read_text("utf-8")
SECTIONS = {"hubspot": "## HubSpot: quirk and test", "dropbox_sign": "## Dropbox Sign: quirk and test"}


def rows(vendor):
    """Quirk, grade and test names of a vendor's table; headings within the table are left out."""
    part = README.split(SECTIONS[vendor])[1].split("\n## ")[0]
    found = [[c.strip() for c in line.split("|")[1:-1]] for line in part.splitlines() if line.startswith("|")]
    return [(quirk, grade, re.findall(r"`([^`]+)`", tests)) for quirk, grade, tests in found[2:] if grade]


def names_in(*folders):
    """Names of the tests in these folders or files."""
    files = [p for f in folders for p in ([f] if f.is_file() else sorted(f.glob("test_*.py")))]
    return {n for p in files for n in re.findall(r"^(?:async )?def (test_\w+)\(", p.read_text("utf-8"), re.M)}


@pytest.mark.parametrize("vendor", SECTIONS)
def test_every_quirk_names_tests_that_exist(vendor):
    """Every row has a test and a grade, and every test exists."""
    here, found = names_in(HERE / vendor), rows(vendor)
    assert len(found) > 35
    for quirk, grade, names in found:
        assert names, quirk
        assert re.fullmatch(r"(doc|live|own)( for reads)?(, (doc|live|own)( for reads)?)*", grade), quirk
        for name in names:
            file, _, test = name.rpartition("::")
            assert test in (names_in(ROOT / file) if file else here), name


def test_quirks_of_their_own_file_are_all_listed():
    """Every test of a quirk is in the table."""
    named = {n.rpartition("::")[2] for vendor in SECTIONS for _, _, names in rows(vendor) for n in names}
    assert names_in(HERE / "hubspot" / "test_quirks.py") - named == set()


def test_the_readmes_name_files_that_exist():
    """Links between the READMEs have targets."""
    folder = Path(sandbox.__file__).parent
    for path in folder.rglob("README.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text("utf-8")):
            assert (path.parent / target).is_file(), target
