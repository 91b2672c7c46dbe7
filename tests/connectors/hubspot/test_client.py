import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import respx

from connectors.http.errors import (
    AuthError,
    ConflictError,
    NotFoundError,
    RejectedError,
    UnreadableAnswerError,
)
from connectors.http.pacing import Bucket, Lane, Pace
from connectors.hubspot.client import Filter, HubSpotClient, Sort, Versions
from connectors.hubspot.records import NewLink

BASE = "https://hub.test"
TOKEN = "pat-eu1-secret"
DEAL = {"id": "9001", "properties": {"dealname": "Nord"}, "archived": False}


@pytest.fixture
async def client() -> AsyncIterator[HubSpotClient]:
    async with HubSpotClient(TOKEN, base_url=BASE + "/") as one:
        yield one


def _sent(route: respx.Route) -> Any:
    return json.loads(route.calls.last.request.content)


@respx.mock(base_url=BASE)
async def test_read_asks_for_what_is_needed(respx_mock: respx.Router, client: HubSpotClient) -> None:
    """A read names its properties, history and id property in the query, and carries the token."""
    route = respx_mock.get("/crm/objects/2026-03/deals/abc%2F1").respond(json=DEAL)
    record = await client.read(
        "deals",
        "abc/1",
        properties=["dealname", "amount", "dealname"],
        id_property="df_key",
        history=["dealstage"],
    )
    assert record.properties["dealname"] == "Nord"
    request = route.calls.last.request
    assert dict(request.url.params) == {
        "archived": "false",
        "properties": "dealname,amount",
        "propertiesWithHistory": "dealstage",
        "idProperty": "df_key",
    }
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


@respx.mock(base_url=BASE)
async def test_each_route_family_has_its_own_version(respx_mock: respx.Router) -> None:
    """Moving one family to another dated version leaves the others where they are."""
    versions = Versions(
        objects="2027-03", associations="a", properties="b", pipelines="c", owners="d", files="e", account="f"
    )
    async with HubSpotClient(TOKEN, base_url=BASE, versions=versions) as client:
        empty = {"results": []}
        respx_mock.get("/crm/objects/2027-03/deals/1").respond(json=DEAL)
        respx_mock.get("/crm/associations/a/deals/contacts/labels").respond(json=empty)
        respx_mock.get("/crm/properties/b/deals").respond(json=empty)
        respx_mock.get("/crm/pipelines/c/deals").respond(json=empty)
        respx_mock.get("/crm/owners/d").respond(json=empty)
        respx_mock.get("/files/e/files/7/signed-url").respond(json={"url": "https://cdn.test/x"})
        respx_mock.get("/account-info/f/details").respond(json={"portalId": 1})
        await client.read("deals", "1", properties=[])
        assert await client.association_labels("deals", "contacts") == ()
        assert await client.properties("deals") == ()
        assert await client.pipelines() == ()
        assert await client.owners() == ()
        assert (await client.signed_url("7")).url == "https://cdn.test/x"
        assert (await client.account_details()).portal_id == "1"
    assert all(route.called for route in respx_mock.routes)


@respx.mock(base_url=BASE)
async def test_list_page(respx_mock: respx.Router, client: HubSpotClient) -> None:
    """A page has its cursor, inline associations and at most the vendor's number of rows."""
    route = respx_mock.get("/crm/objects/2026-03/deals").respond(
        json={"results": [DEAL], "paging": {"next": {"after": "9002", "link": "x"}}}
    )
    page = await client.list_page(
        "deals", properties=["dealname"], associations=["contacts", "companies"], after="9000", limit=500
    )
    assert ([one.id for one in page.records], page.after) == (["9001"], "9002")
    params = dict(route.calls.last.request.url.params)
    assert (params["limit"], params["after"], params["associations"]) == ("100", "9000", "contacts,companies")
    await client.list_page("deals", properties=[], history=["dealstage"], archived=True)
    params = dict(route.calls.last.request.url.params)
    assert (params["limit"], params["archived"]) == ("50", "true")


