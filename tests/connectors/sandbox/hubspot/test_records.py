"""What a record is: strings, nulls, history, calculated values, uniqueness, archive, merge."""

import pytest

V = "2026-09"


def make(hub, kind, properties, associations=None, version=V):
    body = {"properties": properties}
    if associations:
        body["associations"] = [
            {"to": {"id": i}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": t}]}
            for i, t in associations
        ]
    answer = hub.api.post(f"/crm/objects/{version}/{kind}", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def deal(hub, **more):
    return make(hub, "deals", {"dealname": "Press line", "dealstage": "qualifiedtobuy", **more})


def read(hub, kind, ident, *names, **query):
    params = {"properties": ",".join(names), **query}
    answer = hub.api.get(f"/crm/objects/{V}/{kind}/{ident}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def patch(hub, kind, ident, version=V, **values):
    return hub.api.patch(f"/crm/objects/{version}/{kind}/{ident}", json={"properties": values})


def test_all_values_are_strings(hub):
    """Numbers, booleans and dates come back as text, instants as ISO 8601 in UTC."""
    ident = deal(hub, amount=1250.5, closedate=1_790_000_000_000)
    props = read(hub, "deals", ident, "amount", "closedate", "hs_is_closed")["properties"]
    assert props["amount"] == "1250.5"
    assert props["closedate"] == "2026-09-21T14:13:20Z"
    assert props["hs_is_closed"] == "false"


def test_empty_property_is_null_and_unknown_one_is_left_out(hub):
    """Asked for but empty: null. Not defined: absent without a word."""
    props = read(hub, "deals", deal(hub), "description", "no_such_thing")["properties"]
    assert props["description"] is None
    assert "no_such_thing" not in props


def test_asked_properties_replace_the_defaults_but_not_the_stamps(hub):
    """Only what is asked for comes back, with id and stamps always."""
    props = read(hub, "deals", deal(hub), "description")["properties"]
    assert set(props) == {"description", "createdate", "hs_lastmodifieddate", "hs_object_id"}


def test_ids_are_unique_only_within_a_type(hub):
    """The first deal and the first contact have the same id: a key needs the type."""
    assert deal(hub) == make(hub, "contacts", {"email": "a@example.test"})


def test_unknown_property_is_refused_with_json_in_the_message(hub):
    """PROPERTY_DOESNT_EXIST stands in errors[] and as JSON text in the message; nothing is stored."""
    answer = patch(hub, "deals", deal(hub), nonsense="1", amount="5")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "PROPERTY_DOESNT_EXIST"
    assert '"error": "PROPERTY_DOESNT_EXIST"' in answer.json()["message"]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("amount", "1,250", "INVALID_NUMBER"),
        ("amount", "12 EUR", "INVALID_NUMBER"),
        ("dealstage", "QualifiedToBuy", "INVALID_OPTION"),
        ("dealtype", "New Business", "INVALID_OPTION"),
        ("hs_is_closed_won", "true", "READ_ONLY_VALUE"),
        ("hs_v2_date_entered_closedwon", "2026-01-01", "READ_ONLY_VALUE"),
        ("hs_unique_creation_key", "k", "READ_ONLY_VALUE"),
        ("deal_currency_code", "XXX", "INVALID_OPTION"),
        ("closedate", "soon", "INVALID_DATE"),
    ],
)
def test_bad_value_is_refused(hub, name, value, code):
    """Each kind of bad value is refused with its code and leaves the record alone."""
    ident = deal(hub)
    answer = patch(hub, "deals", ident, **{name: value, "description": "changed"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == code
    assert read(hub, "deals", ident, "description")["properties"]["description"] is None


def test_empty_text_clears(hub):
    """An empty text clears a value, and the history says so."""
    ident = deal(hub, amount="10")
    assert patch(hub, "deals", ident, amount="").status_code == 200
    found = read(hub, "deals", ident, "amount", propertiesWithHistory="amount")
    assert found["properties"]["amount"] is None
    assert [v["value"] for v in found["propertiesWithHistory"]["amount"]] == ["", "10"]


def test_history_is_newest_first_with_its_source(hub):
    """Stage history tells when and by whom; a repeated value adds no entry."""
    ident = deal(hub)
    for stage in ("contractsent", "contractsent", "closedwon"):
        hub.advance(60)
        patch(hub, "deals", ident, dealstage=stage)
    versions = read(hub, "deals", ident, propertiesWithHistory="dealstage")["propertiesWithHistory"]
    assert [v["value"] for v in versions["dealstage"]] == ["closedwon", "contractsent", "qualifiedtobuy"]
    assert {v["sourceType"] for v in versions["dealstage"]} == {"INTEGRATION"}


def test_stage_timing_follows_the_moves(hub):
    """Entered, exited, latest and cumulative time per stage, also over a second visit."""
    ident = deal(hub)
    for stage, wait_s in (("contractsent", 100), ("qualifiedtobuy", 50), ("contractsent", 10)):
        hub.advance(wait_s)
        patch(hub, "deals", ident, dealstage=stage)
    hub.advance(5)
    stage = "qualifiedtobuy"
    props = read(
        hub,
        "deals",
        ident,
        f"hs_v2_cumulative_time_in_{stage}",
        f"hs_v2_latest_time_in_{stage}",
        "hs_v2_date_exited_contractsent",
        "hs_v2_time_in_current_stage",
    )["properties"]
    assert 110_000 <= int(props[f"hs_v2_cumulative_time_in_{stage}"]) < 115_000
    assert 10_000 <= int(props[f"hs_v2_latest_time_in_{stage}"]) < 13_000
    assert props["hs_v2_date_exited_contractsent"] is None
    assert 5_000 <= int(props["hs_v2_time_in_current_stage"]) < 8_000


def test_closed_flags_follow_the_stage(hub):
    """Won and lost are calculated; an API write does not set the close date."""
    ident = deal(hub, amount="200")
    names = ("hs_is_closed", "hs_is_closed_won", "hs_is_closed_lost", "hs_deal_stage_probability")
    patch(hub, "deals", ident, dealstage="closedwon")
    props = read(hub, "deals", ident, *names, "closedate", "hs_closed_amount")["properties"]
    assert [props[n] for n in names] == ["true", "true", "false", "1.0"]
    assert (props["closedate"], props["hs_closed_amount"]) == (None, "200")
    patch(hub, "deals", ident, dealstage="closedlost")
    props = read(hub, "deals", ident, *names)["properties"]
    assert [props[n] for n in names] == ["true", "false", "true", "0.0"]


def test_last_modified_moves_with_values_and_not_with_links(hub):
    """An association leaves hs_lastmodifieddate alone; so does a write that changes nothing."""
    ident, contact = deal(hub), make(hub, "contacts", {"email": "a@example.test"})
    before = read(hub, "deals", ident)["updatedAt"]
    hub.advance(5)
    hub.api.put(f"/crm/objects/{V}/deals/{ident}/associations/default/contacts/{contact}")
    patch(hub, "deals", ident, dealname="Press line")
    assert read(hub, "deals", ident)["updatedAt"] == before
    patch(hub, "deals", ident, dealname="Other")
    after = read(hub, "deals", ident, "hs_lastmodifieddate")
    assert after["updatedAt"] == after["properties"]["hs_lastmodifieddate"] > before


def test_logged_activity_bumps_the_deal(hub):
    """A note on a deal moves its last activity and last-modified: echoes must be detected by content."""
    ident = deal(hub)
    before = read(hub, "deals", ident)["updatedAt"]
    hub.advance(5)
    make(hub, "notes", {"hs_timestamp": "2026-11-01T10:00:00Z", "hs_note_body": "x"}, [(ident, 214)])
    found = read(hub, "deals", ident, "notes_last_updated", "num_notes")
    assert found["updatedAt"] > before
    assert found["properties"]["notes_last_updated"] == "2026-11-01T10:00:00Z"
    assert found["properties"]["num_notes"] == "1"


def test_contact_email_is_lower_cased_and_taken(hub):
    """A second contact with the address is 409 with the id of the first."""
    first = make(hub, "contacts", {"email": "Ann@Example.test"})
    body = {"properties": {"email": "aNN@example.TEST"}}
    answer = hub.api.post(f"/crm/objects/{V}/contacts", json=body)
    assert answer.status_code == 409
    assert answer.json()["category"] == "CONFLICT"
    assert answer.json()["message"] == f"Contact already exists. Existing ID: {first}"
    found = read(hub, "contacts", "ANN@example.test", "email", idProperty="email")
    assert (found["id"], found["properties"]["email"]) == (first, "ann@example.test")


def test_archived_contact_frees_its_address(hub):
    """After archiving, the address can be used again."""
    first = make(hub, "contacts", {"email": "ann@example.test"})
    assert hub.api.delete(f"/crm/objects/{V}/contacts/{first}").status_code == 204
    assert make(hub, "contacts", {"email": "ann@example.test"}) != first


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("deals", {"dealname": "x"}),
        ("deals", {"dealstage": "qualifiedtobuy"}),
        ("contacts", {"phone": "1"}),
        ("companies", {"phone": "1"}),
        ("notes", {"hs_note_body": "x"}),
        ("leads", {"hs_lead_name": "x"}),
        ("quotes", {"hs_title": "x"}),
    ],
)
def test_required_properties_are_required(hub, kind, properties):
    """A create without what the type needs is refused."""
    answer = hub.api.post(f"/crm/objects/{V}/{kind}", json={"properties": properties})
    assert answer.status_code == 400, answer.text
    assert hub.control("GET", "state")["counts"][kind] == 0


def test_pipeline_is_needed_once_there_are_two(hub):
    """With one pipeline it is filled in; with two a deal must say."""
    assert read(hub, "deals", deal(hub), "pipeline")["properties"]["pipeline"] == "default"
    stages = [{"label": "Open", "displayOrder": 0, "metadata": {"probability": "0.5"}}]
    body = {"label": "Renewals", "displayOrder": 1, "stages": stages}
    made = hub.api.post(f"/crm/pipelines/{V}/deals", json=body).json()
    props = {"dealname": "x", "dealstage": made["stages"][0]["id"]}
    refused = hub.api.post(f"/crm/objects/{V}/deals", json={"properties": props})
    assert refused.json()["context"] == {"properties": ["pipeline"]}
    assert make(hub, "deals", {**props, "pipeline": made["id"]})
    mixed = {"properties": {**props, "pipeline": "default"}}
    assert hub.api.post(f"/crm/objects/{V}/deals", json=mixed).status_code == 400


def test_companies_are_not_deduplicated(hub):
    """Two companies with one domain arise silently, and domain does not find them."""
    a, b = (make(hub, "companies", {"name": "Acme", "domain": "acme.test"}) for _ in range(2))
    assert a != b
    found = hub.api.get(f"/crm/objects/{V}/companies/acme.test", params={"idProperty": "domain"})
    assert found.status_code == 404


def test_unique_property_identifies_and_is_enforced(hub):
    """A custom unique property finds the record and refuses a second owner of the value."""
    body = {
        "name": "lead_key",
        "label": "Lead key",
        "type": "string",
        "fieldType": "text",
        "groupName": "dealinformation",
        "hasUniqueValue": True,
    }
    assert hub.api.post(f"/crm/properties/{V}/deals", json=body).status_code == 201
    ident = deal(hub, lead_key="k-1")
    assert read(hub, "deals", "k-1", idProperty="lead_key")["id"] == ident
    taken = {"properties": {"dealname": "y", "dealstage": "contractsent", "lead_key": "k-1"}}
    refused = hub.api.post(f"/crm/objects/{V}/deals", json=taken)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["code"] == "CONFLICTING_UNIQUE_VALUE"
    assert patch(hub, "deals", ident, lead_key="k-1").status_code == 200


def test_property_that_is_not_unique_identifies_nothing(hub):
    """idProperty=dealname is a 400."""
    answer = hub.api.get(f"/crm/objects/{V}/deals/x", params={"idProperty": "dealname"})
    assert answer.status_code == 400


def test_lifecycle_stage_only_moves_forward(hub):
    """A step back is dropped without an error; clearing first allows it."""
    ident = make(hub, "contacts", {"email": "a@example.test", "lifecyclestage": "opportunity"})
    assert patch(hub, "contacts", ident, lifecyclestage="lead").status_code == 200
    assert read(hub, "contacts", ident, "lifecyclestage")["properties"]["lifecyclestage"] == "opportunity"
    patch(hub, "contacts", ident, lifecyclestage="")
    patch(hub, "contacts", ident, lifecyclestage="lead")
    assert read(hub, "contacts", ident, "lifecyclestage")["properties"]["lifecyclestage"] == "lead"


def test_leading_semicolon_appends_a_choice(hub):
    """Multiple choices are joined by semicolons; a leading one appends."""
    ident = make(hub, "contacts", {"email": "a@example.test", "hs_buying_role": "CHAMPION"})
    patch(hub, "contacts", ident, hs_buying_role=";BUDGET_HOLDER")
    props = read(hub, "contacts", ident, "hs_buying_role")["properties"]
    assert props["hs_buying_role"] == "CHAMPION;BUDGET_HOLDER"


def test_line_item_from_a_product_takes_its_price(hub):
    """Name and price come from the product; the net amount is calculated."""
    product = make(hub, "products", {"name": "Panel", "price": "99.90", "hs_sku": "P-1"})
    item = {"hs_product_id": product, "quantity": "3", "hs_discount_percentage": "10"}
    props = read(hub, "line_items", make(hub, "line_items", item), "name", "amount")["properties"]
    assert (props["name"], props["amount"]) == ("Panel", "269.73")
    assert read(hub, "products", "P-1", idProperty="hs_sku")["id"] == product


def test_archived_record_hides_and_can_be_listed(hub):
    """Archived: 404 on read, visible with archived=true together with archivedAt."""
    ident = deal(hub)
    hub.api.delete(f"/crm/objects/{V}/deals/{ident}")
    assert hub.api.get(f"/crm/objects/{V}/deals/{ident}").status_code == 404
    assert read(hub, "deals", ident, archived="true")["archivedAt"]
    rows = hub.api.get(f"/crm/objects/{V}/deals", params={"archived": "true"}).json()["results"]
    assert [r["id"] for r in rows] == [ident]
    assert hub.api.get(f"/crm/objects/{V}/deals").json()["results"] == []


def test_merged_id_answers_with_the_survivor(hub):
    """The old id leads to a record with another id, without associations; PATCH works, batch update not."""
    a, b = deal(hub, description="a"), deal(hub, amount="7")
    contact = make(hub, "contacts", {"email": "a@example.test"}, [(b, 4)])
    body = {"primaryObjectId": a, "objectIdToMerge": b}
    assert hub.api.post(f"/crm/objects/{V}/deals/merge", json=body).status_code == 200
    old = read(hub, "deals", b, "amount", "hs_merged_object_ids", associations="contacts")
    assert (old["id"], old["properties"]["amount"]) == (a, "7")
    assert old["properties"]["hs_merged_object_ids"] == b
    assert "associations" not in old
    new = read(hub, "deals", a, associations="contacts")
    assert new["associations"]["contacts"]["results"][0]["id"] == contact
    assert patch(hub, "deals", b, description="via old id").status_code == 200
    row = {"inputs": [{"id": b, "properties": {"description": "x"}}]}
    batch = hub.api.post(f"/crm/objects/{V}/deals/batch/update", json=row)
    assert (batch.status_code, batch.json()["errors"][0]["context"]["ids"]) == (207, [b])


def test_merge_can_make_a_new_record(hub):
    """Where HubSpot makes a new record of two, both old ids lead to it."""
    hub.control("PUT", "portal-rules", merge_makes_new_record=True)
    a, b = deal(hub, amount="1"), deal(hub)
    body = {"primaryObjectId": a, "objectIdToMerge": b}
    new = hub.api.post(f"/crm/objects/{V}/deals/merge", json=body).json()["id"]
    assert new not in (a, b)
    assert {read(hub, "deals", i)["id"] for i in (a, b)} == {new}
    assert read(hub, "deals", a, "amount")["properties"]["amount"] == "1"


def test_list_pages_by_id_with_its_limits(hub):
    """Ten by default, a hundred at most, fifty with history; after leads through all."""
    rows = [
        {"object_type": "deals", "properties": {"dealname": str(n), "dealstage": "contractsent"}}
        for n in range(23)
    ]
    hub.control("POST", "seed", records=rows)
    path, seen, after = f"/crm/objects/{V}/deals", [], None
    while True:
        page = hub.api.get(path, params={"after": after} if after else {}).json()
        seen += [r["id"] for r in page["results"]]
        if "paging" not in page:
            break
        after = page["paging"]["next"]["after"]
    assert len(seen) == len(set(seen)) == 23
    assert hub.api.get(path, params={"limit": 100}).status_code == 200
    assert hub.api.get(path, params={"limit": 101}).status_code == 400
    assert hub.api.get(path, params={"limit": 51, "propertiesWithHistory": "amount"}).status_code == 400


def test_task_completion_is_stamped(hub):
    """Completing a task sets its completion date; reopening takes it away."""
    ident = make(hub, "tasks", {"hs_timestamp": "2026-11-01", "hs_task_status": "NOT_STARTED"})
    patch(hub, "tasks", ident, hs_task_status="COMPLETED")
    assert read(hub, "tasks", ident, "hs_task_completion_date")["properties"]["hs_task_completion_date"]
    patch(hub, "tasks", ident, hs_task_status="NOT_STARTED")
    props = read(hub, "tasks", ident, "hs_task_completion_date")["properties"]
    assert props["hs_task_completion_date"] is None


def test_privacy_deletion_leaves_nothing(hub):
    """A contact deleted for privacy is not even in the recycle bin."""
    ident = make(hub, "contacts", {"email": "a@example.test"})
    body = {"objectId": "a@example.test", "idProperty": "email"}
    assert hub.api.post(f"/crm/objects/{V}/contacts/gdpr-delete", json=body).status_code == 204
    gone = hub.api.get(f"/crm/objects/{V}/contacts/{ident}", params={"archived": "true"})
    assert gone.status_code == 404


def test_merged_contact_keeps_both_addresses_taken(hub):
    """The address of the merged contact becomes an additional one and still leads to the survivor."""
    a, b = (make(hub, "contacts", {"email": f"{n}@example.test"}) for n in "ab")
    body = {"primaryObjectId": a, "objectIdToMerge": b}
    hub.api.post(f"/crm/objects/{V}/contacts/merge", json=body)
    found = read(hub, "contacts", "b@example.test", "hs_additional_emails", idProperty="email")
    assert (found["id"], found["properties"]["hs_additional_emails"]) == (a, "b@example.test")
    again = hub.api.post(f"/crm/objects/{V}/contacts", json={"properties": {"email": "b@example.test"}})
    assert again.json()["message"] == f"Contact already exists. Existing ID: {a}"


def test_only_an_associated_activity_can_be_pinned(hub):
    """hs_pinned_engagement_id needs a note that is on the deal already."""
    ident = deal(hub)
    note = make(hub, "notes", {"hs_timestamp": "2026-11-01"})
    assert patch(hub, "deals", ident, hs_pinned_engagement_id=note).status_code == 400
    hub.api.put(f"/crm/objects/{V}/notes/{note}/associations/default/deals/{ident}")
    assert patch(hub, "deals", ident, hs_pinned_engagement_id=note).status_code == 200
