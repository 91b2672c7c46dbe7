"""Sends one mail over SMTP: one attempt, no retry; an error says whether the mail may have been sent.

Synchronous: call it in a thread (`asyncio.to_thread`). SMTP cannot be asked later whether it took a mail. So the result
is unknown only between the last byte of the message and the server's answer to it (RFC 5321 section 4.2.5: from
its 250 on the mail is the server's). Before that nothing was sent; a refusal is final.
"""

import base64
import re
import smtplib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final, Literal

from connectors.http.errors import (
    AuthError,
    ConnectorError,
    RejectedError,
    TransientError,
    UnreadableAnswerError,
)
from connectors.http.exchange import CallRecord, OnCall

VENDOR: Final = "mail"
Tls = Literal["starttls", "tls", "off"]
_POLICY: Final = SMTP.clone(cte_type="7bit")  # every server takes this, whatever it announces
# RFC 4954 section 6: wrong credentials, too weak a method, or missing credentials.
_CREDENTIALS: Final = frozenset({530, 534, 535, 538})


@dataclass(frozen=True)
class Mail:
    """One plain-text mail to one person. message_id: with its angle brackets; a repeated mail has the same one."""

    to: str = field(repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)
    message_id: str
    written_at: datetime
    from_name: str = ""
    reply_to: str = field(default="", repr=False)