@respx.mock(base_url=BASE)
async def test_search(respx_mock: respx.Router, client: HubSpotClient) -> None:
    """Filters, the one sort and the cursor are sent as the vendor writes them; total and cursor come back."""
    route = respx_mock.post("/crm/objects/2026-03/deals/search").respond(
        json={"total": 12345, "results": [DEAL], "paging": {"next": {"after": 200}}}
    )
    page = await client.search(
        "deals",
        filters=[
            Filter("hs_lastmodifieddate", "BETWEEN", "1000", high="2000"),
            Filter("dealstage", "IN", values=("a", "b")),
        ],
        properties=["dealname"],
        sort=Sort("hs_object_id"),
        limit=1000,
        after="0",
    )
    assert (page.total, page.after, page.records[0].id) == (12345, "200", "9001")
    assert _sent(route) == {
        "filterGroups": [
            {
                "filters": [
                    {
                        "propertyName": "hs_lastmodifieddate",
                        "operator": "BETWEEN",
                        "value": "1000",
                        "highValue": "2000",
                    },
                    {"propertyName": "dealstage", "operator": "IN", "values": ["a", "b"]},
                ]
            }
        ],
        "properties": ["dealname"],
        "limit": 200,
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "after": "0",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"filters": [Filter("a", "EQ", "1")] * 7},
        {"filters": [Filter("a", "EQ", "1")], "or_groups": [[Filter("a", "EQ", "1")]] * 5},
        {"filters": [Filter("a", "EQ", "1")] * 6, "or_groups": [[Filter("a", "EQ", "1")] * 6] * 3},
        {"filters": [Filter("hs_object_id", "IN", values=tuple(str(10**10 + n) for n in range(250)))]},
    ],
)
async def test_search_beyond_the_limits_is_not_sent(client: HubSpotClient, wrong: dict[str, Any]) -> None:
    """A search the vendor would refuse costs no call."""
    with pytest.raises(ValueError, match="a search"):
        await client.search("deals", properties=["a"], **wrong)


@respx.mock(base_url=BASE)
async def test_a_search_without_total_is_not_an_empty_search(
    respx_mock: respx.Router, client: HubSpotClient
) -> None:
    """An answer without total or results is not understood, instead of meaning "nothing found"."""
    route = respx_mock.post("/crm/objects/2026-03/deals/search")
    for body in ({"results": []}, {"total": 0}, {"status": "ok"}, []):
        route.respond(json=body)
        with pytest.raises(UnreadableAnswerError):
            await client.search("deals", filters=[], properties=[])


@respx.mock(base_url=BASE)
async def test_create_with_links(respx_mock: respx.Router, client: HubSpotClient) -> None:
    """A record and its associations go out in one call."""
    route = respx_mock.post("/crm/objects/2026-03/deals").respond(201, json=DEAL)
    await client.create("deals", {"dealname": "Nord"}, [NewLink("11", 3), NewLink("12", 99, "USER_DEFINED")])
    assert _sent(route) == {
        "properties": {"dealname": "Nord"},
        "associations": [
            {
                "to": {"id": "11"},
                "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3}],
            },
            {"to": {"id": "12"}, "types": [{"associationCategory": "USER_DEFINED", "associationTypeId": 99}]},
        ],
    }


@respx.mock(base_url=BASE)
async def test_create_conflict_names_the_record(respx_mock: respx.Router, client: HubSpotClient) -> None:
    """When a contact exists, the error has its id but not the address."""
    respx_mock.post("/crm/objects/2026-03/contacts").respond(
        409,
        json={
            "category": "CONFLICT",
            "message": "Contact already exists. Existing ID: 11 (anna@example.com)",
        },
    )
    with pytest.raises(ConflictError) as caught:
        await client.create("contacts", {"email": "anna@example.com"})
    assert (caught.value.existing_id, caught.value.applied) == ("11", "no")
    assert "anna" not in str(caught.value)


@respx.mock(base_url=BASE)
async def test_accepted_but_unreadable_may_have_taken_effect(
    respx_mock: respx.Router, client: HubSpotClient
) -> None:
    """A 201 without a readable record is not reported as "nothing happened"."""
    route = respx_mock.post("/crm/objects/2026-03/notes")
    for answer in ({"json": {"properties": {}}}, {"text": "<html>"}, {"json": []}):
        route.respond(201, **answer)
        with pytest.raises(UnreadableAnswerError) as caught:
            await client.create_note("x", timestamp_ms=1)
        assert (caught.value.applied, caught.value.operation) == ("maybe", "create_notes")


