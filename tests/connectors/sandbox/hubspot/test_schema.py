"""Property definitions and pipelines, and what 2026-09 changed about both."""

import pytest

V = "2026-09"
NEW = {
    "name": "contract_state",
    "label": "Contract state",
    "type": "enumeration",
    "fieldType": "select",
    "groupName": "dealinformation",
    "options": [{"label": "Sent", "value": "sent", "displayOrder": 0, "hidden": False}],
}
STAGES = [
    {"label": "Open", "displayOrder": 0, "metadata": {"probability": "0.2"}},
    {"label": "Won", "displayOrder": 1, "metadata": {"probability": 1}},
]


def create(hub, version=V, kind="deals", **change):
    return hub.api.post(f"/crm/properties/{version}/{kind}", json={**NEW, **change})


def test_default_properties_say_what_cannot_be_written(hub):
    """Calculated and read-only properties are marked in the definition."""
    rows = {p["name"]: p for p in hub.api.get(f"/crm/properties/{V}/deals").json()["results"]}
    assert rows["hs_is_closed_won"]["calculated"] is True
    assert rows["hs_is_closed_won"]["modificationMetadata"]["readOnlyValue"] is True
    assert rows["amount"]["modificationMetadata"]["readOnlyValue"] is False
    assert "hs_v2_date_entered_closedwon" in rows
    assert [o["value"] for o in rows["pipeline"]["options"]] == ["default"]
    assert "hs_pipeline_stage" not in rows


def test_created_property_is_there_and_its_name_is_taken(hub):
    """201 with the definition; the same name again is 409 OBJECT_ALREADY_EXISTS."""
    made = create(hub)
    assert (made.status_code, made.json()["hubspotDefined"]) == (201, False)
    again = create(hub)
    assert (again.status_code, again.json()["category"]) == (409, "OBJECT_ALREADY_EXISTS")


def test_name_of_an_archived_property_restores_it(hub):
    """Posting the name of an archived property brings it back."""
    create(hub)
    assert hub.api.delete(f"/crm/properties/{V}/deals/contract_state").status_code == 204
    assert hub.api.get(f"/crm/properties/{V}/deals/contract_state").status_code == 404
    gone = hub.api.get(f"/crm/properties/{V}/deals/contract_state?archived=true").json()
    assert gone["archivedAt"]
    assert create(hub).status_code == 201
    assert hub.api.get(f"/crm/properties/{V}/deals/contract_state").json()["archived"] is False


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Has Blank"},
        {"name": "1st"},
        {"label": ""},
        {"type": "money"},
        {"fieldType": "date"},
        {"groupName": "nowhere"},
        {"options": []},
        {"hasUniqueValue": True},
        {"options": [{"label": "A", "value": "a", "displayOrder": 0}] * 2},
    ],
)
def test_bad_definition_is_refused(hub, change):
    """Names, types, groups and options are checked."""
    assert create(hub, **change).status_code == 400


def test_options_need_their_place_since_2026_09(hub):
    """2026-09 requires displayOrder on every option, 2026-03 does not."""
    options = [{"label": "Sent", "value": "sent"}]
    assert create(hub, options=options).status_code == 400
    assert create(hub, version="2026-03", options=options).status_code == 201


def test_ten_unique_properties_a_type_and_none_on_products(hub):
    """The eleventh unique property is refused, as is any on products."""
    text = {"type": "string", "fieldType": "text", "options": [], "hasUniqueValue": True}
    codes = [create(hub, name=f"key_{n}", **text).status_code for n in range(11)]
    assert codes == [201] * 10 + [400]
    product = create(hub, kind="products", name="k", groupName="productinformation", **text)
    assert product.status_code == 400


def test_uniqueness_cannot_be_added_later(hub):
    """hasUniqueValue in an update is ignored."""
    create(hub, type="string", fieldType="text", options=[])
    path = f"/crm/properties/{V}/deals/contract_state"
    assert hub.api.patch(path, json={"hasUniqueValue": True, "label": "New"}).json()["label"] == "New"
    assert hub.api.get(path).json()["hasUniqueValue"] is False


def test_options_can_be_added(hub):
    """New options are accepted as values at once."""
    create(hub)
    body = {"properties": {"dealname": "x", "dealstage": "contractsent", "contract_state": "signed"}}
    assert hub.api.post(f"/crm/objects/{V}/deals", json=body).status_code == 400
    more = [*NEW["options"], {"label": "Signed", "value": "signed", "displayOrder": 1, "hidden": False}]
    hub.api.patch(f"/crm/properties/{V}/deals/contract_state", json={"options": more})
    assert hub.api.post(f"/crm/objects/{V}/deals", json=body).status_code == 201


