"""The e-mail of a follow-up: its recipient, the reasons against one, and SMTP against a real mail server."""

import hashlib
from email.message import EmailMessage
from typing import Any

import pytest

from connectors.http.errors import TransientError
from connectors.mail.client import MailClient
from flows.follow_up import follow_up
from flows.ledger import effects
from flows.processes import FOLLOW_UP_DUE
from flows.rules.outcome import Outcome
from tests.mail_server import MailServer, hang_up, make_server, server, sleep, trust

__all__ = ["make_server", "server", "trust"]
ASKED = {"source": "operator", "content": {"by": "operator"}}


@pytest.fixture
def over_smtp(s: Any, server: MailServer) -> MailServer:
    """Follow-ups are sent by SMTP."""
    s.settings = s.settings.model_copy(update={"follow_up_email": "smtp"})
    s.mail = MailClient(
        server.host, server.port, from_address="sales@seller.example", tls="off", timeout_s=1.0
    )
    return server


async def stuck(sales: Any, **more: Any) -> str:
    deal_id: str = await sales.deal("qualification", dealflow_need="", **more)
    return deal_id


async def asked(desk: Any, deal_id: str) -> Any:
    """A person asks for a follow-up of the deal now."""
    return await desk.do(follow_up, FOLLOW_UP_DUE, deal_id, **ASKED)


def tasks(world: Any) -> list[str]:
    return [t["properties"]["hs_task_body"] for t in world.records("tasks")]


async def quarantined(desk: Any) -> list[str]:
    async with desk.s.ledger.read() as tx:
        return [e.key for e in await effects.listing(tx, states=("quarantined",))]


async def test_it_is_really_sent_and_the_deal_says_so(
    world: Any, desk: Any, sales: Any, over_smtp: MailServer
) -> None:
    """One mail to the contact, answers to the owner, a note with its words on the deal, no draft."""
    deal_id = await stuck(sales)

    end = await asked(desk, deal_id)

    assert isinstance(end, Outcome) and end.state == "done"
    (mail,) = over_smtp.taken
    assert isinstance(mail, EmailMessage)
    assert mail["To"] == "ada@analytical-engines.example"
    assert str(mail["From"]) == "Example Software GmbH <sales@seller.example>"
    assert mail["Reply-To"] == "mara.lindt@example.test"
    assert mail["Subject"] == "Is it worth solving at Analytical Engines Ltd?"
    assert "Hello Ada Byron," in mail.get_content() and "{" not in mail.get_content()
    (note,) = sales.notes_of(deal_id)
    said = note["properties"]["hs_note_body"]
    assert "Is it worth solving" in said and "Hello Ada Byron," in said
    assert sales.contact_of(deal_id) in said and world.records("emails") == []
    assert "sent an e-mail" in tasks(world)[0]
    assert "Ada" not in str(end) and "@" not in str(end)


@pytest.mark.parametrize("what", [hang_up, sleep])
async def test_in_doubt_it_is_never_sent_again(
    world: Any, desk: Any, sales: Any, over_smtp: MailServer, what: Any
) -> None:
    """The server took it and its answer was lost: quarantined for a person; the other steps are done once."""
    deal_id = await stuck(sales)
    over_smtp.after_data = what
    event_id = await desk.record(FOLLOW_UP_DUE, deal_id, **ASKED)

    assert isinstance(await desk.run(follow_up, event_id), TransientError)
    over_smtp.after_data = None
    end = await desk.run(follow_up, event_id)

    assert isinstance(end, Outcome) and end.state == "dead" and "check whether it is there" in end.reasons[0]
    assert len(over_smtp.taken) == 1
    (key,) = await quarantined(desk)
    assert key.startswith(f"email:{deal_id}:follow_up:qualification:")
    assert len(tasks(world)) == 1 and "not known whether the e-mail was sent" in tasks(world)[0]
    # Requested again without a check by a person: still not sent.
    again = await desk.do(follow_up, FOLLOW_UP_DUE, deal_id, **ASKED)
    assert again.state == "ignored" and len(over_smtp.taken) == 1


