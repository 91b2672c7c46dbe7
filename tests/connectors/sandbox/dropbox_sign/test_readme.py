"""The README's table of quirks names tests that exist."""

import re
from pathlib import Path

from connectors.sandbox import dropbox_sign_server
from connectors.sandbox.dropbox_sign_server.knobs import Knobs

README = Path(dropbox_sign_server.__file__).with_name("README.md").read_text()
HERE = Path(__file__).parent


def test_every_quirk_names_a_test_that_exists():
    """No row of the table points at nothing."""
    written = "".join(p.read_text() for p in HERE.glob("test_*.py") if p.name != Path(__file__).name)
    named = re.findall(r"\btest_[a-z0-9_]+(?!\w|\.py)", README)
    assert len(named) > 25
    assert [n for n in named if f"def {n}(" not in written] == []


def test_every_dial_is_described():
    """A dial that the README does not name does not exist for its reader."""
    assert [name for name in Knobs.model_fields if name not in README] == []
