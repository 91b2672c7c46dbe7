"""Quirks of HubSpot that belong to no family of their own: sizes, rare statuses, names that differ."""

import pytest

V = "2026-09"


def deal(hub, **more):
    values = {"dealname": "Press", "dealstage": "qualifiedtobuy", **more}
    return hub.api.post(f"/crm/objects/{V}/deals", json={"properties": values})


@pytest.mark.parametrize(
    ("status", "headers", "category"),
    [
        (423, {}, "LOCKED"),
        (477, {"Retry-After": "3600"}, None),
        (502, {}, None),
        (504, {}, None),
        (521, {}, None),
    ],
)
def test_locks_moves_and_gateway_errors_have_their_shapes(hub, status, headers, category):
    """423 (locked for 2 s), 477 (data-centre move, Retry-After in seconds) and the 5xx carry HubSpot's error body."""
    hub.control("POST", "faults", kind="status", path="/deals$", status=status, headers=headers)
    answer = deal(hub)
    assert answer.status_code == status
    assert answer.json()["status"] == "error"
    assert answer.json()["correlationId"]
    assert answer.json().get("category") == category
    assert answer.headers.get("Retry-After") == headers.get("Retry-After")
    assert hub.control("GET", "state")["counts"]["deals"] == 0


def test_a_create_behind_a_lost_answer_was_made(hub):
    """No idempotency key exists: the answer is a 504, the deal is there, and a second try makes a second one."""
    hub.control("POST", "faults", kind="status_after", path="/deals$", status=504)
    assert deal(hub).status_code == 504
    assert deal(hub).status_code == 201
    assert hub.control("GET", "state")["counts"]["deals"] == 2


def test_a_pipeline_holds_a_hundred_stages(hub):
    """The hundredth stage is taken, the next is refused."""
    stages = [{"label": f"S{n}", "displayOrder": n, "metadata": {"probability": "0.5"}} for n in range(99)]
    body = {"label": "Long", "displayOrder": 1, "stages": stages}
    made = hub.api.post(f"/crm/pipelines/{V}/deals", json=body).json()["id"]
    codes = []
    for n in (99, 100):
        row = {"label": f"S{n}", "displayOrder": n, "metadata": {"probability": "0.5"}}
        codes.append(hub.api.post(f"/crm/pipelines/{V}/deals/{made}/stages", json=row).status_code)
    assert codes == [201, 400]


def test_a_note_holds_65536_characters(hub):
    """One more is refused."""
    codes = []
    for size in (65_536, 65_537):
        values = {"hs_timestamp": "2026-11-01T10:00:00Z", "hs_note_body": "x" * size}
        codes.append(hub.api.post(f"/crm/objects/{V}/notes", json={"properties": values}).status_code)
    assert codes == [201, 400]


@pytest.mark.parametrize(
    ("action", "most"), [("read", 1_000), ("associate/default", 2_000), ("archive", 100)]
)
def test_association_batches_have_sizes_of_their_own(hub, action, most):
    """1,000 records to read, 2,000 pairs to link, 100 records to unlink: one more is refused as too many."""
    rows = {
        "read": {"id": "1"},
        "associate/default": {"from": {"id": "1"}, "to": {"id": "1"}},
        "archive": {"from": {"id": "1"}, "to": [{"id": "1"}]},
    }
    path = f"/crm/associations/{V}/deals/contacts/batch/{action}"

    def tried(count):
        answer = hub.api.post(path, json={"inputs": [rows[action]] * count})
        return answer.status_code, "at most" in answer.text

    assert tried(most + 1) == (400, True)
    assert tried(most)[1] is False


def test_deals_call_it_dealstage(hub):
    """hs_pipeline and hs_pipeline_stage belong to other objects; on a deal they do not exist."""
    for name in ("hs_pipeline", "hs_pipeline_stage"):
        answer = deal(hub, **{name: "x"})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["code"] == "PROPERTY_DOESNT_EXIST"


def test_line_items_and_contacts_have_own_inline_names(hub):
    """Asked by path name, answered by label: line items come under a key with a space, contacts under their own."""
    item = hub.api.post(
        f"/crm/objects/{V}/line_items", json={"properties": {"name": "A", "price": "1"}}
    ).json()["id"]
    ident = deal(hub).json()["id"]
    hub.api.put(f"/crm/objects/{V}/deals/{ident}/associations/default/line_items/{item}")
    read = hub.api.get(f"/crm/objects/{V}/deals/{ident}?associations=line_items,contacts").json()
    assert list(read["associations"]) == ["line items"]
    listed = hub.api.get(f"/crm/objects/{V}/deals?associations=line_items").json()["results"][0]
    assert [r["id"] for r in listed["associations"]["line items"]["results"]] == [item]


def test_no_links_at_all_is_a_207_without_results(hub):
    """Association batch read of records that are linked to nobody: 207, no rows, one NO_ASSOCIATIONS_FOUND each."""
    ids = [deal(hub).json()["id"] for _ in range(2)]
    path = f"/crm/associations/{V}/deals/contacts/batch/read"
    answer = hub.api.post(path, json={"inputs": [{"id": i} for i in ids]})
    assert answer.status_code == 207
    assert answer.json()["results"] == []
    assert {e["subCategory"] for e in answer.json()["errors"]} == {"crm.associations.NO_ASSOCIATIONS_FOUND"}
    assert sorted(i for e in answer.json()["errors"] for i in e["context"]["fromObjectId"]) == sorted(ids)
