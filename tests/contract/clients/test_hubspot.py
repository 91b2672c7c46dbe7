import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.http.errors import (
    ConflictError,
    ConnectorError,
    NotFoundError,
    RateLimitedError,
    RejectedError,
    TransientError,
)
from connectors.http.exchange import Timeouts
from connectors.hubspot.association_types import type_id
from connectors.hubspot.client import Filter, HubSpotClient, Sort
from connectors.hubspot.portal import NewStage, Portal
from connectors.hubspot.records import NewLink, Option
from connectors.hubspot.webhook import parse, verify

TOKEN = "pat-contract-test"


@pytest.fixture
async def client(hub: Any) -> AsyncIterator[HubSpotClient]:
    hub.put("limits", burst=10_000, search_per_s=1_000, search_lag_s=0, associations=10_000)
    times = Timeouts(connect_s=2, read_s=2, total_s=5)
    async with HubSpotClient(TOKEN, base_url=hub.url, timeouts=times) as one:
        yield one


@pytest.fixture
def portal(hub: Any) -> Portal:
    return Portal(TOKEN, hub.url)


def _name() -> str:
    return "df_" + uuid.uuid4().hex[:12]


async def test_account_pipelines_properties_owners(client: HubSpotClient) -> None:
    """What set-up reads is there: the default pipeline with won and lost, calculated properties, owners."""
    assert (await client.account_details()).portal_id
    (pipeline,) = [one for one in await client.pipelines() if one.id == "default"]
    assert [stage.id for stage in pipeline.stages if stage.is_won] == ["closedwon"]
    assert [stage.id for stage in pipeline.stages if stage.is_lost] == ["closedlost"]
    properties = {one.name: one for one in await client.properties("deals")}
    assert properties["dealname"].type == "string"
    assert not properties["dealname"].read_only_value
    assert (await client.owners())[0].id
    assert any(one.type_id == 3 for one in await client.association_labels("deals", "contacts"))


async def test_a_deals_life(client: HubSpotClient) -> None:
    """Create with links, read by id, move the stage, see it in the history, archive."""
    contact = await client.create("contacts", {"email": f"{_name()}@example.com", "firstname": "Anna"})
    company = await client.create("companies", {"name": "Nord"})
    deal = await client.create(
        "deals",
        {"dealname": "Nord", "dealstage": "appointmentscheduled", "pipeline": "default"},
        [
            NewLink(contact.id, type_id("deals", "contacts")),
            NewLink(company.id, type_id("deals", "companies", "primary")),
        ],
    )
    await client.update("deals", deal.id, {"dealstage": "closedwon", "closedate": "2026-11-22"})
    read = await client.read("deals", deal.id, properties=["dealstage", "amount"], history=["dealstage"])
    assert (read.properties["dealstage"], read.properties["amount"]) == ("closedwon", None)
    assert [one.value for one in read.history["dealstage"]] == ["closedwon", "appointmentscheduled"]
    links = await client.associated("deals", "companies", [deal.id])
    assert {one.type_id for one in links[deal.id][0].types} >= {5, 341}
    await client.archive("deals", deal.id)
    with pytest.raises(NotFoundError):
        await client.read("deals", deal.id, properties=[])
    assert (await client.read("deals", deal.id, properties=[], archived=True)).archived


async def test_batches_and_unique_keys(client: HubSpotClient, portal: Portal) -> None:
    """Upserts by our own key: made once, repeated harmlessly, bad rows reported, 150 in two calls."""
    key = _name()
    portal.create_property("deals", key, label=key, group="dealinformation", unique=True)
    rows = {f"{key}-{n}": {"dealname": f"Deal {n}", "dealstage": "qualifiedtobuy"} for n in range(150)}
    first = await client.batch_upsert("deals", key, rows)
    assert (len(first.created), first.errors, first.unknown) == (150, {}, ())
    again = await client.batch_upsert("deals", key, rows)
    assert (again.created, {k: r.id for k, r in again.records.items()}) == (
        frozenset(),
        {k: r.id for k, r in first.records.items()},
    )
    wanted = [*rows, f"{key}-nobody"]
    found = await client.read_batch("deals", wanted, properties=["dealname"], id_property=key)
    assert {k: r.id for k, r in found.records.items()} == {k: r.id for k, r in first.records.items()}
    assert found.missing == (f"{key}-nobody",)
    bad = dict(rows) | {f"{key}-0": {"dealname": "x", "dealstage": "no such stage"}}
    mixed = await client.batch_upsert("deals", key, dict(list(bad.items())[:3]))
    assert set(mixed.errors) == {f"{key}-0"}
    assert len(mixed.records) == 2


