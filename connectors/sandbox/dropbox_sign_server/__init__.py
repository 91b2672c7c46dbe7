"""The Dropbox Sign stand-in: the part of its API that contracts need, stateful, over real HTTP.

Reading order: `sandbox.py` (how it is put together), `requests_api.py` (the routes), `drafts.py`
and `texttags.py` (what is accepted), `engine.py` and `signers.py` (what happens afterwards), `events.py`.
"""

from connectors.sandbox.dropbox_sign_server.sandbox import DropboxSignSandbox, build

__all__ = ["DropboxSignSandbox", "build"]