def test_batches_of_definitions(hub):
    """Batch create is partial, batch read lists unknown names, batch archive passes over them."""
    base = f"/crm/properties/{V}/deals/batch"
    made = hub.api.post(f"{base}/create", json={"inputs": [NEW, {**NEW, "name": "amount"}]})
    assert (made.status_code, len(made.json()["results"]), made.json()["numErrors"]) == (207, 1, 1)
    names = [{"name": "contract_state"}, {"name": "nope"}]
    found = hub.api.post(f"{base}/read", json={"archived": False, "inputs": names})
    assert (found.status_code, found.json()["errors"][0]["context"]["name"]) == (207, ["nope"])
    assert hub.api.post(f"{base}/archive", json={"inputs": names}).status_code == 204


def test_groups(hub):
    """A group is created once, takes properties, and goes only when empty."""
    base = f"/crm/properties/{V}/deals/groups"
    body = {"name": "dealflow", "label": "Dealflow", "displayOrder": 3}
    assert [hub.api.post(base, json=body).status_code for _ in range(2)] == [201, 409]
    create(hub, groupName="dealflow")
    assert hub.api.delete(f"{base}/dealflow").status_code == 400
    hub.api.delete(f"/crm/properties/{V}/deals/contract_state")
    assert hub.api.delete(f"{base}/dealflow").status_code == 204


def test_default_pipeline_is_the_recorded_one(hub):
    """Ids, probabilities and the 1970 stamps of the default pipeline."""
    found = hub.api.get(f"/crm/pipelines/{V}/deals").json()["results"][0]
    assert found["id"] == "default"
    assert [(s["id"], s["metadata"]["probability"]) for s in found["stages"]] == [
        ("appointmentscheduled", "0.2"),
        ("qualifiedtobuy", "0.4"),
        ("presentationscheduled", "0.6"),
        ("decisionmakerboughtin", "0.8"),
        ("contractsent", "0.9"),
        ("closedwon", "1.0"),
        ("closedlost", "0.0"),
    ]
    assert {s["createdAt"] for s in found["stages"]} == {"1970-01-01T00:00:00Z"}


def test_new_pipeline_gets_numeric_ids_and_timing_properties(hub):
    """Ids are numbers of HubSpot's choosing; metadata is text; timing properties come with each stage."""
    body = {"label": "Solar", "displayOrder": 1, "stages": STAGES}
    made = hub.api.post(f"/crm/pipelines/{V}/deals", json=body)
    assert made.status_code == 201
    stages = made.json()["stages"]
    assert made.json()["id"].isdigit()
    assert all(s["id"].isdigit() for s in stages)
    assert stages[1]["metadata"] == {"probability": "1.0", "isClosed": "true"}
    prop = hub.api.get(f"/crm/properties/{V}/deals/hs_v2_date_entered_{stages[0]['id']}")
    assert prop.json()["calculated"] is True
    assert hub.api.post(f"/crm/pipelines/{V}/deals", json=body).status_code == 409


@pytest.mark.parametrize("metadata", [{}, {"probability": "2"}, {"probability": "high"}])
def test_deal_stage_needs_a_probability(hub, metadata):
    """A deal stage without a probability from 0 to 1 is refused."""
    body = {"label": "New", "displayOrder": 9, "metadata": metadata}
    assert hub.api.post(f"/crm/pipelines/{V}/deals/default/stages", json=body).status_code == 400


def test_stage_can_be_added_renamed_and_removed(hub):
    """A renamed stage keeps its id; the audit has each step."""
    base = f"/crm/pipelines/{V}/deals/default/stages"
    body = {"label": "Legal", "displayOrder": 4, "metadata": {"probability": "0.85"}}
    ident = hub.api.post(base, json=body).json()["id"]
    renamed = hub.api.patch(f"{base}/{ident}", json={"label": "Legal check"}).json()
    assert (renamed["id"], renamed["metadata"]["probability"]) == (ident, "0.85")
    whole = {**body, "label": "Review", "displayOrder": 5}
    assert hub.api.put(f"{base}/{ident}", json=whole).json()["label"] == "Review"
    audit = hub.api.get(f"{base}/{ident}/audit").json()["results"]
    assert [a["action"] for a in audit] == ["UPDATE", "UPDATE", "CREATE"]
    assert hub.api.delete(f"{base}/{ident}").status_code == 204
    assert hub.api.get(f"{base}/{ident}").status_code == 404


