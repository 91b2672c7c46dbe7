import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from connectors.http.errors import RateLimitedError, RejectedError, TransientError, UnreadableAnswerError
from connectors.hubspot.client import HubSpotClient

Answering = Callable[[str, Any], tuple[int, Any]]


class Hub:
    """A transport whose answers the test computes from path and JSON body."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.answer: Answering = lambda path, body: (200, {"results": []})

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.calls.append((request.url.path, body))
        status, content = self.answer(request.url.path, body)
        return httpx.Response(status, json=content)


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
async def client(hub: Hub) -> AsyncIterator[HubSpotClient]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(hub)) as http:
        yield HubSpotClient("t", base_url="https://hub.test", http=http)


def _row(number: str, **properties: str) -> dict[str, Any]:
    return {"id": number, "properties": properties}


def _missing(*ids: str) -> dict[str, Any]:
    return {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "m", "context": {"ids": list(ids)}}


async def test_read_batch_in_chunks_without_repeats(hub: Hub, client: HubSpotClient) -> None:
    """250 ids, some twice, cost three calls of at most 100, and the answer's order does not matter."""
    hub.answer = lambda _, body: (200, {"results": [_row(one["id"]) for one in reversed(body["inputs"])]})
    ids = [str(n) for n in range(250)]
    got = await client.read_batch("deals", [*ids, "3", "4"], properties=["dealname"])
    assert [len(body["inputs"]) for _, body in hub.calls] == [100, 100, 50]
    assert {key: record.id for key, record in got.records.items()} == {one: one for one in ids}
    assert (got.missing, got.failed) == ((), {})


async def test_read_batch_with_history_goes_by_fifty(hub: Hub, client: HubSpotClient) -> None:
    """History halves the chunk."""
    hub.answer = lambda _, body: (200, {"results": [_row(one["id"]) for one in body["inputs"]]})
    await client.read_batch("deals", [str(n) for n in range(120)], properties=[], history=["dealstage"])
    assert [len(body["inputs"]) for _, body in hub.calls] == [50, 50, 20]
    assert hub.calls[0][1]["propertiesWithHistory"] == ["dealstage"]


async def test_read_batch_distinguishes_missing_from_failed(hub: Hub, client: HubSpotClient) -> None:
    """A record that does not exist is missing; one HubSpot answered an error for is unknown, never
    missing."""
    other = {"status": "error", "category": "INTERNAL_ERROR", "message": "m", "context": {"ids": ["3"]}}
    hub.answer = lambda _, body: (207, {"results": [_row("1")], "errors": [_missing("2"), other]})
    got = await client.read_batch("deals", ["1", "2", "3"], properties=[])
    assert set(got.records) == {"1"}
    assert got.missing == ("2",)
    assert got.failed["3"].category == "INTERNAL_ERROR"


async def test_an_error_without_ids_makes_nothing_missing(hub: Hub, client: HubSpotClient) -> None:
    """When the error does not say which row it is about, no absent row is called missing."""
    hub.answer = lambda _, body: (207, {"results": [_row("1")], "errors": [{"category": "INTERNAL_ERROR"}]})
    got = await client.read_batch("deals", ["1", "2"], properties=[])
    assert (got.missing, set(got.failed)) == ((), {"2"})


async def test_merged_ids_lead_to_the_survivor(hub: Hub, client: HubSpotClient) -> None:
    """A merged id maps to the surviving record, also when that one was asked for as
    well."""
    survivor = _row("50", dealname="N", hs_merged_object_ids="7;8")
    contact = _row("60", hs_calculated_merged_vids="9:1700000000000;60:1700000000000")
    hub.answer = lambda _, body: (200, {"results": [contact, survivor]})
    got = await client.read_batch("deals", ["8", "50", "9"], properties=["dealname"])
    assert {key: record.id for key, record in got.records.items()} == {"8": "50", "50": "50", "9": "60"}
    assert got.records["8"].properties == {"dealname": "N"}
    assert got.missing == ()


