"""One mail over SMTP against a real server: what arrives, and whether a failure may have sent it."""

import smtplib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.http.errors import (
    AuthError,
    ConnectorError,
    RejectedError,
    TransientError,
    UnreadableAnswerError,
)
from connectors.http.exchange import CallRecord
from connectors.mail.client import Mail, MailClient
from tests.amount import examples
from tests.mail_server import PASSWORD, USER, hang_up, sleep

MAIL = Mail(
    to="ada@analytical-engines.example",
    subject="Grüße: was ist noch offen?",
    text="Guten Tag,\n\n.eine Zeile, die mit einem Punkt beginnt\n.\nund eine " + "lange " * 400 + "\n",
    message_id="<abc123@seller.example>",
    written_at=datetime(2026, 11, 22, 9, 0, tzinfo=UTC),
    from_name="Example Software GmbH",
    reply_to="olga@seller.example",
)
FROM = "sales@seller.example"
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH")  # the stand-in is on loopback


def client(server: Any, **more: Any) -> MailClient:
    return MailClient(server.host, server.port, from_address=FROM, **{"tls": "off", "timeout_s": 1.0, **more})


def test_what_arrives_is_what_was_written(server: Any) -> None:
    """Subject, text with its dots and long lines, addresses, date and Message-ID reach the other side unchanged."""
    client(server).send(MAIL)

    (got,) = server.taken
    assert got["Subject"] == MAIL.subject
    assert got.get_content().replace("\r\n", "\n").rstrip() == MAIL.text.rstrip()
    assert str(got["From"]) == f"Example Software GmbH <{FROM}>" and got["To"] == MAIL.to
    assert (got["Reply-To"], got["Message-ID"]) == ("olga@seller.example", "<abc123@seller.example>")
    assert got["Date"].datetime == MAIL.written_at and got["Auto-Submitted"] == "auto-generated"
    assert server.envelopes == [(FROM, [MAIL.to])]


@pytest.mark.parametrize(
    ("tls", "no"), [("starttls", ("LOGIN",)), ("tls", ("PLAIN",)), ("starttls", ("PLAIN",))]
)
def test_under_tls_with_a_login(
    make_server: Callable[..., Any], trust: Any, tls: str, no: tuple[str, ...]
) -> None:
    """Both kinds of encryption and of login; the mail is sent only after them."""
    server = make_server(tls, login=True, no=no)
    known = {"tls": tls, "context": trust.client, "user": USER}
    client(server, password=PASSWORD, **known).send(MAIL)
    assert len(server.taken) == 1

    with pytest.raises(AuthError) as caught:
        client(server, password="wrong", **known).send(MAIL)
    assert (caught.value.applied, caught.value.status) == ("no", 535)
    assert len(server.taken) == 1 and "wrong" not in str(caught.value)


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_stranger_is_not_trusted(make_server: Callable[..., Any], tls: str) -> None:
    """An untrusted certificate ends the session before user, password or mail are sent."""
    server = make_server(tls, login=True)
    with pytest.raises(UnreadableAnswerError) as caught:
        client(server, tls=tls, user="dealflow", password="a secret").send(MAIL)
    assert caught.value.applied == "no" and server.taken == []


def test_a_login_that_we_do_not_know(make_server: Callable[..., Any], trust: Any) -> None:
    """A server that offers no login: reported, and nothing is sent."""
    server = make_server("starttls", login=True, no=("PLAIN", "LOGIN"))
    with pytest.raises(RejectedError, match="PLAIN or LOGIN"):
        client(server, tls="starttls", context=trust.client, user=USER, password=PASSWORD).send(MAIL)
    assert server.taken == []


def test_nothing_falls_back_to_the_clear(server: Any) -> None:
    """A server without STARTTLS gets no mail when STARTTLS is required."""
    with pytest.raises(RejectedError, match="STARTTLS") as caught:
        client(server, tls="starttls").send(MAIL)
    assert caught.value.applied == "no" and server.taken == []


