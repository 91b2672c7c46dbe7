"""Inbound leads against the stand-ins: one buyer, one open deal, nothing doubled, nothing overwritten."""

import asyncio
from typing import Any

import pytest

from connectors.http.errors import ConnectorError, RejectedError
from flows.leads import intake_leads
from flows.ledger import inbox, tables
from flows.ledger.inbox import NewEvent
from flows.rules.leads import parse_lead
from flows.rules.outcome import Outcome

ADA = {
    "email": "ada@analytical-engines.example",
    "first_name": "Ada",
    "last_name": "Byron",
    "phone": "+44 20 7946 0018",
    "company": "Analytical Engines Ltd",
    "country": "GB",
    "budget": "24000",
    "message": "Sign faster.",
    "source": "website",
}


class Counter:
    """Records and handles leads."""

    def __init__(self, world: Any, desk: Any) -> None:
        self.world, self.desk, self.s = world, desk, desk.s

    async def record(self, *fields: dict[str, Any], key: str = "") -> list[int]:
        """As the gateway records them."""
        new = []
        for one in fields:
            lead = parse_lead(one, submission_key=key, day="2026-11-22")
            content = {"lead": lead.__dict__}
            new.append(NewEvent("lead", lead.key, "lead.received", lead.lane, content))
        async with self.s.ledger.write() as tx:
            return (await inbox.record(tx, new, now=self.s.clock())).new

    async def take(self, *fields: dict[str, Any], key: str = "") -> Any:
        """Record and work them all; the last one's end."""
        ids = await self.record(*fields, key=key)
        ended = await self.desk.work(intake_leads, await self.desk.claim(ids))
        return ended[ids[-1]]

    def counts(self) -> tuple[int, int, int]:
        """Companies, contacts, deals in HubSpot."""
        counts = self.world.hub.get("/_sandbox/state").json()["counts"]
        return counts["companies"], counts["contacts"], counts["deals"]


@pytest.fixture
def counter(world: Any, desk: Any) -> Counter:
    return Counter(world, desk)


async def test_a_new_lead_becomes_company_contact_and_deal(counter: Counter, world: Any) -> None:
    """All three, linked to each other, in the first stage, with owner, reason, need and amount."""
    end = await counter.take(ADA)

    assert isinstance(end, Outcome) and end.state == "done" and end.summary == "lead became a deal"
    assert counter.counts() == (1, 1, 1)
    (deal,) = world.records("deals")
    (contact,) = world.records("contacts")
    (company,) = world.records("companies")
    assert [c["id"] for c in deal["associations"]["contacts"]] == [contact["id"]]
    assert [c["id"] for c in deal["associations"]["companies"]] == [company["id"]]
    assert [c["id"] for c in contact["associations"]["companies"]] == [company["id"]]
    portal = await counter.s.portal()
    shown = deal["properties"]
    assert shown["dealstage"] == portal.stage_ids["prospecting"] and shown["pipeline"] == portal.pipeline_id
    assert shown["hubspot_owner_id"] in {o.id for o in portal.owners}
    assert shown["dealflow_route_reason"].startswith("turn ") and shown["dealflow_need"] == "Sign faster."
    assert (shown["amount"], shown["deal_currency_code"]) == ("24000", "EUR")
    assert company["properties"]["domain"] == "analytical-engines.example"
    assert end.deal_id == deal["id"]
    assert "Ada" not in str(end.as_json()) and "@" not in str(end.as_json())


async def test_the_same_lead_worked_twice_is_one_deal(counter: Counter, world: Any, desk: Any) -> None:
    """A worker that died after the work: the next one finds all of it and makes nothing new."""
    (event_id,) = await counter.record(ADA)
    await desk.work(intake_leads, await desk.claim([event_id]))
    before = {t: world.records(t) for t in ("companies", "contacts", "deals", "notes")}
    async with desk.s.ledger.write() as tx:
        await tx.execute(tables.inbox.update().values(state="due", attempts=1))

    end = (await desk.work(intake_leads, await desk.claim([event_id])))[event_id]

    assert end.summary == "lead became a deal"
    assert [len(world.records(t)) for t in before] == [len(found) for found in before.values()]
    assert [d["history"]["dealstage"] for d in world.records("deals")] == [
        d["history"]["dealstage"] for d in before["deals"]
    ]


