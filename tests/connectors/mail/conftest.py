"""The fixtures of the mail server."""

from tests.mail_server import make_server, server, trust

__all__ = ["make_server", "server", "trust"]