@respx.mock(base_url=BASE)
async def test_update_and_archive(respx_mock: respx.Router, client: HubSpotClient) -> None:
    """An update is a PATCH of the named properties; an archive has no body."""
    patch = respx_mock.patch("/crm/objects/2026-03/deals/9001").respond(json=DEAL)
    gone = respx_mock.delete("/crm/objects/2026-03/deals/9001").respond(204)
    await client.update("deals", "9001", {"dealstage": "closedwon", "closedate": ""})
    await client.archive("deals", "9001")
    assert _sent(patch) == {"properties": {"dealstage": "closedwon", "closedate": ""}}
    assert gone.called


@respx.mock(base_url=BASE)
async def test_note_and_task(respx_mock: respx.Router, client: HubSpotClient) -> None:
    """A note joins its files with semicolons; a task starts open."""
    notes = respx_mock.post("/crm/objects/2026-03/notes").respond(201, json={"id": "1"})
    tasks = respx_mock.post("/crm/objects/2026-03/tasks").respond(201, json={"id": "2"})
    await client.create_note(
        "signed", timestamp_ms=5, attachment_ids=["7", "8"], associations=[NewLink("9001", 214)]
    )
    await client.create_task(
        "Call", due_ms=6, owner_id="3", priority="HIGH", associations=[NewLink("9001", 216)]
    )
    assert _sent(notes)["properties"] == {
        "hs_timestamp": "5",
        "hs_note_body": "signed",
        "hs_attachment_ids": "7;8",
    }
    task = _sent(tasks)["properties"]
    assert (task["hs_task_status"], task["hs_timestamp"], task["hubspot_owner_id"]) == (
        "NOT_STARTED",
        "6",
        "3",
    )
    assert _sent(tasks)["associations"][0]["types"][0]["associationTypeId"] == 216


@respx.mock(base_url=BASE)
async def test_email(respx_mock: respx.Router, client: HubSpotClient) -> None:
    """An e-mail on the timeline is sent, has no status (nothing was sent), and names both ends as JSON."""
    route = respx_mock.post("/crm/objects/2026-03/emails").respond(201, json={"id": "3"})
    made = await client.create_email(
        "Draft",
        timestamp_ms=7,
        text="Hello",
        html="<p>Hello</p>",
        from_email="us@seller.example",
        to_email="them@buyer.example",
        owner_id="5",
        associations=[NewLink("9001", 210), NewLink("11", 198)],
    )
    sent = _sent(route)
    assert made.id == "3"
    assert sent["properties"].pop("hs_email_headers") == (
        '{"from": {"email": "us@seller.example"}, "to": [{"email": "them@buyer.example"}]}'
    )
    assert sent["properties"] == {
        "hs_timestamp": "7",
        "hs_email_direction": "EMAIL",
        "hs_email_subject": "Draft",
        "hs_email_text": "Hello",
        "hs_email_html": "<p>Hello</p>",
        "hubspot_owner_id": "5",
    }
    assert [link["types"][0]["associationTypeId"] for link in sent["associations"]] == [210, 198]


async def test_a_note_too_long_is_not_sent(client: HubSpotClient) -> None:
    """The vendor's limit is checked before the call."""
    with pytest.raises(ValueError, match="65536"):
        await client.create_note("x" * 65_537, timestamp_ms=1)


@respx.mock(base_url=BASE)
async def test_upload_is_repeatable_and_private(respx_mock: respx.Router, client: HubSpotClient) -> None:
    """A file goes up private, and a repeat into the same folder asks for the existing one."""
    route = respx_mock.post("/files/2026-03/files").respond(201, json={"id": "900", "name": "a"})
    stored = await client.upload_file(
        "a.pdf", b"%PDF-1.7", folder_path="/contracts", content_type="application/pdf"
    )
    assert stored.id == "900"
    body = route.calls.last.request.content
    assert b'filename="a.pdf"' in body
    assert b"%PDF-1.7" in body
    start = body.index(b'{"access"')
    assert json.loads(body[start : body.index(b"}", start) + 1]) == {
        "access": "PRIVATE",
        "duplicateValidationScope": "EXACT_FOLDER",
        "duplicateValidationStrategy": "RETURN_EXISTING",
        "overwrite": False,
    }
    assert b'name="folderPath"\r\n\r\n/contracts\r\n' in body


