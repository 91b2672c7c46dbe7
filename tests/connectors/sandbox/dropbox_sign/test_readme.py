"""The stand-in's README keeps up with its dials."""

from pathlib import Path

from connectors.sandbox import dropbox_sign_server
from connectors.sandbox.dropbox_sign_server.knobs import Knobs

README = Path(dropbox_sign_server.__file__).with_name("README.md").read_text()


def test_every_dial_is_described():
    """A dial that the README does not name does not exist for its reader."""
    assert [name for name in Knobs.model_fields if name not in README] == []
