"""Batches: partial success only under the vendor's conditions, no order, no doubles."""

import pytest

V = "2026-09"


def deals(*names, trace=False, **more):
    rows = []
    for name in names:
        row = {"properties": {"dealname": name, "dealstage": "qualifiedtobuy", **more}}
        rows.append({**row, "objectWriteTraceId": f"t-{name}"} if trace else row)
    return rows


def post(hub, kind, action, inputs, **more):
    return hub.api.post(f"/crm/objects/{V}/{kind}/batch/{action}", json={"inputs": inputs, **more})


def ids_of(hub, count):
    names = [f"d{n}" for n in range(count)]
    return [r["id"] for r in post(hub, "deals", "create", deals(*names)).json()["results"]]


def test_results_are_not_in_input_order(hub):
    """Results must be matched by trace id or unique property, never by position."""
    names = [f"d{n}" for n in range(20)]
    answer = post(hub, "deals", "create", deals(*names, trace=True))
    assert answer.status_code == 201
    got = [r["properties"]["dealname"] for r in answer.json()["results"]]
    assert sorted(got) == sorted(names)
    assert got != names
    for row in answer.json()["results"]:
        assert row["objectWriteTraceId"] == f"t-{row['properties']['dealname']}"


def test_trace_ids_need_not_come_back(hub):
    """Whether success rows echo the trace id is undocumented: a client must work without."""
    hub.control("PUT", "portal-rules", echo_trace_ids=False)
    answer = post(hub, "deals", "create", deals("a", trace=True))
    assert "objectWriteTraceId" not in answer.json()["results"][0]


def test_one_bad_row_without_trace_ids_refuses_all(hub):
    """Without trace ids nothing is written when one row is bad."""
    rows = [*deals("a", "b"), {"properties": {"dealname": "no stage"}}]
    assert post(hub, "deals", "create", rows).status_code == 400
    assert hub.control("GET", "state")["counts"]["deals"] == 0


def test_trace_ids_on_all_rows_give_a_207(hub):
    """With unique trace ids the good rows are written, the bad one is named by its trace id."""
    rows = [*deals("a", "b", trace=True), {"properties": {"dealname": "x"}, "objectWriteTraceId": "t-x"}]
    answer = post(hub, "deals", "create", rows)
    assert answer.status_code == 207
    body = answer.json()
    assert (body["status"], body["numErrors"], len(body["results"])) == ("COMPLETE", 1, 2)
    assert body["errors"][0]["context"]["objectWriteTraceId"] == ["t-x"]


@pytest.mark.parametrize("traces", [["t", "t", "u"], ["t", None, "u"]])
def test_trace_ids_that_repeat_or_miss_count_as_none(hub, traces):
    """Trace ids only help when every row has its own."""
    rows = [*deals("a", "b"), {"properties": {"dealname": "x"}}]
    for row, trace in zip(rows, traces, strict=True):
        row.update({"objectWriteTraceId": trace} if trace else {})
    assert post(hub, "deals", "create", rows).status_code == 400
    assert hub.control("GET", "state")["counts"]["deals"] == 0


def test_existing_contact_in_a_traced_create_names_its_id(hub):
    """The conflict row carries the existing id; without trace ids several conflicts name none."""
    first = post(hub, "contacts", "create", [{"properties": {"email": "a@example.test"}}]).json()
    known = first["results"][0]["id"]
    row = {"properties": {"email": "A@example.test"}, "objectWriteTraceId": "t1"}
    traced = post(hub, "contacts", "create", [row])
    assert traced.status_code == 207
    error = traced.json()["errors"][0]
    assert (error["category"], error["context"]["existingId"]) == ("CONFLICT", [known])
    assert error["message"] == f"Contact already exists. Existing ID: {known}"
    post(hub, "contacts", "create", [{"properties": {"email": "b@example.test"}}])
    mails = ["a@example.test", "b@example.test"]
    plain = post(hub, "contacts", "create", [{"properties": {"email": m}} for m in mails])
    assert plain.status_code == 409
    assert "Existing ID" not in plain.json()["message"]


def test_same_address_twice_in_one_create_conflicts(hub):
    """Two rows with one address differing in case collide within the batch."""
    rows = [{"properties": {"email": m}} for m in ("a@example.test", "A@EXAMPLE.test")]
    assert post(hub, "contacts", "create", rows).status_code == 409
    assert hub.control("GET", "state")["counts"]["contacts"] == 0


@pytest.mark.parametrize("action", ["read", "update", "upsert"])
def test_one_id_twice_refuses_everything(hub, action):
    """A repeated id is a 400 for the whole batch, trace ids or not; addresses repeat in any case."""
    if action == "upsert":
        rows = [
            {"id": m, "idProperty": "email", "properties": {"firstname": "A"}, "objectWriteTraceId": m}
            for m in ("a@example.test", "A@example.test")
        ]
        answer = post(hub, "contacts", action, rows)
    else:
        ident = ids_of(hub, 1)[0]
        rows = [{"id": ident, "properties": {}}, {"id": ident, "properties": {}}]
        answer = post(hub, "deals", action, rows)
    assert answer.status_code == 400
    assert "Duplicate IDs found in batch input" in answer.json()["message"]


