"""Listing and searching: pages, the query language, the index that lags, one list call at a time."""

import asyncio

import pytest

from connectors.sandbox.dropbox_sign_server.errors import VendorError
from connectors.sandbox.dropbox_sign_server.records import Draft, Signature, SignatureRequest, StoredFile
from connectors.sandbox.dropbox_sign_server.search import compile_query

ME = "sales-ops@supplier.example"
AT = 1_795_305_600.0  # 2026-11-22 00:00 UTC


def _request(created_s=AT + 3600):
    signature = Signature("s1", 0, "jane.buyer@acme.example", "Jane Buyer")
    draft = Draft(
        title="Field Trip Release",
        subject="Please sign",
        message="Dear Jane, here it is.",
        metadata={"token": "4f00aa", "deal_id": "deal-42-rev:3"},
        files=[StoredFile("contract_v2.pdf")],
        signatures=[signature],
        fields=[],
        custom_fields=[],
        cc=[],
        test_mode=True,
    )
    return SignatureRequest("r1", draft, int(created_s), created_s)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("metadata:4f00aa", True),
        ("metadata:4F00AA", True),
        ("metadata:4f00a", False),
        ("metadata:4f00a*", True),
        ("metadata:4f00aa AND from:me", True),
        ("metadata:none AND from:me", False),
        ("metadata:none OR title:trip", True),
        ("metadata:none or title:trip", False),  # operators are in capitals only
        ("title:Field Trip Release AND from:me", True),
        ('title:"Trip Release"', True),
        ('title:"Release Trip"', False),
        ("to:jane.buyer@acme.example", True),
        ("to:Buyer", True),
        ("to:me", False),
        ("from:somebody@else.example", False),
        ("subject:please", True),
        ("message:here", True),
        ("filename:contract_v2.pdf", True),
        ("metadata:deal-42-rev:3", True),
        ("4f00aa", True),
        ("acme", True),
        ("(title:none OR title:trip) AND test_mode:true", True),
        ("title:none OR (title:trip AND metadata:none)", False),
        ("unknown_field:trip", False),
        ("created:2026-11-22", True),
        ("created:2026-11-21", False),
        ("created:[2026-11-22 TO 2026-11-22]", True),
        ("created:{2026-11-22 TO 2026-11-30}", False),
        ("created:{2026-11-21 TO 2026-11-22}", False),
        ("created:[2026-11-01 TO *]", True),
        ("created:[* TO 2026-11-21]", False),
    ],
)
def test_the_query_language(query, found):
    """Fields, bare terms, phrases, AND, OR, brackets, trailing wildcards and date ranges."""
    assert compile_query(query, ME)(_request()) is found


@pytest.mark.parametrize(
    "query",
    ["*token", "title:*x", "AND", "title:a AND", "(title:a", "title:a)", "created:soon", "created:[a TO b]",
     "created:[2026-01-01]", "title:[a TO b]", 'title:"open'],
)  # fmt: skip
def test_bad_queries_are_refused(query):
    """A leading wildcard and broken syntax are a 400, not an empty result."""
    with pytest.raises(VendorError) as refused:
        compile_query(query, ME)
    assert (refused.value.status, refused.value.path) == (400, "query")


async def _list(world, **params):
    return await world.api.get("/v3/signature_request/list", params=params)


async def test_a_fresh_request_is_not_found_by_query_at_once(world):
    """The index lags by the configured virtual seconds; the plain list does not. Absence proves nothing."""
    await world.limits(search_lag_s=30)
    request_id = await world.sent()
    query = "metadata:tok0001 AND from:me"
    assert (await _list(world, query=query)).json()["signature_requests"] == []
    plain = (await _list(world)).json()["signature_requests"]
    assert [r["signature_request_id"] for r in plain] == [request_id]
    await world.advance(31)
    found = (await _list(world, query=query)).json()["signature_requests"]
    assert [r["signature_request_id"] for r in found] == [request_id]


async def test_pages_count_from_1_newest_first(world):
    """page and page_size 1 to 100; list_info counts; beyond the end it is empty."""
    ids = [await world.sent(title=f"Number {n}") for n in range(3)]
    first = (await _list(world, page_size=2)).json()
    second = (await _list(world, page_size=2, page=2)).json()
    beyond = (await _list(world, page_size=2, page=9)).json()
    shown = [r["signature_request_id"] for p in (first, second) for r in p["signature_requests"]]
    assert shown == ids[::-1]
    assert first["list_info"] == {"page": 1, "num_pages": 2, "num_results": 3, "page_size": 2}
    assert beyond["signature_requests"] == []


@pytest.mark.parametrize("params", [{"page_size": 0}, {"page_size": 101}, {"page": 0}, {"page": "x"}])
async def test_pages_outside_the_bounds_are_refused(world, params):
    """400 with the path."""
    answer = await _list(world, **params)
    assert answer.status_code == 400
    assert answer.json()["error"]["error_path"] == next(iter(params))


async def test_of_two_list_calls_at_once_the_second_is_refused(world):
    """409 for requests and for templates, apart from each other; one after the other both pass."""
    await world.limits(list_takes_s=1.5)
    answers = await asyncio.gather(_list(world), _list(world), world.api.get("/v3/template/list"))
    assert sorted(a.status_code for a in answers[:2]) == [200, 409]
    assert answers[2].status_code == 200
    assert (await _list(world)).status_code == 200


async def test_a_cancelled_request_leaves_the_list(world):
    """Once cancelled it is gone from the list and reads 410."""
    request_id = await world.sent()
    await world.api.post(f"/v3/signature_request/cancel/{request_id}")
    await world.advance(1)
    assert (await _list(world)).json()["signature_requests"] == []
    gone = await world.api.get(f"/v3/signature_request/{request_id}")
    assert [gone.status_code, gone.json()["error"]["error_name"]] == [410, "deleted"]


async def test_only_the_own_team_can_be_listed(world):
    """account_id: the own one or `all`; another is 403."""
    own = (await world.api.get("/v3/account")).json()["account"]["account_id"]
    statuses = [(await _list(world, account_id=a)).status_code for a in (own, "all", "f" * 40)]
    assert statuses == [200, 200, 403]