@pytest.mark.parametrize(("name", "content"), [("", b"x"), ("../a.pdf", b"x"), ("a.pdf", b"")])
async def test_senseless_files_are_not_sent(client: HubSpotClient, name: str, content: bytes) -> None:
    """A file without name or content, or with a path as its name, is a mistake of ours."""
    with pytest.raises(ValueError, match="plain name"):
        await client.upload_file(name, content, folder_path="/c", content_type="application/pdf")


@respx.mock
async def test_download_leaves_the_token_at_home(respx_mock: respx.Router, client: HubSpotClient) -> None:
    """The bytes come from the signed address, which never sees our token."""
    respx_mock.get(BASE + "/files/2026-03/files/900/signed-url").respond(
        json={"url": "https://cdn.test/f?sig=1"}
    )
    cdn = respx_mock.get("https://cdn.test/f").respond(content=b"%PDF")
    assert await client.download_file("900") == b"%PDF"
    assert "authorization" not in cdn.calls.last.request.headers


@respx.mock(base_url=BASE)
async def test_owners_of_all_pages(respx_mock: respx.Router, client: HubSpotClient) -> None:
    """Owners are read to the last page, and a repeated cursor causes an error, not a loop."""
    pages = [
        httpx.Response(200, json={"results": [{"id": "1"}], "paging": {"next": {"after": "1"}}}),
        httpx.Response(200, json={"results": [{"id": "2"}]}),
    ]
    route = respx_mock.get("/crm/owners/2026-03").mock(side_effect=pages)
    assert [one.id for one in await client.owners()] == ["1", "2"]
    assert route.calls.last.request.url.params["after"] == "1"
    route.mock(return_value=pages[0])
    with pytest.raises(UnreadableAnswerError, match="next"):
        await client.owners()


@pytest.mark.parametrize(
    ("status", "kind"), [(400, RejectedError), (401, AuthError), (403, AuthError), (404, NotFoundError)]
)
@respx.mock(base_url=BASE)
async def test_statuses_reach_the_caller(
    respx_mock: respx.Router, client: HubSpotClient, status: int, kind: type[Exception]
) -> None:
    """The class of the table arrives through a method, with the name of the call."""
    respx_mock.get("/crm/objects/2026-03/deals/1").respond(status, json={"message": TOKEN})
    with pytest.raises(kind, match="hubspot read_deals") as caught:
        await client.read("deals", "1", properties=[])
    assert TOKEN not in str(caught.value)


async def test_an_empty_id_does_not_become_another_route(client: HubSpotClient) -> None:
    """Reading "" would list everything, and deleting it worse: both stop before the call."""
    with pytest.raises(ValueError, match="empty"):
        await client.read("deals", "", properties=[])
    with pytest.raises(ValueError, match="empty"):
        await client.archive("deals", "")


def test_a_client_needs_a_token() -> None:
    """An empty token is refused at once, not by a 401 later."""
    with pytest.raises(ValueError, match="token"):
        HubSpotClient("")


@respx.mock(base_url=BASE)
async def test_a_lane_is_kept_per_client(respx_mock: respx.Router) -> None:
    """`in_lane` shares connections and limits and changes only how its calls wait."""
    lanes: list[Lane] = []

    class Watched(Bucket):
        async def take(self, lane: Lane = Lane.NORMAL) -> float:
            lanes.append(lane)
            return await super().take(lane)

    respx_mock.get("/account-info/2026-03/details").respond(json={"portalId": 1})
    async with HubSpotClient(TOKEN, base_url=BASE, pace=Pace({"burst": Watched(9, 1.0)})) as client:
        await client.in_lane(Lane.URGENT).account_details()
        await client.account_details()
    assert lanes == [Lane.URGENT, Lane.NORMAL]