class MailClient:
    """One mail server. Every method returns or raises a `ConnectorError`: `applied` "no" means that nothing was sent,
    "maybe" that it is unknown.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        from_address: str,
        tls: Tls = "starttls",
        user: str = "",
        password: str = "",
        timeout_s: float = 30.0,
        context: ssl.SSLContext | None = None,
        on_call: OnCall | None = None,
    ) -> None:
        """tls: `starttls` on the submission port (587), `tls` from the first byte (465), `off` unencrypted. context:
        trusted authorities, by default the system's. timeout_s: for each answer of the server.
        """
        self.from_address = from_address
        self._host, self._port, self._tls = host, port, tls
        self._user, self._password = user, password
        self._timeout_s, self._on_call = timeout_s, on_call
        self._context = context or (ssl.create_default_context() if tls != "off" else None)

    def send(self, mail: Mail) -> None:
        """Send the mail to the server, once. Raises RejectedError when it refuses the mail or the address."""
        message = self._message(mail)
        with self._session("send") as server:
            _need(server.mail(self.from_address), 250)
            _need(server.rcpt(mail.to), 250, 251)
            _need(server.docmd("DATA"), 354)
            self._hand_over(server, message)

    def check(self) -> None:
        """Connect to the server and log in, as `send` would; nothing is sent."""
        with self._session("check"):
            pass

    def _message(self, mail: Mail) -> bytes:
        """The mail as bytes. Raises RejectedError for an address or header that no server takes."""
        message = EmailMessage(policy=_POLICY)
        try:
            message["From"] = Address(mail.from_name, addr_spec=self.from_address)
            message["To"] = Address(addr_spec=mail.to)
            if mail.reply_to:
                message["Reply-To"] = Address(addr_spec=mail.reply_to)
            message["Subject"] = mail.subject
            message["Date"] = format_datetime(mail.written_at)
            message["Message-ID"] = mail.message_id
            message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no automatic replies
            message.set_content(mail.text, cte="quoted-printable")
            wire = message.as_bytes()
            mail.to.encode("ascii")
        except (ValueError, IndexError, MessageError):  # their texts quote the address
            raise RejectedError(VENDOR, "send", detail="an address or header cannot be mailed to") from None
        return re.sub(rb"(?m)^\.", b"..", wire).removesuffix(b"\r\n") + b"\r\n.\r\n"

    def _hand_over(self, server: smtplib.SMTP, message: bytes) -> None:
        """Transfer the mail. From here on it may have been sent, unless the server refuses it."""
        try:
            server.send(message)
            code = server.getreply()[0]
        except (OSError, smtplib.SMTPException) as problem:
            raise TransientError(VENDOR, "send", detail=_words(problem), applied="maybe") from None
        if 400 <= code <= 599:  # refused, and not stored
            raise _refusal("send", code)
        if not 200 <= code <= 299:
            raise UnreadableAnswerError(
                VENDOR, "send", detail="an answer that is not an SMTP reply", applied="maybe"
            )

    @contextmanager
    def _session(self, operation: str) -> Iterator[smtplib.SMTP]:
        """A connection with the configured encryption, logged in if there is a user."""
        started, outcome, status = time.monotonic(), "ok", None
        server: smtplib.SMTP | None = None
        try:
            try:
                server = self._connected()
                yield server
            except ConnectorError:
                raise
            except (OSError, smtplib.SMTPException) as problem:
                raise _error(operation, problem) from None
        except ConnectorError as error:
            outcome, status = type(error).__name__, error.status
            raise
        finally:
            if server is not None:
                _leave(server, politely=outcome == "ok")
            if self._on_call is not None:
                spent = time.monotonic() - started
                self._on_call(CallRecord(VENDOR, operation, status, spent, outcome))

    def _connected(self) -> smtplib.SMTP:
        if self._tls == "tls":
            assert self._context is not None
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=self._timeout_s, context=self._context
            )
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)
        try:
            if self._tls == "starttls":
                server.starttls(context=self._context)
            server.ehlo_or_helo_if_needed()
            if self._user:
                self._log_in(server)
        except BaseException:
            server.close()
            raise
        return server

    def _log_in(self, server: smtplib.SMTP) -> None:
        """Log in by one method, once: `smtplib` would try all, and some servers disconnect after the first refusal."""
        offered = server.esmtp_features.get("auth", "").split()
        if "PLAIN" in offered:
            said = [f"AUTH PLAIN {_base64(f'{chr(0)}{self._user}{chr(0)}{self._password}')}"]
        elif "LOGIN" in offered:
            said = ["AUTH LOGIN", _base64(self._user), _base64(self._password)]
        else:
            raise smtplib.SMTPNotSupportedError
        code = 334
        for line in said:
            if code == 334:
                code = server.docmd(line)[0]
        if code != 235:
            raise smtplib.SMTPAuthenticationError(code, "")


def _need(reply: tuple[int, bytes], *wanted: int) -> None:
    if reply[0] not in wanted:
        raise _refusal("send", reply[0])


def _refusal(operation: str, code: int) -> ConnectorError:
    """The error of a refusal: nothing was sent. The server's text is left out: it quotes addresses."""
    kind: type[ConnectorError] = UnreadableAnswerError
    if code in _CREDENTIALS:
        kind = AuthError
    elif 400 <= code <= 499:
        kind = TransientError
    elif 500 <= code <= 599:
        kind = RejectedError
    return kind(VENDOR, operation, status=code)


def _error(operation: str, problem: Exception) -> ConnectorError:
    """The error of a failure before the last byte of the mail, so nothing was sent."""
    if isinstance(problem, smtplib.SMTPResponseException) and problem.smtp_code > 0:
        return _refusal(operation, problem.smtp_code)
    if isinstance(problem, smtplib.SMTPNotSupportedError):
        detail = "the server offers no STARTTLS, or no login by PLAIN or LOGIN"
        return RejectedError(VENDOR, operation, detail=detail)
    if isinstance(problem, ssl.SSLError):
        return UnreadableAnswerError(VENDOR, operation, detail=_words(problem))
    return TransientError(VENDOR, operation, detail=_words(problem))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _leave(server: smtplib.SMTP, *, politely: bool) -> None:
    """Say QUIT, but not after a failed answer; it does not change the result for an accepted mail."""
    try:
        if politely:
            server.quit()
    except (OSError, smtplib.SMTPException):
        pass
    finally:
        server.close()


def _words(problem: Exception) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(problem).__name__.removeprefix("SMTP")).lower()