async def test_released_by_a_person_it_is_sent(
    world: Any, desk: Any, sales: Any, over_smtp: MailServer
) -> None:
    """A person checked the log, it was not there: released and retried, it goes out, and no second task comes."""
    deal_id = await stuck(sales)
    over_smtp.after_data = hang_up
    event_id = await desk.record(FOLLOW_UP_DUE, deal_id, **ASKED)
    await desk.run(follow_up, event_id)
    over_smtp.after_data = None
    await desk.run(follow_up, event_id)
    (key,) = await quarantined(desk)
    over_smtp.taken.clear()

    async with desk.s.ledger.write() as tx:
        await effects.release(tx, key, why="looked into the log: it was never there")
    end = await desk.do(follow_up, FOLLOW_UP_DUE, deal_id)

    assert end.state == "done" and len(over_smtp.taken) == 1 and len(tasks(world)) == 1
    assert len(sales.notes_of(deal_id)) == 1 and await quarantined(desk) == []
    assert (await desk.do(follow_up, FOLLOW_UP_DUE, deal_id)).state == "ignored"
    assert len(over_smtp.taken) == 1


@pytest.mark.parametrize(
    ("command", "reply"),
    [("RCPT", "550 no such mailbox"), ("MAIL", "530 log in"), ("DATA", "554 looks like spam")],
)
async def test_a_refusal_stops_the_mail_not_the_task(
    world: Any, desk: Any, sales: Any, over_smtp: MailServer, command: str, reply: str
) -> None:
    """The owner's task is made and says why there is no mail; the deal's other events are not delayed."""
    over_smtp.replies[command] = reply
    end = await asked(desk, await stuck(sales))
    assert end.state == "done" and over_smtp.taken == []
    assert f"status {reply[:3]}" in tasks(world)[0]


async def test_a_mail_server_that_is_away_holds_nobody_up(
    world: Any, desk: Any, sales: Any, s: Any, over_smtp: MailServer
) -> None:
    """Nothing is sent, the task says so, and the event ends: a contract behind it in the lane need not wait."""
    s.mail = MailClient("127.0.0.1", 1, from_address="sales@seller.example", tls="off")
    end = await asked(desk, await stuck(sales))
    assert end.state == "done" and over_smtp.taken == []
    assert "wrote no e-mail" in tasks(world)[0]


@pytest.mark.parametrize(
    ("contact", "says"),
    [
        ({"hs_email_optout": "true"}, "has opted out of e-mail"),
        ({"hs_email_bad_address": "true"}, "has bounced"),
        ({"hs_email_hard_bounce_reason_enum": "UNKNOWN_USER"}, "has bounced"),
        ({"email": ""}, "has no e-mail address"),
        ({"email": "sales@example.com"}, "is one of our own"),
        ({"firstname": ""}, "contact.firstname is empty"),
        ({"firstname": "TBD"}, "breaks the rule placeholder_words"),
        ({"lastname": "<b>Byron</b>"}, "breaks the rule html_markup"),
    ],
)
@pytest.mark.parametrize("how", ["hubspot", "smtp"])
async def test_who_gets_none(
    world: Any,
    desk: Any,
    sales: Any,
    over_smtp: MailServer,
    s: Any,
    contact: dict[str, str],
    says: str,
    how: str,
) -> None:
    """Opted out, bounced, no address, ours, a gap in the text: no e-mail either way, and the task says why."""
    if how == "hubspot":
        s.mail, s.settings = None, s.settings.model_copy(update={"follow_up_email": "hubspot"})
    ada = {"email": "ada@analytical-engines.example", "firstname": "Ada", "lastname": "Byron"}
    deal_id = await stuck(sales, contact={k: v for k, v in {**ada, **contact}.items() if v})

    assert (await asked(desk, deal_id)).state == "done"

    assert over_smtp.taken == [] and world.records("emails") == []
    (task,) = tasks(world)
    assert says in task and "@" not in task


async def test_the_decision_maker_is_written_to(world: Any, desk: Any, sales: Any) -> None:
    """Two people on the deal: the one who decides, though another is labelled as signer or was there first."""
    deal_id = await stuck(sales, labels=("Signer",))
    values = {"email": "dee@analytical-engines.example", "firstname": "Dee", "lastname": "Cider"}
    dee = world.rep("contacts", create=True, properties=values)["id"]
    label = {"to_type": "contacts", "to_id": dee, "label": "Decision maker"}
    world.rep("deals", id=deal_id, associations=[label])

    await asked(desk, deal_id)

    (email,) = world.records("emails")
    assert "Hello Dee Cider," in email["properties"]["hs_email_text"]
    assert [link["id"] for link in email["associations"]["contacts"]] == [dee]


