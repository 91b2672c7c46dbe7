"""A mail server on loopback: aiosmtpd, a whole SMTP implementation that is not ours, which can be made to misbehave."""

import datetime
import ipaddress
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USER, PASSWORD = "dealflow", "a secret, größer als ASCII"


@dataclass
class MailServer:
    """The accepted mails, and its answers: `replies` by command, `after_data` instead of its answer to a message."""

    host: str
    port: int
    taken: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    replies: dict[str, str] = field(default_factory=dict)
    after_data: Callable[[SMTP], None] | None = None
    said: list[str] = field(default_factory=list)

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, name: str, replies: list[str]
    ) -> list[str]:
        session.host_name = name
        self.said.append("EHLO")
        return replies

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self.replies.get("MAIL", "250 OK")

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.replies.get("RCPT", "250 OK")

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if (reply := self.replies.get("DATA", "250 OK")).startswith("250"):
            assert isinstance(envelope.content, bytes)
            parsed = message_from_bytes(envelope.content, policy=default)
            assert isinstance(parsed, EmailMessage)
            self.taken.append(parsed)
            self.envelopes.append((envelope.mail_from or "", list(envelope.rcpt_tos)))
        if self.after_data is not None:
            self.after_data(server)
        return reply


def hang_up(server: SMTP) -> None:
    """The connection is gone before the answer."""
    assert server.transport is not None
    server.transport.abort()


def sleep(server: SMTP) -> None:
    """The answer comes too late."""
    time.sleep(1.5)


def _authenticated(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (
        USER.encode(),
        PASSWORD.encode(),
    )
    return AuthResult(success=good, handled=False)


@dataclass(frozen=True)
class Trust:
    """A certificate for localhost: the server's side, and a client that trusts it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="session")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    """Self-signed, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder: Path = tmp_path_factory.mktemp("tls")
    pem = folder / "both.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(pem)
    client = ssl.create_default_context()
    client.load_verify_locations(cadata=certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"))
    return Trust(server, client)


@pytest.fixture
def make_server(trust: Trust) -> Iterator[Callable[..., MailServer]]:
    """Starts servers: `tls` is how they are to be spoken to, `login` whether they ask who it is, `no` in which way."""
    running: list[Controller] = []

    def start(tls: str = "off", *, login: bool = False, no: tuple[str, ...] = ()) -> MailServer:
        state = MailServer("127.0.0.1", 0)
        how: dict[str, Any] = {"auth_require_tls": False}
        if tls == "starttls":
            how |= {"tls_context": trust.server, "require_starttls": True, "auth_require_tls": True}
        if login:
            how |= {"authenticator": _authenticated, "auth_required": True, "auth_exclude_mechanism": no}
        inside = {"ssl_context": trust.server} if tls == "tls" else {}
        controller = Controller(state, hostname="127.0.0.1", port=0, **inside, **how)
        # It connects to itself to see whether it runs: a port of its own choice is only known afterwards.
        controller.port = _free_port()
        state.port = controller.port
        controller.start()
        running.append(controller)
        return state

    yield start
    for controller in running:
        controller.stop(no_assert=True)


def _free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


@pytest.fixture
def server(make_server: Callable[..., MailServer]) -> MailServer:
    """A server that accepts everything, unencrypted."""
    return make_server()
