"""The stand-in's README lists its limits and delays."""

from pathlib import Path

from connectors.sandbox import dropbox_sign_server
from connectors.sandbox.dropbox_sign_server.knobs import Knobs

README = Path(dropbox_sign_server.__file__).with_name("README.md").read_text()


def test_every_dial_is_described():
    """The README names every limit and delay."""
    assert [name for name in Knobs.model_fields if name not in README] == []
