"""The e-mail of a follow-up: a draft on the deal for its owner to send, or a sent e-mail, as the settings say.

It is written once per stay in a stage. A problem is reported to the owner as a reason and does not stop the follow-up:
an unavailable mail server must not hold up the deal's other events. Only an unknown outcome stops it.
"""

import asyncio
import hashlib
import html
from dataclasses import dataclass
from datetime import datetime

from connectors.http.errors import ConnectorError, TransientError
from connectors.hubspot.association_types import type_id
from connectors.hubspot.records import NewLink
from connectors.mail.client import Mail, MailClient
from flows.deals.associated import associated_records
from flows.deals.read import DealContact, DealFile, template_facts
from flows.deals.writes import write_note
from flows.documents.emails import EmailRefused, EmailText, write_email
from flows.follow_up.assess import Assessment
from flows.ledger import effects, follow_ups
from flows.ledger.effects import Attempt, Find, Plan, QuarantinedError, Result, Writer, perform
from flows.ledger.follow_ups import FollowUpRow
from flows.retries import writing
from flows.rules.outcome import Step
from flows.rules.recipients import why_not_mail
from flows.services import Services

_BANNER = (
    "Draft by dealflow, sent to nobody yet: check it, send it from your own mailbox, then delete this draft."
)


@dataclass(frozen=True)
class Mailed:
    """What happened. `doubt`: it is not known whether the e-mail was sent; a person must check."""

    step: Step
    doubt: str | None = None


async def mail_follow_up(s: Services, writer: Writer, deal: Assessment, row: FollowUpRow) -> Mailed | None:
    """Draft or send the e-mail that the plan names; None when it names none or the settings turn e-mails off.

    Raises the vendor's error when HubSpot is unavailable or the outcome is unknown; the next try checks first.
    """
    name, how = deal.plan.email, s.settings.follow_up_email
    if name is None or how == "off":
        return None
    if (before := await _written_before(s, deal, row)) is not None:
        why = f"follow-up {before} of this stay already had it"
        return Mailed(Step("wrote no second e-mail", f"deal {row.deal_id}", why))
    to = deal.file.main_contact
    text = _text(s, deal.file, to, name)
    if isinstance(text, str) or to is None:
        return Mailed(Step("wrote no e-mail", f"deal {deal.file.id}", str(text)))
    way = (
        _draft(s, deal.file, to, row, text) if s.mail is None else _send(s, s.mail, deal.file, to, row, text)
    )
    try:
        result = await perform(
            writer,
            key=_key(row),
            kind=way.kind,
            deal_id=row.deal_id,
            attempt=way.attempt,
            find=way.find,
            plan=way.plan,
        )
    except QuarantinedError as problem:
        doubt = "it is not known whether the e-mail was sent: check the mail server's log"
        return Mailed(Step("e-mail in doubt", f"contact {to.record.id}", doubt), str(problem))
    except ConnectorError as problem:
        away = isinstance(problem, TransientError) and s.mail is None
        if problem.applied == "maybe" or away:
            raise
        return Mailed(Step("wrote no e-mail", f"contact {to.record.id}", str(problem)))
    return Mailed(await _delivered(s, writer, row, name, to, text, result))


async def _written_before(s: Services, deal: Assessment, row: FollowUpRow) -> int | None:
    """The number of the earlier follow-up of this stay whose e-mail was written, or may have been; None without one.

    The same text a second time helps nobody.
    """
    earlier = {_key(x): x.number for x in deal.past if x.number < row.number}
    async with s.ledger.read() as tx:
        states = await effects.states(tx, sorted(earlier))
    written = (earlier[key] for key, state in states.items() if state not in ("not_done", "refused"))
    return min(written, default=None)


async def released_email(s: Services, row: FollowUpRow) -> bool:
    """Whether a person has released this follow-up's e-mail from quarantine."""
    async with s.ledger.read() as tx:
        effect = await effects.by_key(tx, _key(row))
    return effect is not None and effect.state == "not_done" and effect.resends > 0


def _key(row: FollowUpRow) -> str:
    """One key for a draft and for a sent e-mail: after a change of settings it is not written twice."""
    return f"email:{row.deal_id}:{row.cause}"


def _text(s: Services, file: DealFile, to: DealContact | None, name: str) -> EmailText | str:
    """Subject and text, or the reason why there is no e-mail."""
    if to is None:
        return "the deal has no contact"
    seller = s.process.seller
    ours = {seller.email.lower()}
    if seller.counter_signer is not None:
        ours.add(seller.counter_signer.email.lower())
    if why := why_not_mail(to.record.id, to.record.properties, ours=ours):
        return why
    if name not in s.emails:
        return f"there is no e-mail template {name}"
    try:
        return write_email(s.emails[name], template_facts(s, file), s.process.locale)
    except EmailRefused as problem:
        return str(problem)


