"""The simulated buyers and their leads. Invented names only; addresses under reserved domains."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flows.trials.rehearsal.rates import Rates

_FIRST = "Ada Bela Cem Dilan Edda Filip Greta Hamid Ines Jaro Kaya Luis Mina Nuri Oda Pavel Runa Sami Thea Uwe".split()
_LAST = "Amsel Birke Calin Dorn Eiben Falk Ginster Hasel Iltis Jarosz Kiefer Linde Marder Nuss Otter Pirol".split()
_TRADE = "Tool Paper Harbour Seed Glass Freight Clinic Textile Timber Energy Print Optics".split()
_FORM = "GmbH Ltd SARL AG BV Oy".split()
_TITLE = ("Head of Operations", "Managing Director", "Purchasing Lead", "Head of IT", "")
_COUNTRY = (("DE", "Germany", "Hamburg"), ("FR", "France", "Lyon"), ("GB", "United Kingdom", "Leeds"))
_NEED = (
    "Contracts lie about for days before somebody signs them.",
    "We copy every order into three systems by hand.",
    "Nobody can say which version of an offer the client has.",
    "Auditors ask for signed documents that we cannot find.",
)


@dataclass(frozen=True)
class Lead:
    """One web form. `fields`: its content; `follows`: the number of an earlier lead of the same buyer."""

    number: int
    arrives_at: datetime
    fields: dict[str, str]
    follows: int | None = None


@dataclass(frozen=True)
class Buyer:
    """A company and its contact person."""

    number: int
    first: str
    last: str
    company: str
    domain: str
    title: str
    country: tuple[str, str, str]
    budget: int
    need: str
    by_phone: bool
    dice: random.Random = field(compare=False)

    @property
    def email(self) -> str:
        """The e-mail address; empty for a buyer who only gives a phone number."""
        return "" if self.by_phone else f"{self.first}.{self.last}@{self.domain}".lower()

    def person(self, name: str) -> str:
        """The address of another person at the same company."""
        return f"{name}@{self.domain}".lower()


def buyers(count: int, *, seed: int, rates: Rates) -> list[Buyer]:
    """This many buyers, each with its own random generator, so that one buyer's actions do not change the others."""
    return [_buyer(number, random.Random(f"{seed} buyer {number}"), rates) for number in range(1, count + 1)]


def _buyer(number: int, dice: random.Random, rates: Rates) -> Buyer:
    trade = dice.choice(_TRADE)
    return Buyer(
        number=number,
        first=dice.choice(_FIRST),
        last=dice.choice(_LAST),
        company=f"{trade} Works {number} {dice.choice(_FORM)}",
        domain=f"{trade.lower()}-{number}.example",
        title=dice.choice(_TITLE),
        country=dice.choice(_COUNTRY),
        budget=round(rates.median_budget * dice.lognormvariate(0, 0.6) / 100) * 100,
        need=dice.choice(_NEED),
        by_phone=dice.random() < rates.lead_by_phone_only,
        dice=dice,
    )


def leads(everybody: list[Buyer], *, starts: datetime, days: int, rates: Rates) -> Iterator[Lead]:
    """All forms of the quarter, in order of arrival. There are no new buyers in the last tenth of the time."""
    found: list[Lead] = []
    number = len(everybody)
    for buyer in everybody:
        dice = buyer.dice
        at = starts + timedelta(days=dice.uniform(0, days * 0.9))
        found.append(Lead(buyer.number, at, _form(buyer, dice, rates)))
        if dice.random() < rates.asks_twice:
            number += 1
            again = at + timedelta(days=dice.expovariate(1 / rates.asks_again_after_days))
            fields = _form(buyer, dice, rates) | {"message": f"Once more: {buyer.need}"}
            if dice.random() < 0.5 and buyer.email:  # a colleague sends it
                fields |= {"first_name": dice.choice(_FIRST), "last_name": "Kollege"}
                fields["email"] = buyer.person(f"{fields['first_name']}.kollege")
            found.append(Lead(number, again, fields | {"submission_id": f"form-{number}"}, buyer.number))
    yield from sorted(found, key=lambda lead: (lead.arrives_at, lead.number))


def _form(buyer: Buyer, dice: random.Random, rates: Rates) -> dict[str, str]:
    fields = {
        "submission_id": f"form-{buyer.number}",
        "first_name": buyer.first,
        "last_name": buyer.last,
        "email": buyer.email,
        "phone": f"+49 30 5550{buyer.number:05d}",
        "company": buyer.company,
        "website": buyer.domain,
        "job_title": buyer.title,
        "country": buyer.country[0],
        "source": dice.choice(("website form", "fair", "recommendation")),
    }
    if dice.random() >= rates.lead_without_budget:
        fields["budget"] = str(buyer.budget)
    if dice.random() >= rates.lead_without_need:
        fields["message"] = buyer.need
    return {k: v for k, v in fields.items() if v}