async def test_a_second_lead_of_the_buyer_joins_the_open_deal(counter: Counter, world: Any) -> None:
    """Another inquiry of the same person: no second deal, a note with the new message on the open one."""
    first = await counter.take(ADA)

    end = await counter.take({**ADA, "message": "Also <b>archives</b>, please."})

    assert end.summary == "lead joined an open deal" and end.deal_id == first.deal_id
    assert counter.counts() == (1, 1, 1)
    (note,) = world.records("notes")
    assert "Also &lt;b&gt;archives&lt;/b&gt;, please." in note["properties"]["hs_note_body"]
    assert [d["id"] for d in note["associations"]["deals"]] == [first.deal_id]


async def test_a_colleague_joins_the_companys_open_deal(counter: Counter, world: Any) -> None:
    """Another person of the same company joins too, and is on the deal as a contact."""
    first = await counter.take(ADA)

    end = await counter.take({**ADA, "email": "charles@analytical-engines.example", "first_name": "Charles"})

    assert end.summary == "lead joined an open deal" and counter.counts() == (1, 2, 1)
    assert len(world.record("deals", first.deal_id)["associations"]["contacts"]) == 2


async def test_after_a_closed_deal_a_new_one_is_opened(counter: Counter, world: Any) -> None:
    """No lead joins a lost or won deal."""
    first = await counter.take(ADA)
    portal = await counter.s.portal()
    world.rep("deals", id=first.deal_id, properties={"dealstage": portal.stage_ids["lost"]})

    end = await counter.take({**ADA, "message": "Once more"})

    assert end.summary == "lead became a deal" and end.deal_id != first.deal_id
    assert counter.counts() == (1, 1, 2)


async def test_a_deal_of_another_pipeline_takes_nobody_in(counter: Counter, world: Any) -> None:
    """Renewals and the like in other pipelines are ignored."""
    ids = world.seed(
        {"object_type": "contacts", "key": "p", "properties": {"email": ADA["email"]}},
        {
            "object_type": "deals",
            "properties": {"dealname": "Renewal", "pipeline": "default", "dealstage": "qualifiedtobuy"},
            "associations": [{"to_type": "contacts", "to_id": "@p"}],
        },
    )

    end = await counter.take(ADA)

    assert end.summary == "lead became a deal" and end.deal_id != ids[1]


async def test_leads_of_one_company_at_once_make_one_deal(counter: Counter, world: Any) -> None:
    """Three colleagues in one batch: one deal with three contacts, the other two as notes."""
    leads = [{**ADA, "email": f"p{n}@analytical-engines.example", "first_name": f"P{n}"} for n in range(3)]

    await counter.take(*leads)

    assert counter.counts() == (1, 3, 1) and len(world.records("notes")) == 2
    assert len(world.records("deals")[0]["associations"]["contacts"]) == 3


async def test_a_free_mail_lead_has_no_company(counter: Counter) -> None:
    """gmail.com is not a company's domain: contact and deal only."""
    end = await counter.take({"email": "someone@gmail.com", "first_name": "Some", "last_name": "One"})

    assert end.summary == "lead became a deal" and counter.counts() == (0, 1, 1)


async def test_a_phone_only_lead_is_found_again(counter: Counter, world: Any) -> None:
    """Without an e-mail the phone is the key, however it is written."""
    await counter.take({"phone": "+49 30 123456", "name": "Paul Phone"})

    end = await counter.take({"phone": "(+49) 30/123-456", "name": "Paul Phone", "message": "again"})

    assert counter.counts() == (0, 1, 1) and end.summary == "lead joined an open deal"
    assert world.records("contacts")[0]["properties"]["dealflow_contact_key"] == "phone:4930123456"


async def test_one_phone_written_two_ways_in_one_batch(counter: Counter, world: Any) -> None:
    """Two spellings of one number at once: one contact, both leads are done."""
    ids = await counter.record(
        {"phone": "+49 30 123456", "name": "Paul Phone"}, {"phone": "49 30 123456", "name": "P. Phone"}
    )

    ended = await counter.desk.work(intake_leads, await counter.desk.claim(ids))

    assert all(isinstance(e, Outcome) and e.state == "done" for e in ended.values()), ended
    assert counter.counts() == (0, 1, 1)