async def test_read_by_unique_property(hub: Hub, client: HubSpotClient) -> None:
    """Rows are matched by the property's value in any case, and by a contact's further addresses."""
    rows = [
        _row("1", email="anna@example.com"),
        _row("2", email="new@example.com", hs_additional_emails="old@example.com;older@example.com"),
    ]
    hub.answer = lambda _, body: (200, {"results": rows})
    got = await client.read_batch(
        "contacts",
        ["Anna@Example.com", "older@example.com", "nobody@example.com"],
        properties=["firstname", "hs_additional_emails"],
        id_property="email",
    )
    assert {key: one.id for key, one in got.records.items()} == {
        "Anna@Example.com": "1",
        "older@example.com": "2",
    }
    assert got.missing == ("nobody@example.com",)
    assert hub.calls[0][1]["idProperty"] == "email"
    assert "email" in hub.calls[0][1]["properties"]


async def test_a_batch_answer_without_results_is_not_empty(hub: Hub, client: HubSpotClient) -> None:
    """An answer of another shape never turns every asked record into a missing one."""
    for content in ({"status": "PENDING"}, [], {"results": None}):
        hub.answer = lambda _, body, content=content: (200, content)  # type: ignore[misc]
        with pytest.raises(UnreadableAnswerError):
            await client.read_batch("deals", ["1"], properties=[])


async def test_upsert_matches_by_trace_then_by_value(hub: Hub, client: HubSpotClient) -> None:
    """Rows come back in any order and lower-cased: a trace id decides, else the unique value."""

    def answer(_: str, body: Any) -> tuple[int, Any]:
        traces = {one["id"]: one["objectWriteTraceId"] for one in body["inputs"]}
        return 207, {
            "results": [
                {**_row("3", df_key="c"), "new": True},
                {**_row("1"), "new": False, "objectWriteTraceId": traces["A"]},
            ],
            "errors": [
                {
                    "category": "VALIDATION_ERROR",
                    "message": "value was not valid",
                    "context": {"objectWriteTraceId": [traces["B"]], "propertyName": ["amount"]},
                }
            ],
        }

    hub.answer = answer
    rows = {key: {"dealname": key, "df_key": key} for key in ("A", "B", "C", "D")}
    got = await client.batch_upsert("deals", "df_key", rows)
    assert {key: one.id for key, one in got.records.items()} == {"A": "1", "C": "3"}
    assert got.created == {"C"}
    assert (got.errors["B"].category, got.errors["B"].properties) == ("VALIDATION_ERROR", ("amount",))
    assert got.unknown == ("D",)
    sent = hub.calls[0][1]["inputs"]
    assert sent[0] == {
        "id": "A",
        "idProperty": "df_key",
        "properties": {"dealname": "A", "df_key": "A"},
        "objectWriteTraceId": sent[0]["objectWriteTraceId"],
    }
    assert len({one["objectWriteTraceId"] for one in sent}) == 4


async def test_upsert_conflict_names_the_existing_record(hub: Hub, client: HubSpotClient) -> None:
    """A row in conflict says which record holds its value."""
    hub.answer = lambda _, body: (
        207,
        {
            "results": [],
            "errors": [
                {
                    "category": "CONFLICT",
                    "message": "Contact already exists. Existing ID: 11",
                    "context": {
                        "objectWriteTraceId": [body["inputs"][0]["objectWriteTraceId"]],
                        "existingId": ["11"],
                    },
                }
            ],
        },
    )
    got = await client.batch_upsert("contacts", "email", {"a@example.com": {}})
    assert got.errors["a@example.com"].existing_id == "11"
    assert "example.com" not in repr(got.errors["a@example.com"])


async def test_update_in_chunks(hub: Hub, client: HubSpotClient) -> None:
    """101 updates cost two calls, matched by id."""
    hub.answer = lambda _, body: (200, {"results": [_row(one["id"]) for one in reversed(body["inputs"])]})
    got = await client.batch_update("deals", {str(n): {"dealstage": "x"} for n in range(101)})
    assert [len(body["inputs"]) for _, body in hub.calls] == [100, 1]
    assert all(key == record.id for key, record in got.records.items())
    assert (len(got.records), got.unknown) == (101, ())


async def test_rows_that_hubspot_would_take_for_one(client: HubSpotClient, hub: Hub) -> None:
    """Keys that differ only in case would make HubSpot refuse the whole batch: refused here, before the
    call."""
    with pytest.raises(ValueError, match="share one email"):
        await client.batch_upsert("contacts", "email", {"a@example.com": {}, "A@example.com": {}})
    assert hub.calls == []