def test_stage_in_use_cannot_be_deleted_since_2026_09(hub):
    """2026-09 checks references by default; 2026-03 only on request."""
    body = {"properties": {"dealname": "x", "dealstage": "contractsent"}}
    hub.api.post(f"/crm/objects/{V}/deals", json=body)
    path = "deals/default/stages/contractsent"
    assert hub.api.delete(f"/crm/pipelines/{V}/{path}").status_code == 400
    assert hub.api.delete(f"/crm/pipelines/{V}/deals/default").status_code == 400
    asked = f"/crm/pipelines/2026-03/{path}?validateReferencesBeforeDelete=true"
    assert hub.api.delete(asked).status_code == 400
    assert hub.api.delete(f"/crm/pipelines/2026-03/{path}").status_code == 204


def test_replacing_a_pipeline_keeps_known_stages(hub):
    """PUT replaces the stages; those with a known label keep their id."""
    made = hub.api.post(
        f"/crm/pipelines/{V}/deals", json={"label": "Solar", "displayOrder": 1, "stages": STAGES}
    ).json()
    stages = [{**STAGES[0], "displayOrder": 2}, {**STAGES[1], "label": "Signed"}]
    body = {"label": "Sun", "displayOrder": 2, "stages": stages}
    after = hub.api.put(f"/crm/pipelines/{V}/deals/{made['id']}", json=body).json()
    ids = {s["label"]: s["id"] for s in after["stages"]}
    assert ids["Open"] == made["stages"][0]["id"]
    assert ids["Signed"] != made["stages"][1]["id"]


def test_admin_rules_bind_writes_since_2026_09(hub):
    """Required and conditional properties refuse a 2026-09 write; 2026-03 ignores the rules."""
    rule = {"object_type": "deals", "when": {"dealstage": "closedwon"}, "require": ["closedate"]}
    hub.control("PUT", "portal-rules", required={"deals": ["amount"]}, conditional=[rule])
    body = {"properties": {"dealname": "x", "dealstage": "contractsent"}}
    refused = hub.api.post(f"/crm/objects/{V}/deals", json=body).json()
    assert refused["errors"][0]["code"] == "MISSING_REQUIRED_PROPERTY"
    assert refused["errors"][0]["context"]["propertyName"] == ["amount"]
    ident = hub.api.post("/crm/objects/2026-03/deals", json=body).json()["id"]
    won = {"properties": {"dealstage": "closedwon"}}
    refused = hub.api.patch(f"/crm/objects/{V}/deals/{ident}", json=won)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["code"] == "MISSING_CONDITIONAL_REQUIRED_PROPERTY"
    other = {"properties": {"description": "still allowed"}}
    assert hub.api.patch(f"/crm/objects/{V}/deals/{ident}", json=other).status_code == 200
    won["properties"]["closedate"] = "2026-11-20"
    assert hub.api.patch(f"/crm/objects/{V}/deals/{ident}", json=won).status_code == 200


@pytest.mark.parametrize("raw", ["11/20/2026", "2026/11/20"])
def test_odd_dates_are_normalised_since_2026_09(hub, raw):
    """2026-09 stores the date and says so in warnings; 2026-03 refuses it."""
    body = {"properties": {"dealname": "x", "dealstage": "contractsent", "closedate": raw}}
    assert hub.api.post("/crm/objects/2026-03/deals", json=body).status_code == 400
    made = hub.api.post(f"/crm/objects/{V}/deals", json=body)
    assert made.status_code == 201
    warning = made.json()["warnings"][0]
    assert warning["category"] == "PROPERTY_VALUE_NORMALIZED"
    assert warning["context"]["rawValue"] == [raw]
    assert made.json()["properties"]["closedate"] == "2026-11-20T00:00:00Z"


def test_date_property_wants_midnight(hub):
    """A date in milliseconds must be midnight UTC before 2026-09; since then it is cut down."""
    item = {"name": "x", "hs_recurring_billing_start_date": "1790000000000"}
    assert hub.api.post("/crm/objects/2026-03/line_items", json={"properties": item}).status_code == 400
    made = hub.api.post(f"/crm/objects/{V}/line_items", json={"properties": item}).json()
    assert made["properties"]["hs_recurring_billing_start_date"] == "2026-09-21"
    assert made["warnings"]