async def test_once_in_a_stay_unless_it_could_not_be_written(world: Any, desk: Any, sales: Any) -> None:
    """A gap in the text the first time, written the second, not again the third; in the next stage its own."""
    deal_id = await stuck(sales, contact={"email": "ada@analytical-engines.example", "lastname": "Byron"})
    await asked(desk, deal_id)
    assert world.records("emails") == []
    world.rep("contacts", id=sales.contact_of(deal_id), properties={"firstname": "Ada"})
    for _ in range(2):
        world.advance(86_400)
        end = await asked(desk, deal_id)
    assert len(world.records("emails")) == 1 and "follow-up 2 of this stay already had it" in str(end.steps)

    world.rep("deals", id=deal_id, associations=[_unlabelled(sales, deal_id, "Signer")])
    await sales.move(deal_id, "discussion")
    assert "no longer flagged" in (await asked(desk, deal_id)).summary  # the third one had flagged it
    await asked(desk, deal_id)
    subjects = [e["properties"]["hs_email_subject"] for e in world.records("emails")]
    assert subjects[1] == "DRAFT, not sent: Contract desk: what is still open?"


def _unlabelled(sales: Any, deal_id: str, label: str) -> dict[str, Any]:
    """Takes a role away from the deal's contact."""
    return {"to_type": "contacts", "to_id": sales.contact_of(deal_id), "label": label, "remove": True}


async def test_a_contact_is_needed(world: Any, desk: Any, sales: Any) -> None:
    """Without a contact on the deal there is no e-mail."""
    await asked(desk, await stuck(sales, contact=None))
    assert world.records("emails") == [] and "the deal has no contact" in tasks(world)[0]


async def test_a_template_that_is_not_there(world: Any, desk: Any, sales: Any, s: Any) -> None:
    """The process names a template that does not exist: reported in the task, the event does not fail."""
    s.emails = {}
    assert (await asked(desk, await stuck(sales))).state == "done"
    assert "there is no e-mail template figures_from_others" in tasks(world)[0]


async def test_off_means_off(world: Any, desk: Any, sales: Any, s: Any) -> None:
    """No draft, no e-mail, and no mention in the task."""
    s.settings = s.settings.model_copy(update={"follow_up_email": "off"})
    await asked(desk, await stuck(sales))
    assert world.records("emails") == [] and "e-mail" not in tasks(world)[0]


async def test_a_change_of_settings_writes_no_second_one(
    world: Any, desk: Any, sales: Any, s: Any, server: MailServer
) -> None:
    """Drafted, then stopped before the task, then set to smtp: the draft is the e-mail of this follow-up."""
    deal_id = await stuck(sales)
    world.fault("hub", "status", r"/objects/[^/]+/tasks$", method="POST", status=401)
    event_id = await desk.record(FOLLOW_UP_DUE, deal_id, **ASKED)
    assert isinstance(await desk.run(follow_up, event_id), Exception)
    world.clear_faults()
    s.settings = s.settings.model_copy(update={"follow_up_email": "smtp"})
    s.mail = MailClient(server.host, server.port, from_address="sales@seller.example", tls="off")

    assert (await desk.run(follow_up, event_id)).state == "done"

    assert server.taken == [] and len(world.records("emails")) == 1 == len(tasks(world))


async def test_hubspot_away_is_waited_for(world: Any, desk: Any, sales: Any) -> None:
    """HubSpot is unavailable for the draft: the event is retried, nothing is half done."""
    deal_id = await stuck(sales)
    world.fault(
        "hub",
        "status",
        r"/objects/[^/]+/emails$",
        method="POST",
        status=429,
        headers={"Retry-After": "0"},
        times=20,
    )
    event_id = await desk.record(FOLLOW_UP_DUE, deal_id, **ASKED)
    assert isinstance(await desk.run(follow_up, event_id), TransientError)
    world.clear_faults()
    assert tasks(world) == []
    assert (await desk.run(follow_up, event_id)).state == "done"
    assert len(world.records("emails")) == 1 == len(tasks(world))


async def test_a_key_that_may_not_write_emails(world: Any, desk: Any, sales: Any) -> None:
    """403 on the draft alone: the task says it; the deal's events are not held up by a missing scope."""
    deal_id = await stuck(sales)
    world.fault("hub", "status", r"/objects/[^/]+/emails$", method="POST", status=403, times=20)
    assert (await asked(desk, deal_id)).state == "done"
    assert "check the key, its scopes" in tasks(world)[0]


async def test_the_message_id_is_the_causes(world: Any, desk: Any, sales: Any, over_smtp: MailServer) -> None:
    """Made from the follow-up's own key and the sender's domain: the same again would have the same."""
    deal_id = await stuck(sales)
    await asked(desk, deal_id)
    async with desk.s.ledger.read() as tx:
        (sent,) = (e for e in await effects.listing(tx) if e.kind == "send_email")
    digest = hashlib.sha256(sent.key.encode()).hexdigest()[:32]
    assert over_smtp.taken[0]["Message-ID"] == f"<{digest}@seller.example>" == sent.result["message_id"]
