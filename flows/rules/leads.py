"""Inbound leads: what was sent in becomes one clean lead with a key, an owner and a reason."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flows.errors import FlowError
from flows.rules.process.sales_process import Routing

# Addresses at these providers say nothing about the sender's company.
_FREE_MAIL = frozenset(
    """gmail.com googlemail.com icloud.com me.com mac.com aol.com web.de t-online.de freenet.de arcor.de
    posteo.de mailbox.org proton.me protonmail.com pm.me tutanota.com tuta.io fastmail.com hey.com mail.com
    email.com zoho.com qq.com 163.com 126.com sina.com yandex.ru yandex.com mail.ru bk.ru list.ru inbox.ru
    naver.com orange.fr wanadoo.fr free.fr laposte.net sfr.fr libero.it virgilio.it wp.pl o2.pl onet.pl
    bluewin.ch btinternet.com comcast.net verizon.net att.net sbcglobal.net rediffmail.com""".split()
)
# The same provider under many endings: yahoo.de, hotmail.co.uk, gmx.at.
_FREE_MAIL_FAMILY = re.compile(
    r"(?:gmx|hotmail|live|msn|outlook|rocketmail|yahoo|ymail)\.(?:[a-z]{2,3}|com?\.[a-z]{2})"
)
# A page at one of these is a company's profile, not its own domain.
_PROFILE_PAGES = frozenset(
    """facebook.com google.com instagram.com linkedin.com linktr.ee pinterest.com tiktok.com twitter.com x.com
    xing.com youtube.com""".split()
)
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_EMAIL = re.compile(
    r"[^@\s,;<>\"']{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+(?:[A-Za-z]{2,24}|[Xx][Nn]--[A-Za-z0-9-]{2,59})"
)
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


class LeadError(FlowError):
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
    given: dict[str, str] = {}
    for name, value in fields.items():
        plain = _plain(str(name)).strip().lower()
        given[plain] = given.get(plain) or _text(plain, value)
    found = {ours: next((given[n] for n in names if given.get(n)), "") for ours, names in _ALIASES.items()}
    # Invisible characters come along when an address is copied from a web page.
    email = "".join(c for c in found["email"].lower() if unicodedata.category(c) != "Cf")
    phone = _phone(found["phone"])
    if not found["email"] and not found["phone"]:
        raise LeadError("email", "a lead needs an email or a phone: both are missing or empty")
    if email and not _EMAIL.fullmatch(email):
        raise LeadError("email", "email is not a valid address")
    if found["phone"] and not phone:
        raise LeadError("phone", "phone needs six to twenty digits")
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
        country=found["country"].upper() if len(found["country"]) == 2 else found["country"],
        job_title=found["job_title"],
        message=found["message"],
        budget=_budget(found["budget"]),
        source=found["source"] or "inbound",
        extra={k: v for k, v in given.items() if k not in known and v},
    )
    submission = submission_key or found["submission_id"]
    if submission:
        identity = ["submission", submission, email or phone]
    else:
        identity = [day, email, phone, first, last, lead.company, lead.domain, lead.message]
    return replace(lead, key="lead" + _digest(json.dumps(identity))[:28])


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
    """The value as clean text: one line, or for a message its own lines."""
    shown = name[:60] or "a field without a name"
    if value is None:
        return ""
    if not isinstance(value, bool | int | float | str):
        raise LeadError(shown, f"{shown} must be plain text, not a list or an object")
    if isinstance(value, int) and value.bit_length() > 1024:
        raise LeadError(shown, f"{shown} is not a sensible number")
    is_message = name in _ALIASES["message"]
    text = _plain(str(value)).strip() if is_message else " ".join(_plain(str(value)).split())
    limit = _MAX["message"] if is_message else 500
    if len(text) > limit:
        raise LeadError(shown, f"{shown} is longer than {limit} characters")
    return text


def _plain(text: str) -> str:
    """Without control characters (line ends and tabs stay) and half characters, which no database keeps."""
    if text.isprintable():
        return text
    return "".join(c for c in text if c in "\n\r\t" or unicodedata.category(c) not in ("Cc", "Cs"))


def _phone(text: str) -> str:
    """Digits, with a plus for an international number (00 is one too); empty when there are too few or too many."""
    compact = "".join(c for c in text if c in "+()" or unicodedata.decimal(c, None) is not None)
    digits = "".join(c if c in "+()" else str(unicodedata.decimal(c)) for c in compact)
    is_international = digits.lstrip("(").startswith(("+", "00"))
    if is_international:
        digits = digits.replace("(0)", "")
    digits = re.sub(r"\D", "", digits)
    if is_international:
        digits = digits.removeprefix("00")
    if not 6 <= len(digits) <= 20:
        return ""
    return "+" + digits if is_international else digits


def _names(found: Mapping[str, str]) -> tuple[str, str]:
    if found["first_name"] or found["last_name"] or not found["full_name"]:
        return found["first_name"], found["last_name"]
    first, _, last = found["full_name"].partition(" ")
    return first, last


def _domain(website: str, email: str) -> str:
    """The company's own domain: from its website, else from the address; empty when neither tells."""
    host = _host(website)
    registered = ".".join(host.split(".")[-2:])
    if host and not _is_free_mail(host) and registered not in _PROFILE_PAGES:
        return host
    mail_host = email.rpartition("@")[2]
    return "" if _is_free_mail(mail_host) else mail_host


def _host(website: str) -> str:
    """The host in what people write as their website; empty when it is none."""
    rest = re.sub(r"^[a-z][a-z0-9+.-]*://", "", website.lower())
    host = (
        re.split(r"[/?#\\]", rest)[0]
        .rpartition("@")[2]
        .split(":")[0]
        .strip()
        .rstrip(".")
        .removeprefix("www.")
    )
    try:
        host = host.encode("idna").decode()
    except UnicodeError:
        return ""
    return host if _HOST.fullmatch(host) else ""


def _is_free_mail(host: str) -> bool:
    return host in _FREE_MAIL or _FREE_MAIL_FAMILY.fullmatch(host) is not None


def _budget(text: str) -> str:
    """A plain number when one was sent, else nothing: the amount on a deal is never guessed."""
    plain = text.replace(" ", "").replace("\u00a0", "")
    return plain if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,2})?", plain) else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