async def test_update_batch_and_missing(client: HubSpotClient) -> None:
    """An id nobody knows fails alone in an update, and is missing in a read."""
    deal = await client.create("deals", {"dealname": "One", "dealstage": "qualifiedtobuy"})
    got = await client.batch_update("deals", {deal.id: {"amount": "5"}, "999999999": {"amount": "5"}})
    assert (set(got.records), set(got.errors)) == ({deal.id}, {"999999999"})
    read = await client.read_batch("deals", [deal.id, "999999999", deal.id], properties=["amount"])
    assert read.records[deal.id].properties["amount"] == "5"
    assert read.missing == ("999999999",)


async def test_merged_deals_answer_to_their_old_id(hub: Any, client: HubSpotClient) -> None:
    """After a merge the old id leads to the surviving record, in a single read and in a batch."""
    one, two = [
        await client.create("deals", {"dealname": f"M{n}", "dealstage": "qualifiedtobuy"}) for n in range(2)
    ]
    answer = hub.control.post(
        "/crm/objects/2026-03/deals/merge",
        json={"primaryObjectId": one.id, "objectIdToMerge": two.id},
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    assert answer.status_code == 200, answer.text
    survivor = (await client.read("deals", two.id, properties=["dealname"])).id
    got = await client.read_batch("deals", [two.id], properties=["dealname"])
    assert got.records[two.id].id == survivor
    assert got.missing == ()


async def test_search_and_list(client: HubSpotClient) -> None:
    """Keyset search by id finds each once, in order; the list pages to its end with links inline."""
    word = _name()
    contact = await client.create("contacts", {"email": f"{word}@example.com"})
    made = []
    for n in range(5):
        link = [NewLink(contact.id, type_id("deals", "contacts"))]
        deal = await client.create("deals", {"dealname": f"{word} {n}", "dealstage": "qualifiedtobuy"}, link)
        made.append(deal.id)
    found: list[str] = []
    last = "0"
    while True:
        page = await client.search(
            "deals",
            filters=[Filter("dealname", "CONTAINS_TOKEN", f"{word}*"), Filter("hs_object_id", "GT", last)],
            properties=["dealname"],
            sort=Sort("hs_object_id"),
            limit=2,
        )
        if not page.records:
            break
        found += [one.id for one in page.records]
        last = found[-1]
    assert found == made
    listed: dict[str, tuple[str, ...]] = {}
    after = None
    while True:
        sheet = await client.list_page(
            "deals", properties=[], associations=["contacts"], after=after, limit=100
        )
        listed |= {one.id: one.associations.get("contacts", ()) for one in sheet.records}
        after = sheet.after
        if after is None:
            break
    assert all(listed[one] == (contact.id,) for one in made)


async def test_associations(client: HubSpotClient, portal: Portal) -> None:
    """Default links may be repeated; a label comes back with its number; nobody linked is an empty tuple."""
    deal, lonely = [
        await client.create("deals", {"dealname": "A", "dealstage": "qualifiedtobuy"}) for _ in range(2)
    ]
    contact = await client.create("contacts", {"email": f"{_name()}@example.com"})
    for _ in range(2):
        assert await client.associate_default("deals", "contacts", [(deal.id, contact.id)]) == ()
    label = _name()
    made = portal.create_label("deals", "contacts", label, label)
    number = next(one for one in portal.list_labels("deals", "contacts") if one.label == label)
    assert number.type_id in {one.type_id for one in made}
    await client.associate("deals", deal.id, "contacts", contact.id, [(number.category, number.type_id)])
    links = await client.associated("deals", "contacts", [deal.id, lonely.id])
    assert [one.to_id for one in links[deal.id]] == [contact.id]
    assert label in {one.label for one in links[deal.id][0].types}
    assert links[lonely.id] == ()


async def test_files_notes_tasks_emails(client: HubSpotClient) -> None:
    """The same file twice is one file; it comes back whole; a note carries it. An e-mail keeps its millisecond."""
    name = f"{_name()}.pdf"
    first, second = [
        await client.upload_file(
            name, b"%PDF-1.7 x", folder_path="/contracts", content_type="application/pdf"
        )
        for _ in range(2)
    ]
    assert first.id == second.id
    assert await client.download_file(first.id) == b"%PDF-1.7 x"
    deal = await client.create("deals", {"dealname": "F", "dealstage": "qualifiedtobuy"})
    now = int(datetime.now(UTC).timestamp() * 1000)
    note = await client.create_note(
        "signed", timestamp_ms=now, attachment_ids=[first.id], associations=[NewLink(deal.id, 214)]
    )
    task = await client.create_task("Call", due_ms=now, associations=[NewLink(deal.id, 216)])
    assert [one.to_id for one in (await client.associated("deals", "notes", [deal.id]))[deal.id]] == [note.id]
    assert [one.to_id for one in (await client.associated("deals", "tasks", [deal.id]))[deal.id]] == [task.id]
    email = await client.create_email(
        "Draft",
        timestamp_ms=now,
        text="x",
        html="<p>x</p>",
        from_email="us@example.com",
        to_email="them@example.com",
        associations=[NewLink(deal.id, 210)],
    )
    assert [one.to_id for one in (await client.associated("deals", "emails", [deal.id]))[deal.id]] == [
        email.id
    ]
    moment = (await client.read("emails", email.id, properties=["hs_timestamp"])).properties["hs_timestamp"]
    assert round(datetime.fromisoformat(moment or "").timestamp() * 1000) == now
    read = await client.read("notes", note.id, properties=["hs_attachment_ids"])
    assert read.properties["hs_attachment_ids"] == first.id


async def test_refusals_name_what_to_fix(client: HubSpotClient) -> None:
    """An unknown property is named; a taken address gives the id of its owner."""
    with pytest.raises(RejectedError) as refused:
        await client.create("deals", {"dealname": "x", "dealstage": "qualifiedtobuy", "no_such_thing": "1"})
    assert refused.value.properties == ("no_such_thing",)
    email = f"{_name()}@example.com"
    contact = await client.create("contacts", {"email": email})
    with pytest.raises(ConflictError) as taken:
        await client.create("contacts", {"email": email})
    assert taken.value.existing_id == contact.id
    assert email not in str(taken.value)


@pytest.mark.parametrize(
    ("kind", "done", "applied"),
    [
        ("status", False, "maybe"),
        ("status_after", True, "maybe"),
        ("reset_before", False, "maybe"),
        ("reset_after", True, "maybe"),
        ("timeout_after", True, "maybe"),
        ("html", False, "maybe"),
        ("truncated", True, "maybe"),
    ],
)
async def test_an_unknown_outcome_is_never_denied(
    hub: Any, client: HubSpotClient, kind: str, done: bool, applied: str
) -> None:
    """Whether or not a create took effect behind a fault, the error never says that it did not."""
    name = _name()
    hub.post("faults", kind=kind, path="/crm/objects/.*/deals$", method="POST", status=502, delay_s=3)
    with pytest.raises(TransientError) as caught:
        await client.create("deals", {"dealname": name, "dealstage": "qualifiedtobuy"})
    assert caught.value.applied == applied
    rows = hub.get("state", type="deals")["records"]
    assert any(name in str(row) for row in rows) is done


async def test_unknown_fields_do_no_harm(hub: Any, client: HubSpotClient) -> None:
    """Fields of a later release are ignored."""
    for kind in ("odd_fields", "odd_types"):
        hub.post("faults", kind=kind, path="pipelines|details", times=2)
        assert await client.pipelines()
        assert await client.account_details()


async def test_a_fault_for_one_caller_only(hub: Any, client: HubSpotClient) -> None:
    """Others, under other keys, are not struck by it; the caller is named as the request log shows it."""
    hub.post("faults", kind="status", status=404, path="details", caller="sha256:somebodyelse")
    assert await client.account_details()
    seen = hub.get("requests", path="details")["requests"][-1]["headers"]["authorization"]
    hub.post("faults", kind="status", status=404, path="details", caller=seen)
    with pytest.raises(NotFoundError):
        await client.account_details()


async def test_over_the_limit(hub: Any, client: HubSpotClient) -> None:
    """A 429 is reported as such, with nothing done."""
    hub.put("limits", burst=1)
    try:
        with pytest.raises(RateLimitedError) as caught:
            for _ in range(3):
                await client.create("companies", {"name": "x"})
        assert caught.value.applied == "no"
        assert caught.value.category in {"RATE_LIMITS", "RATE_LIMIT"}
    finally:
        hub.put("limits", burst=10_000)


def test_portal_set_up(portal: Portal) -> None:
    """Groups, properties with options, a pipeline with stages and new stages are made and found again."""
    name = _name()
    portal.create_property_group("deals", name, "Dealflow")
    assert name in portal.list_property_groups("deals")
    with pytest.raises(ConflictError):
        portal.create_property_group("deals", name, "Dealflow")
    made = portal.create_property(
        "deals",
        name,
        label="State",
        group=name,
        type="enumeration",
        field_type="select",
        options=[Option("a", "A")],
    )
    assert [one.value for one in made.options] == ["a"]
    with pytest.raises(ConflictError):
        portal.create_property("deals", name, label="State", group=name)
    more = portal.update_property(
        "deals",
        name,
        label="Standing",
        group=name,
        type="enumeration",
        field_type="radio",
        description="Where it stands",
        options=[Option("a", "A"), Option("b", "B", description="Next")],
    )
    assert [(one.value, one.description) for one in more.options] == [("a", ""), ("b", "Next")]
    (found_property,) = [one for one in portal.list_properties("deals") if one.name == name]
    assert (found_property.label, found_property.field_type) == ("Standing", "radio")
    assert found_property.description == "Where it stands"
    assert name not in {one.name for one in portal.list_properties("deals", archived=True)}
    pipeline = portal.create_pipeline(
        name, [NewStage("New", "0.1", 0), NewStage("Won", "1.0", 1, is_closed=True)]
    )
    assert [stage.is_won for stage in pipeline.stages] == [False, True]
    stage = portal.create_stage(pipeline.id, NewStage("Lost", "0.0", 2, is_closed=True))
    assert stage.is_lost
    assert (
        portal.update_stage(pipeline.id, stage.id, NewStage("Gone", "0.0", 2, is_closed=True)).label == "Gone"
    )
    (found,) = [one for one in portal.list_pipelines() if one.id == pipeline.id]
    assert [one.label for one in found.stages] == ["New", "Won", "Gone"]


async def test_webhooks_verify(hub: Any, client: HubSpotClient, receiver: Any) -> None:
    """What the stand-in signs, our verification accepts, and the event names the deal."""
    url = receiver.url + "/webhooks/hubspot"
    hub.put(
        "webhooks",
        target_url=url,
        client_secret="s3cret",
        subscriptions=[{"subscriptionType": "deal.propertyChange", "propertyName": "dealstage"}],
    )
    try:
        deal = await client.create(
            "deals", {"dealname": "W", "dealstage": "qualifiedtobuy", "pipeline": "default"}
        )
        method, path, headers, body = await receiver.first()
    finally:
        hub.put("webhooks", target_url=None)
    assert verify(method, receiver.url + path, body, headers, "s3cret", datetime.now(UTC)).scheme == "v3"
    with pytest.raises(ConnectorError):
        verify(method, receiver.url + path, body, headers, "other", datetime.now(UTC))
    (event, *_) = parse(body)
    assert (event.object_id, event.property_name, event.property_value) == (
        deal.id,
        "dealstage",
        "qualifiedtobuy",
    )


async def test_many_at_once(client: HubSpotClient) -> None:
    """A hundred calls share one client without mixing up their answers."""
    made = await asyncio.gather(*(client.create("companies", {"name": f"C{n}"}) for n in range(100)))
    read = await asyncio.gather(*(client.read("companies", one.id, properties=["name"]) for one in made))
    assert [one.properties["name"] for one in read] == [f"C{n}" for n in range(100)]
