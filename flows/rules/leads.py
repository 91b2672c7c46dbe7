"""Inbound leads: what was sent in becomes one clean lead with a key, an owner and a reason."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.rules.sales_process import Routing

# Addresses at these providers say nothing about the sender's company.
_FREE_MAIL = frozenset(
    """gmail.com googlemail.com outlook.com hotmail.com live.com msn.com yahoo.com icloud.com me.com aol.com
    gmx.de gmx.net gmx.com web.de t-online.de freenet.de proton.me protonmail.com mail.com zoho.com
    qq.com 163.com 126.com yandex.ru mail.ru orange.fr free.fr laposte.net libero.it wp.pl o2.pl""".split()
)
_EMAIL = re.compile(r"^[^@\s,;<>\"']{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}$")
_MAX = {"message": 5000}

# What web forms call our fields.
_ALIASES = {
    "email": ("email", "e-mail", "email_address", "mail"),
    "phone": ("phone", "phone_number", "tel", "telephone", "mobile", "mobilephone"),
    "first_name": ("first_name", "firstname", "given_name"),
    "last_name": ("last_name", "lastname", "surname", "family_name"),
    "full_name": ("name", "full_name", "fullname"),
    "company": ("company", "company_name", "organization", "organisation"),
    "website": ("website", "domain", "url", "company_website"),
    "country": ("country", "country_code"),
    "job_title": ("job_title", "jobtitle", "position", "role"),
    "message": ("message", "need", "comments", "problem", "how_can_we_help"),
    "budget": ("budget", "amount"),
    "source": ("source", "utm_source", "lead_source"),
    "submission_id": ("submission_id", "id", "request_id"),
}


class LeadError(Exception):
    """A lead cannot be taken. `field` names what is wrong; the text says what to send instead."""

    def __init__(self, field_name: str, text: str) -> None:
        super().__init__(text)
        self.field = field_name


@dataclass(frozen=True)
class Lead:
    """One inbound lead in our words. At least one of `email` and `phone` is there."""

    key: str
    email: str = ""
    phone: str = ""
    first_name: str = ""
    last_name: str = ""
    company: str = ""
    domain: str = ""
    country: str = ""
    job_title: str = ""
    message: str = ""
    budget: str = ""
    source: str = "inbound"
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def lane(self) -> str:
        """Leads of one person are handled one after another."""
        return "lead:" + _digest(self.email or self.phone)[:24]

    @property
    def company_key(self) -> str:
        """What tells one buyer company from another: its domain, else its name, else the person."""
        if self.domain:
            return f"domain:{self.domain}"
        if self.company:
            return "name:" + _digest(" ".join(self.company.lower().split()))[:32]
        return ""

    @property
    def contact_key(self) -> str:
        """Unique key of a person without an e-mail address."""
        return "phone:" + re.sub(r"\D", "", self.phone)

    @property
    def display_company(self) -> str:
        """A name for the company that is never empty."""
        return self.company or self.domain or f"{self.first_name} {self.last_name}".strip() or "Unnamed buyer"


def parse_lead(fields: Mapping[str, Any], *, submission_key: str = "", day: str = "") -> Lead:
    """A lead from a form or JSON body (names as web forms write them).

    `submission_key` (an Idempotency-Key header) or a submission_id field tells one submission from another;
    without either the content and `day` do. Raises LeadError naming the field.
    """
    given = {str(k).strip().lower(): _text(k, v) for k, v in fields.items()}
    found = {ours: next((given[n] for n in names if given.get(n)), "") for ours, names in _ALIASES.items()}
    email, phone = found["email"].lower(), _phone(found["phone"])
    if not email and not phone:
        raise LeadError("email", "a lead needs an email or a phone: both are missing or empty")
    if email and not _EMAIL.match(email):
        raise LeadError("email", "email is not a valid address")
    if found["phone"] and not phone:
        raise LeadError("phone", "phone needs at least six digits")
    first, last = _names(found)
    known = {name for names in _ALIASES.values() for name in names}
    lead = Lead(
        key="",
        email=email,
        phone=phone,
        first_name=first,
        last_name=last,
        company=found["company"],
        domain=_domain(found["website"], email),
        country=found["country"].upper()[:2] if len(found["country"]) == 2 else found["country"],
        job_title=found["job_title"],
        message=found["message"],
        budget=_budget(found["budget"]),
        source=found["source"] or "inbound",
        extra={k: v for k, v in given.items() if k not in known and v},
    )
    submission = submission_key or found["submission_id"]
    if submission:
        identity = f"submission|{submission}|{email or phone}"
    else:
        identity = "|".join([day, email, phone, first, last, lead.company, lead.domain, lead.message])
    return Lead(**{**lead.__dict__, "key": "lead" + _digest(identity)[:28]})


def route(lead: Lead, routing: Routing, owners: Sequence[tuple[str, str]]) -> tuple[str | None, str]:
    """The owner's id and the reason. `owners`: active (id, e-mail) in a stable order; None when there are none."""
    by_email = {email.lower(): owner_id for owner_id, email in owners}
    for rule in routing.rules:
        if lead.country and lead.country.upper() in {c.upper() for c in rule.country}:
            if rule.owner.lower() in by_email:
                return by_email[rule.owner.lower()], f"country {lead.country}"
            break
    if routing.otherwise != "take_turns" and routing.otherwise.lower() in by_email:
        return by_email[routing.otherwise.lower()], "default owner"
    if not owners:
        return None, "no active owner in HubSpot"
    turn = int(_digest(lead.key)[:8], 16) % len(owners)
    return owners[turn][0], f"turn {turn + 1} of {len(owners)}"


def deal_name(lead: Lead) -> str:
    """What the deal is called in HubSpot."""
    return f"{lead.display_company} - inbound"[:200]


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | int | float | str):
        text = (
            " ".join(str(value).split())
            if str(name).lower() not in _ALIASES["message"]
            else str(value).strip()
        )
        limit = _MAX["message"] if str(name).lower() in _ALIASES["message"] else 500
        if len(text) > limit:
            raise LeadError(str(name)[:60], f"{str(name)[:60]} is longer than {limit} characters")
        return text
    raise LeadError(str(name)[:60], f"{str(name)[:60]} must be plain text, not a list or an object")


def _phone(text: str) -> str:
    digits = re.sub(r"[^\d+]", "", text)
    return digits if len(digits.lstrip("+")) >= 6 else ""


def _names(found: Mapping[str, str]) -> tuple[str, str]:
    if found["first_name"] or found["last_name"] or not found["full_name"]:
        return found["first_name"], found["last_name"]
    first, _, last = found["full_name"].partition(" ")
    return first, last


def _domain(website: str, email: str) -> str:
    host = re.sub(r"^[a-z]+://", "", website.lower()).split("/")[0].split(":")[0].removeprefix("www.")
    if host and "." in host and "@" not in host:
        return host
    mail_host = email.rpartition("@")[2]
    return "" if mail_host in _FREE_MAIL else mail_host


def _budget(text: str) -> str:
    """A plain number when one was sent, else nothing: the amount on a deal is never guessed."""
    plain = text.replace(" ", "").replace("\u00a0", "")
    return plain if re.fullmatch(r"\d{1,12}(\.\d{1,2})?", plain) else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