@pytest.mark.parametrize("action", ["read", "create", "update", "upsert", "archive"])
def test_hundred_and_one_inputs_are_too_many(hub, action):
    """A batch has at most 100 inputs."""
    rows = [{"id": str(n), "properties": {}} for n in range(101)]
    assert post(hub, "deals", action, rows).status_code == 400


@pytest.mark.parametrize("action", ["read", "update"])
def test_unknown_ids_give_a_207(hub, action):
    """Unknown ids are listed together in errors[].context.ids; the rest is served."""
    ident = ids_of(hub, 1)[0]
    rows = [{"id": i, "properties": {"amount": "5"}} for i in (ident, "1", "2")]
    answer = post(hub, "deals", action, rows)
    assert answer.status_code == 207
    error = answer.json()["errors"][0]
    assert (error["category"], sorted(error["context"]["ids"])) == ("OBJECT_NOT_FOUND", ["1", "2"])
    assert [r["id"] for r in answer.json()["results"]] == [ident]


def test_batch_update_with_one_bad_value_changes_nothing(hub):
    """A bad value in one row leaves all rows as they were."""
    a, b = ids_of(hub, 2)
    rows = [{"id": a, "properties": {"amount": "5"}}, {"id": b, "properties": {"amount": "five"}}]
    assert post(hub, "deals", "update", rows).status_code == 400
    assert hub.api.get(f"/crm/objects/{V}/deals/{a}?properties=amount").json()["properties"]["amount"] is None


def test_batch_read_by_unique_property_and_without_associations(hub):
    """Batch read takes idProperty, follows merged ids, and never returns associations."""
    rows = [{"properties": {"email": f"c{n}@example.test"}} for n in range(3)]
    post(hub, "contacts", "create", rows)
    asked = [{"id": f"C{n}@example.test"} for n in range(3)]
    answer = post(hub, "contacts", "read", asked, idProperty="email", properties=["email"])
    assert answer.status_code == 200
    assert {r["properties"]["email"] for r in answer.json()["results"]} == {
        f"c{n}@example.test" for n in range(3)
    }
    assert not any("associations" in r for r in answer.json()["results"])


def test_contacts_cannot_be_batch_updated_by_address(hub):
    """Batch update by e-mail is refused as a non-unique property."""
    post(hub, "contacts", "create", [{"properties": {"email": "a@example.test"}}])
    row = {"id": "a@example.test", "idProperty": "email", "properties": {"firstname": "A"}}
    answer = post(hub, "contacts", "update", [row])
    assert answer.status_code == 400
    assert "non-unique 0-1 property" in answer.json()["message"]


def test_upsert_says_what_is_new_and_repeats_safely(hub):
    """First run creates, the second changes; addresses come back in lower case."""
    rows = [
        {"id": f"C{n}@Example.test", "idProperty": "email", "properties": {"firstname": str(n)}}
        for n in range(3)
    ]
    first, second = (post(hub, "contacts", "upsert", rows).json()["results"] for _ in range(2))
    assert {r["new"] for r in first} == {True}
    assert {r["new"] for r in second} == {False}
    assert {r["id"] for r in first} == {r["id"] for r in second}
    assert {r["properties"]["email"] for r in first} == {f"c{n}@example.test" for n in range(3)}


def test_upsert_by_a_plain_property_is_refused(hub):
    """Only unique properties identify."""
    row = {"id": "x", "idProperty": "dealname", "properties": {"dealname": "x"}}
    assert post(hub, "deals", "upsert", [row]).status_code == 400


def test_traced_upsert_is_partial(hub):
    """Upsert honours trace ids as well."""
    rows = [
        {"id": m, "idProperty": "email", "properties": {}, "objectWriteTraceId": m}
        for m in ("good@example.test", "not an address")
    ]
    answer = post(hub, "contacts", "upsert", rows)
    assert answer.status_code == 207
    assert answer.json()["errors"][0]["context"]["objectWriteTraceId"] == ["not an address"]
    assert hub.control("GET", "state")["counts"]["contacts"] == 1


def test_batch_create_links_as_it_creates(hub):
    """Inline associations of each row are made; a type of the wrong direction is refused."""
    contact = post(hub, "contacts", "create", [{"properties": {"email": "a@example.test"}}]).json()
    contact_id = contact["results"][0]["id"]
    link = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3}
    row = {**deals("a")[0], "associations": [{"to": {"id": contact_id}, "types": [link]}]}
    made = post(hub, "deals", "create", [row]).json()["results"][0]["id"]
    found = hub.api.get(f"/crm/objects/{V}/deals/{made}?associations=contacts").json()
    assert found["associations"]["contacts"]["results"] == [{"id": contact_id, "type": "deal_to_contact"}]
    link["associationTypeId"] = 4
    assert post(hub, "deals", "create", [row]).status_code == 400


def test_batch_archive_passes_over_unknown_ids(hub):
    """Archiving is 204 whatever was there before."""
    ids = ids_of(hub, 2)
    answer = post(hub, "deals", "archive", [{"id": i} for i in (*ids, "999")])
    assert (answer.status_code, answer.content) == (204, b"")
    assert hub.control("GET", "state")["archived"]["deals"] == 2