async def test_failure_after_a_done_chunk_is_doubtful(hub: Hub, client: HubSpotClient) -> None:
    """A 429 on the second chunk does not say "nothing happened": the first chunk did."""

    def answer(_: str, body: Any) -> tuple[int, Any]:
        return (
            (200, {"results": [_row(one["id"]) for one in body["inputs"]]})
            if len(hub.calls) == 1
            else (429, {})
        )

    hub.answer = answer
    with pytest.raises(RateLimitedError) as caught:
        await client.batch_update("deals", {str(n): {} for n in range(101)})
    assert caught.value.applied == "maybe"
    hub.calls.append(("", None))
    with pytest.raises(RateLimitedError) as caught:
        await client.batch_update("deals", {"1": {}})
    assert caught.value.applied == "no"


def _links(from_id: str, *to: int, after: str | None = None) -> dict[str, Any]:
    types = [{"category": "HUBSPOT_DEFINED", "typeId": 3, "label": None}]
    row: dict[str, Any] = {
        "from": {"id": from_id},
        "to": [{"toObjectId": n, "associationTypes": types} for n in to],
    }
    return row | ({"paging": {"next": {"after": after}}} if after else {})


async def test_associated_reads_all_pages_of_each(hub: Hub, client: HubSpotClient) -> None:
    """1,500 ids cost two calls, and a record with many associations is read to its last page."""

    def answer(_: str, body: Any) -> tuple[int, Any]:
        asked = body["inputs"]
        rows = [
            _links("0", 102)
            if "after" in one
            else _links(one["id"], 100, 101, after="p2" if one["id"] == "0" else None)
            for one in asked
        ]
        nothing = {"category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND"}
        return 207, {"results": [row for row in rows if row["from"]["id"] != "7"], "errors": [nothing]}

    hub.answer = answer
    got = await client.associated("deals", "contacts", [*(str(n) for n in range(1500)), "0"])
    assert [len(body["inputs"]) for _, body in hub.calls] == [1000, 501]
    assert [link.to_id for link in got["0"]] == ["100", "101", "102"]
    assert got["7"] == ()
    assert [link.to_id for link in got["1499"]] == ["100", "101"]


async def test_associated_does_not_hide_other_errors(hub: Hub, client: HubSpotClient) -> None:
    """A row error that is not "nothing associated" is never shown as a record without associations."""
    hub.answer = lambda _, body: (207, {"results": [], "errors": [{"category": "VALIDATION_ERROR"}]})
    with pytest.raises(RejectedError, match="VALIDATION_ERROR"):
        await client.associated("deals", "contacts", ["1"])


async def test_associated_does_not_loop(hub: Hub, client: HubSpotClient) -> None:
    """A page that gives itself as the next causes an error."""
    hub.answer = lambda _, body: (200, {"results": [_links("1", 5, after="p")]})
    with pytest.raises(UnreadableAnswerError, match="next"):
        await client.associated("deals", "contacts", ["1"])


async def test_associate(hub: Hub, client: HubSpotClient) -> None:
    """Default links go by 2,000 without repeats; labels go one pair at a time."""
    pairs = [(str(n), "5") for n in range(2001)]
    assert await client.associate_default("deals", "contacts", [*pairs, pairs[0]]) == ()
    assert [len(body["inputs"]) for _, body in hub.calls] == [2000, 1]
    assert hub.calls[0][0] == "/crm/associations/2026-03/deals/contacts/batch/associate/default"
    await client.associate("deals", "1", "contacts", "2", [("USER_DEFINED", 42)])
    assert hub.calls[-1] == (
        "/crm/objects/2026-03/deals/1/associations/contacts/2",
        [{"associationCategory": "USER_DEFINED", "associationTypeId": 42}],
    )
    with pytest.raises(ValueError, match="at least one"):
        await client.associate("deals", "1", "contacts", "2", [])


async def test_a_failing_batch_is_one_error(hub: Hub, client: HubSpotClient) -> None:
    """When HubSpot cannot answer at all, the whole call fails and claims nothing about rows."""
    hub.answer = lambda _, body: (502, {})
    with pytest.raises(TransientError) as caught:
        await client.batch_upsert("deals", "df_key", {"a": {}})
    assert caught.value.applied == "maybe"