async def test_an_existing_contact_keeps_what_it_says(counter: Counter, world: Any) -> None:
    """What the CRM knows is right; a lead only fills gaps."""
    world.seed(
        {
            "object_type": "contacts",
            "properties": {"email": ADA["email"], "firstname": "Augusta Ada", "phone": "1"},
        }
    )

    await counter.take(ADA)

    (contact,) = world.records("contacts")
    assert contact["properties"]["firstname"] == "Augusta Ada" and contact["properties"]["phone"] == "1"
    assert contact["properties"]["lastname"] == "Byron" and contact["properties"]["country"] == "GB"


async def test_a_second_address_is_the_same_person(counter: Counter, world: Any) -> None:
    """A contact is found by its additional addresses too."""
    one, two = world.seed(
        {"object_type": "contacts", "properties": {"email": "main@analytical-engines.example"}},
        {"object_type": "contacts", "properties": {"email": ADA["email"]}},
    )
    merge = {"primaryObjectId": one, "objectIdToMerge": two}
    world.hub.post(
        "/crm/objects/2026-03/contacts/merge", json=merge, headers={"Authorization": "Bearer t"}
    ).raise_for_status()

    await counter.take(ADA)

    (contact,) = world.records("contacts")
    assert contact["properties"]["email"] == "main@analytical-engines.example"
    assert contact["associations"]["deals"]


async def test_a_deal_made_before_the_links_takes_the_colleague_in(
    counter: Counter, world: Any, desk: Any
) -> None:
    """Died between deal and links: on the second try a colleague in the same batch still gets no second deal."""
    (first,) = await counter.record(ADA)
    world.fault("hub", "status", "associate/default", status=503, times=None, headers={"Retry-After": "0"})
    events = await desk.claim([first])
    with pytest.raises(ConnectorError):
        await intake_leads.prepare(events, desk.s)
    assert counter.counts()[2] == 1
    world.clear_faults()
    (second,) = await counter.record({**ADA, "email": "charles@analytical-engines.example"})

    ended = await desk.work(intake_leads, [*events, *await desk.claim([second])])

    assert ended[second].summary == "lead joined an open deal" and counter.counts() == (1, 2, 1)


async def test_a_link_that_fails_concerns_its_own_lead(counter: Counter, world: Any, desk: Any) -> None:
    """A contact that vanished between two calls fails one lead; the others of the batch are done."""
    leads = [{"email": f"a{n}@buyer{n}.example", "name": f"Buyer {n}"} for n in range(5)]
    ids = await counter.record(*leads)
    events = await desk.claim(ids)
    deal_upsert = "deals/batch/upsert"
    world.fault("hub", "slow", deal_upsert, delay_s=0.5)

    async def vanish() -> None:
        while not (found := [c for c in world.records("contacts") if c["properties"]["email"][1] == "2"]):
            await asyncio.sleep(0.02)
        world.rep("contacts", id=found[0]["id"], archive=True)

    _, ended = await asyncio.gather(vanish(), desk.work(intake_leads, events))

    failed = {i for i, e in ended.items() if not isinstance(e, Outcome)}
    assert failed == {ids[2]}, ended
    assert sum(bool(d["associations"].get("contacts")) for d in world.records("deals")) == 4


async def test_a_company_that_others_made_is_found_by_domain(counter: Counter, world: Any) -> None:
    """A company without our key but with the domain is used as it is."""
    (company,) = world.seed(
        {"object_type": "companies", "properties": {"name": "AE plc", "domain": "analytical-engines.example"}}
    )

    await counter.take(ADA)

    assert counter.counts() == (1, 1, 1)
    assert world.record("companies", company)["properties"]["name"] == "AE plc"
    assert world.records("deals")[0]["associations"]["companies"][0]["id"] == company


async def test_existing_buyer_with_an_open_deal_of_a_rep(counter: Counter, world: Any, sales: Any) -> None:
    """A deal that a rep made by hand takes the lead in."""
    deal_id = await sales.deal("qualification", proposal=False)

    end = await counter.take(ADA)

    assert end.deal_id == deal_id and end.summary == "lead joined an open deal"