@dataclass(frozen=True)
class _Way:
    """How the e-mail goes out, and how an unknown outcome is settled."""

    kind: str
    attempt: Attempt
    find: Find
    plan: Plan


def _draft(s: Services, file: DealFile, to: DealContact, row: FollowUpRow, email: EmailText) -> _Way:
    """Create an e-mail on the deal. It is found again by its timestamp: reading its text would need another scope."""
    at_ms, text = _moment_ms(row), f"{_BANNER}\n\n{email.text}"
    owner = file.owner

    async def attempt(_token: str) -> Result:
        record = await writing(
            lambda: s.hubspot.create_email(
                f"DRAFT, not sent: {email.subject}",
                timestamp_ms=at_ms,
                text=text,
                html=_as_html(text),
                from_email=(owner.email if owner else None) or s.process.seller.email,
                to_email=to.record.properties.get("email") or "",
                owner_id=owner.id if owner else None,
                associations=[
                    NewLink(file.id, type_id("emails", "deals")),
                    NewLink(to.record.id, type_id("emails", "contacts")),
                ],
            )
        )
        return {"email_id": record.id}

    async def find(_token: str) -> Result | None:
        _, found = await associated_records(s, "emails", [file.id], ("hs_timestamp",))
        same = (r.id for r in found.values() if _ms(r.properties.get("hs_timestamp")) == at_ms)
        seen = next(same, None)
        return {"email_id": seen} if seen else None

    return _Way("draft_email", attempt, find, Plan())


def _send(
    s: Services, server: MailClient, file: DealFile, to: DealContact, row: FollowUpRow, email: EmailText
) -> _Way:
    """Send over SMTP, which cannot be queried: after an unknown outcome it is never sent again, a person decides."""
    owner = file.owner
    digest = hashlib.sha256(_key(row).encode()).hexdigest()[:32]
    mail = Mail(
        to=(to.record.properties.get("email") or "").strip(),
        subject=email.subject,
        text=email.text,
        message_id=f"<{digest}@{server.from_address.partition('@')[2]}>",
        written_at=s.clock(),
        from_name=s.process.seller.name,
        reply_to=(owner.email if owner else None) or s.process.seller.email,
    )

    async def attempt(_token: str) -> Result:
        await writing(lambda: asyncio.to_thread(server.send, mail))
        return {"message_id": mail.message_id}

    async def find(_token: str) -> Result | None:
        return None

    return _Way("send_email", attempt, find, Plan(again=0))


async def _delivered(
    s: Services,
    writer: Writer,
    row: FollowUpRow,
    name: str,
    to: DealContact,
    email: EmailText,
    result: Result,
) -> Step:
    """Record the draft as ours, or add a note about the sent e-mail to the deal."""
    template = f"template {name}"
    if s.mail is None and "message_id" not in result:
        email_id = str(result["email_id"])
        async with s.ledger.write() as tx:
            await follow_ups.note_email(tx, row.id, email_id)
        return Step("put an e-mail draft on the deal, for its owner to send", f"email {email_id}", template)
    if "email_id" in result:  # drafted before the settings were changed
        return Step("put an e-mail draft on the deal", f"email {result['email_id']}", template)
    said = f"dealflow sent this e-mail ({template}) to contact {to.record.id}.\nSubject: {email.subject}\n"
    await write_note(s, writer, deal_id=row.deal_id, cause=f"{row.cause}:email", text=said + email.text)
    return Step("sent an e-mail and noted it on the deal", f"contact {to.record.id}", template)


def _moment_ms(row: FollowUpRow) -> int:
    """When the follow-up began, to the second, with milliseconds derived from the e-mail's key."""
    own_ms = int(hashlib.sha256(_key(row).encode()).hexdigest()[:8], 16) % 1000
    return int(row.begun_at.timestamp()) * 1000 + own_ms


def _ms(text: str | None) -> int | None:
    try:
        return round(datetime.fromisoformat(text or "").timestamp() * 1000)
    except ValueError:
        return None


def _as_html(text: str) -> str:
    paragraphs = (html.escape(part).replace("\n", "<br>") for part in text.split("\n\n"))
    return "".join(f"<p>{part}</p>" for part in paragraphs if part.strip())