@pytest.mark.parametrize(
    ("command", "reply", "kind"),
    [
        ("MAIL", "550 no such sender olga@seller.example", RejectedError),
        ("MAIL", "451 come back later", TransientError),
        ("MAIL", "530 log in first", AuthError),
        ("RCPT", "550 5.1.1 ada@analytical-engines.example unknown", RejectedError),
        ("RCPT", "450 greylisted", TransientError),
        ("DATA", "554 looks like spam", RejectedError),
        ("DATA", "452 disk full", TransientError),
    ],
)
def test_a_no_means_nothing_was_sent(
    server: Any, command: str, reply: str, kind: type[ConnectorError]
) -> None:
    """Whatever the server refuses, and when: `applied` is no, and its text, which quotes addresses, stays out."""
    server.replies[command] = reply
    with pytest.raises(kind) as caught:
        client(server).send(MAIL)
    assert type(caught.value) is kind and caught.value.applied == "no"
    assert caught.value.status == int(reply[:3])
    assert "@" not in str(caught.value) and server.taken == []


@pytest.mark.parametrize("what", [hang_up, sleep])
def test_no_answer_to_the_message_is_doubt(server: Any, what: Any) -> None:
    """The server has the mail and its answer is lost: `maybe`, never `no`."""
    server.after_data = what
    with pytest.raises(TransientError) as caught:
        client(server).send(MAIL)
    assert caught.value.applied == "maybe" and len(server.taken) == 1


def test_a_garbled_answer_is_doubt(server: Any) -> None:
    """An invalid reply means neither success nor refusal."""
    server.replies["DATA"] = "250 OK"
    server.after_data = lambda smtp: smtp.transport.write(b"???\r\n")
    with pytest.raises(ConnectorError) as caught:
        client(server).send(MAIL)
    assert caught.value.applied == "maybe"


def test_nobody_there(make_server: Callable[..., Any]) -> None:
    """Refused, or a name that does not exist: nothing was sent."""
    server = make_server()
    server.port = 1
    for host in ("127.0.0.1", "mail.invalid"):
        server.host = host
        with pytest.raises(TransientError) as caught:
            client(server).send(MAIL)
        assert caught.value.applied == "no"


@pytest.mark.parametrize(
    "change",
    [
        {"to": "ada@analytical-engines.example\r\nBcc: all@world.example"},
        {"to": "ada"},
        {"to": ""},
        {"to": "müller@example.com"},
        {"subject": "a\r\nBcc: all@world.example"},
        {"message_id": "<a>\r\nBcc: x@y.example"},
        {"from_name": "a\nb"},
        {"reply_to": "not an address"},
    ],
)
def test_what_cannot_stand_in_a_header_is_refused(server: Any, change: dict[str, str]) -> None:
    """Line breaks and odd addresses never reach the server, and never the error's text."""
    with pytest.raises(RejectedError) as caught:
        client(server).send(replace(MAIL, **change))
    assert server.taken == [] and server.said == [] and "@" not in str(caught.value)


@settings(max_examples=examples(200))
@given(to=st.text(max_size=40), subject=st.text(max_size=60), text=st.text(max_size=200))
def test_any_text_is_a_mail_or_a_refusal(to: str, subject: str, text: str) -> None:
    """For any text in the CRM: either whole bytes ending in one lone dot, or RejectedError."""
    one = MailClient("127.0.0.1", 1, from_address=FROM, tls="off")
    mail = replace(MAIL, to=to, subject=subject, text=text)
    try:
        wire = one._message(mail)
    except RejectedError:
        return
    assert wire.endswith(b"\r\n.\r\n") and wire.count(b"\r\n.\r\n") == 1
    assert wire.count(b"\n") == wire.count(b"\r\n") and wire.isascii()
    assert wire.split(b"\r\n\r\n")[0].lower().count(b"\r\nto:") == 1


def test_check_sends_nothing_and_is_counted(make_server: Callable[..., Any]) -> None:
    """`check` reaches the server and leaves again; each call gives one record without names."""
    server, calls = make_server(), list[CallRecord]()
    one = client(server, on_call=calls.append)
    one.check()
    server.replies["RCPT"] = "550 no"
    with pytest.raises(RejectedError):
        one.send(MAIL)
    assert server.taken == []
    assert [(c.vendor, c.operation, c.status, c.outcome) for c in calls] == [
        ("mail", "check", None, "ok"),
        ("mail", "send", 550, "RejectedError"),
    ]


def test_no_secret_is_shown() -> None:
    """The repr of client and mail shows no content."""
    one = MailClient("h", 25, from_address=FROM, tls="off", user="u", password="a secret")
    assert "a secret" not in repr(one) and "Grüße" not in repr(MAIL) and "ada" not in repr(MAIL)
    assert smtplib.SMTP.debuglevel == 0