async def test_120_at_once_with_one_refused_row(counter: Counter, world: Any) -> None:
    """One lead that HubSpot refuses fails alone, naming the property; the other 119 are deals."""
    world.hub.put(
        "/_sandbox/portal-rules",
        json={
            "conditional": [
                {"object_type": "deals", "when": {"dealflow_source": "fax"}, "require": ["description"]}
            ]
        },
    ).raise_for_status()
    counter.s.hubspot._versions = type(counter.s.hubspot._versions)(objects="2026-09")
    leads = [{"email": f"a{n}@buyer{n}.example", "name": f"Buyer {n}"} for n in range(120)]
    leads[60]["source"] = "fax"
    ids = await counter.record(*leads)
    world.forget_calls()

    ended = await counter.desk.work(intake_leads, await counter.desk.claim(ids))

    refused = {i: e for i, e in ended.items() if not isinstance(e, Outcome)}
    assert list(refused) == [ids[60]]
    problem = refused[ids[60]]
    assert isinstance(problem, RejectedError) and "description" in problem.properties
    assert counter.counts() == (120, 120, 119)
    assert len(world.calls("hub", "/")) < 40  # batches, not a call a lead


async def test_a_refused_leader_does_not_take_its_colleagues_down(counter: Counter, world: Any) -> None:
    """Of two colleagues at once the first is refused: the second gets the deal."""
    world.hub.put(
        "/_sandbox/portal-rules",
        json={
            "conditional": [
                {"object_type": "deals", "when": {"dealflow_source": "fax"}, "require": ["description"]}
            ]
        },
    ).raise_for_status()
    counter.s.hubspot._versions = type(counter.s.hubspot._versions)(objects="2026-09")
    ids = await counter.record(
        {**ADA, "source": "fax"}, {**ADA, "email": "charles@analytical-engines.example", "source": "web"}
    )

    ended = await counter.desk.work(intake_leads, await counter.desk.claim(ids))

    assert isinstance(ended[ids[0]], RejectedError)
    assert isinstance(ended[ids[1]], Outcome) and ended[ids[1]].summary == "lead became a deal"


async def test_very_long_websites_do_not_break_the_batch(counter: Counter) -> None:
    """Fifty odd domains do not fit one search: they are searched in smaller portions."""
    long = ".".join(["x" * 60] * 3)
    leads = [{"email": f"a@b{n}.example", "website": f"{long}.b{n}.example"} for n in range(30)]

    end = await counter.take(*leads)

    assert isinstance(end, Outcome) and end.state == "done", end
    assert counter.counts()[2] == 30


@pytest.mark.parametrize("path", ["companies/batch/upsert", "contacts/batch/upsert", "deals/batch/upsert"])
async def test_a_lost_answer_to_a_batch_doubles_nothing(counter: Counter, world: Any, path: str) -> None:
    """The batch was written, its answer lost: repeating by unique key gives the same records."""
    world.fault("hub", "reset_after", path)

    end = await counter.take(ADA)

    assert isinstance(end, Outcome) and end.state == "done", end
    assert counter.counts() == (1, 1, 1)


async def test_hubspot_away_for_long_changes_nothing(counter: Counter, world: Any) -> None:
    """No answer even after a few tries: the lead goes back whole and succeeds later."""
    world.fault("hub", "status", "/crm/objects/", status=503, times=4, headers={"Retry-After": "0"})
    (event_id,) = await counter.record(ADA)
    events = await counter.desk.claim([event_id])
    with pytest.raises(ConnectorError):
        await intake_leads.prepare(events, counter.s)

    ended = await counter.desk.work(intake_leads, events)

    assert ended[event_id].state == "done" and counter.counts() == (1, 1, 1)


async def test_the_route_says_why(counter: Counter, world: Any, desk: Any) -> None:
    """A country rule decides and is named on the deal; owners take turns otherwise, the same one each time."""
    rules = desk.s.process.routing.model_validate(
        {"rules": [{"country": ["GB"], "owner": "Aiko.Sandoval@example.test"}]}
    )
    desk.s.process = desk.s.process.model_copy(update={"routing": rules})

    end = await counter.take(ADA)

    deal = world.record("deals", end.deal_id)["properties"]
    assert deal["hubspot_owner_id"] == "71530013" and deal["dealflow_route_reason"] == "country GB"
    assert any(step.why == "country GB" for step in end.steps)


async def test_search_lag_does_not_double_our_own_company(counter: Counter, world: Any) -> None:
    """The index does not show the company of a moment ago: our unique key still finds it."""
    world.hub.put("/_sandbox/limits", json={"search_lag_s": 3600}).raise_for_status()
    await counter.take(ADA)
    await asyncio.sleep(0)

    await counter.take({**ADA, "email": "charles@analytical-engines.example"})

    assert counter.counts() == (1, 2, 1)
