"""Actions of reps, seeding, forms, and reset."""

V = "2026-09"


def rep(hub, **visit):
    return hub.control("POST", "rep", **visit)


def test_rep_changes_a_deal_as_a_person(hub):
    """The user interface leaves CRM_UI in the history, with the user, and sets the close date."""
    body = {"properties": {"dealname": "Press", "dealstage": "contractsent"}}
    ident = hub.api.post(f"/crm/objects/{V}/deals", json=body).json()["id"]
    after = rep(hub, object_type="deals", id=ident, properties={"dealstage": "closedwon"}, user_id=42)
    assert after["properties"]["closedate"]
    last = after["history"]["dealstage"][-1]
    assert (last["sourceType"], last["sourceId"], last["updatedByUserId"]) == ("CRM_UI", "userId:42", 42)


def test_rep_creates_links_labels_and_archives(hub):
    """One visit can create a record with labelled links; another removes an association or the record."""
    label = {"name": "signer", "label": "Signer"}
    hub.api.post(f"/crm/associations/{V}/deals/contacts/labels", json=label)
    contact = rep(hub, object_type="contacts", create=True, properties={"email": "a@example.test"})
    deal = rep(
        hub,
        object_type="deals",
        create=True,
        properties={"dealname": "Press", "dealstage": "contractsent"},
        associations=[{"to_type": "contacts", "to_id": contact["id"], "label": "Signer"}],
    )
    assert deal["associations"]["contacts"][0]["labels"] == ["Signer"]
    link = {"to_type": "contacts", "to_id": contact["id"], "remove": True}
    assert rep(hub, object_type="deals", id=deal["id"], associations=[link])["associations"] == {}
    assert rep(hub, object_type="deals", id=deal["id"], archive=True)["archived"] is True


def test_rep_is_refused_like_anyone_else(hub):
    """A bad value is refused with the vendor's words."""
    answer = hub.api.post(
        "/_sandbox/rep", json={"object_type": "deals", "create": True, "properties": {"dealname": "x"}}
    )
    assert answer.status_code == 422
    assert "required properties" in answer.json()["detail"]


def test_rep_has_no_rate_limit_and_leaves_no_request(hub):
    """The rep's work neither counts against limits nor shows in the request log."""
    hub.control("PUT", "limits", burst=1)
    for n in range(5):
        rep(hub, object_type="companies", create=True, properties={"name": str(n)})
    assert hub.control("GET", "requests")["total"] == 0


def test_seed_links_by_key_and_is_indexed_at_once(hub):
    """Seeded records refer to earlier ones by key and are found without waiting."""
    records = [
        {"object_type": "companies", "properties": {"name": "Acme"}, "key": "acme"},
        {
            "object_type": "deals",
            "properties": {"dealname": "Press", "dealstage": "contractsent"},
            "associations": [{"to_type": "companies", "to_id": "@acme", "types": [5]}],
            "created_ms": 1_780_000_000_000,
        },
    ]
    company, deal = hub.control("POST", "seed", records=records)["ids"]
    found = hub.api.post(f"/crm/objects/{V}/deals/search", json={}).json()
    assert [r["id"] for r in found["results"]] == [deal]
    row = hub.control("GET", "state?type=deals")["records"][0]
    assert row["associations"]["companies"] == [{"id": company, "types": [5, 341], "labels": ["Primary"]}]
    assert row["properties"]["createdate"] == "2026-05-28T20:26:40Z"


def test_same_seed_gives_the_same_order(hub):
    """After a reset with the same seed, shuffled answers come in the same order."""
    runs = []
    for _ in range(2):
        hub.fresh()
        rows = [{"properties": {"name": str(n)}} for n in range(12)]
        answer = hub.api.post(f"/crm/objects/{V}/companies/batch/create", json={"inputs": rows}).json()
        runs.append([r["properties"]["name"] for r in answer["results"]])
    assert runs[0] == runs[1]


def test_form_answers_before_the_contact_exists(hub):
    """A submission is accepted without a token; the contact comes a moment later, once per address."""
    portal = hub.control("GET", "state")["portal_id"]
    path = f"/submissions/v3/integration/submit/{portal}/11111111-2222-3333-4444-555555555555"
    fields = [
        {"objectTypeId": "0-1", "name": "email", "value": "Lead@Example.test"},
        {"objectTypeId": "0-1", "name": "firstname", "value": "Lea"},
    ]
    del_auth = {"Authorization": ""}
    for _ in range(2):
        answer = hub.api.post(path, json={"fields": fields}, headers=del_auth)
        assert (answer.status_code, "inlineMessage" in answer.json()) == (200, True)
    assert hub.control("GET", "state")["counts"]["contacts"] == 0
    hub.advance(3)
    rows = hub.control("GET", "state?type=contacts")["records"]
    assert [r["properties"]["email"] for r in rows] == ["lead@example.test"]
    assert rows[0]["history"]["email"][0]["sourceType"] == "FORM"


def test_form_of_another_portal_or_too_old_is_refused(hub):
    """The portal must be this one and the submission less than a month old."""
    portal = hub.control("GET", "state")["portal_id"]
    body = {"fields": [{"name": "email", "value": "a@example.test"}], "submittedAt": 1_600_000_000_000}
    path = "/submissions/v3/integration/submit"
    assert hub.api.post(f"{path}/{portal}/guid", json=body).status_code == 400
    assert hub.api.post(f"{path}/1/guid", json={"fields": body["fields"]}).status_code == 404


def test_reset_forgets_everything(hub):
    """After a reset: no records, no files, no custom properties, no rules, no log."""
    body = {"properties": {"name": "Acme"}}
    hub.api.post(f"/crm/objects/{V}/companies", json=body)
    hub.control("PUT", "portal-rules", required={"companies": ["domain"]})
    hub.fresh()
    state = hub.control("GET", "state")
    assert (sum(state["counts"].values()), state["files"]) == (0, 0)
    assert hub.control("GET", "requests")["total"] == 0
    assert hub.api.post(f"/crm/objects/{V}/companies", json=body).status_code == 201
