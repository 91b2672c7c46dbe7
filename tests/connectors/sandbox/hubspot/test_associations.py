"""Associations and labels: two directions, replacing labels, one primary, a 207 for nothing."""

import pytest

V = "2026-09"


@pytest.fixture
def trio(hub):
    """A deal, a contact, a company."""
    made = {}
    for kind, props in (
        ("deals", {"dealname": "Press", "dealstage": "contractsent"}),
        ("contacts", {"email": "a@example.test"}),
        ("companies", {"name": "Acme"}),
    ):
        made[kind] = hub.api.post(f"/crm/objects/{V}/{kind}", json={"properties": props}).json()["id"]
    return made


def types(hub, kind, ident, target):
    rows = hub.api.get(f"/crm/objects/{V}/{kind}/{ident}/associations/{target}").json()["results"]
    return {r["toObjectId"]: {(t["typeId"], t["label"]) for t in r["associationTypes"]} for r in rows}


def put(hub, kind, ident, target, other, *specs):
    body = [{"associationCategory": c, "associationTypeId": t} for c, t in specs]
    return hub.api.put(f"/crm/objects/{V}/{kind}/{ident}/associations/{target}/{other}", json=body)


def label(hub, a, b, text, **more):
    body = {"name": text.lower(), "label": text, **more}
    answer = hub.api.post(f"/crm/associations/{V}/{a}/{b}/labels", json=body)
    assert answer.status_code == 200, answer.text
    return [r["typeId"] for r in answer.json()["results"]]


def test_default_link_works_both_ways_and_repeats(hub, trio):
    """Deal to contact is type 3, contact to deal type 4; a repeat changes nothing."""
    path = f"/crm/objects/{V}/deals/{trio['deals']}/associations/default/contacts/{trio['contacts']}"
    first, second = hub.api.put(path), hub.api.put(path)
    assert (first.status_code, second.status_code) == (200, 200)
    specs = {r["associationSpec"]["associationTypeId"] for r in first.json()["results"]}
    assert specs == {3, 4}
    assert types(hub, "deals", trio["deals"], "contacts") == {int(trio["contacts"]): {(3, None)}}
    assert types(hub, "contacts", trio["contacts"], "deals") == {int(trio["deals"]): {(4, None)}}


def test_target_id_is_a_number_here(hub, trio):
    """toObjectId is a JSON number although record ids are strings elsewhere."""
    hub.api.put(f"/crm/objects/{V}/deals/{trio['deals']}/associations/default/companies/{trio['companies']}")
    row = hub.api.get(f"/crm/objects/{V}/deals/{trio['deals']}/associations/companies").json()["results"][0]
    assert row["toObjectId"] == int(trio["companies"])


def test_primary_link_makes_the_plain_one_too(hub, trio):
    """Type 5 also creates 341; read inline, the company appears twice."""
    deal, company = trio["deals"], trio["companies"]
    assert put(hub, "deals", deal, "companies", company, ("HUBSPOT_DEFINED", 5)).status_code == 201
    assert types(hub, "deals", deal, "companies")[int(company)] == {(5, "Primary"), (341, None)}
    assert types(hub, "companies", company, "deals")[int(deal)] == {(6, "Primary"), (342, None)}
    inline = hub.api.get(f"/crm/objects/{V}/deals/{deal}?associations=companies").json()["associations"]
    assert inline["companies"]["results"] == [
        {"id": company, "type": "deal_to_company"},
        {"id": company, "type": "deal_to_company_unlabeled"},
    ]


def test_default_link_is_not_primary(hub, trio):
    """Whether a first company becomes primary is undocumented: here it does not, send type 5."""
    hub.api.put(f"/crm/objects/{V}/deals/{trio['deals']}/associations/default/companies/{trio['companies']}")
    assert types(hub, "deals", trio["deals"], "companies") == {int(trio["companies"]): {(341, None)}}


@pytest.mark.parametrize("from_deal", [True, False])
def test_second_primary_unseats_the_first(hub, trio, from_deal):
    """A deal has one primary company, whichever side sets it."""
    other = hub.api.post(f"/crm/objects/{V}/companies", json={"properties": {"name": "B"}}).json()["id"]
    deal, first = trio["deals"], trio["companies"]
    put(hub, "deals", deal, "companies", first, ("HUBSPOT_DEFINED", 5))
    if from_deal:
        put(hub, "deals", deal, "companies", other, ("HUBSPOT_DEFINED", 5))
    else:
        put(hub, "companies", other, "deals", deal, ("HUBSPOT_DEFINED", 6))
    found = types(hub, "deals", deal, "companies")
    assert found == {int(first): {(341, None)}, int(other): {(5, "Primary"), (341, None)}}


def test_user_label_has_an_id_a_direction(hub, trio):
    """A label has one type id per direction; setting labels replaces the earlier ones of the pair."""
    signer = label(hub, "deals", "contacts", "Signer")
    payer = label(hub, "deals", "contacts", "Payer", inverseLabel="Pays for")
    assert len({*signer, *payer}) == 4
    deal, contact = trio["deals"], trio["contacts"]
    put(hub, "deals", deal, "contacts", contact, ("USER_DEFINED", signer[0]))
    assert types(hub, "contacts", contact, "deals")[int(deal)] == {(4, None), (signer[1], "Signer")}
    answer = put(hub, "deals", deal, "contacts", contact, ("USER_DEFINED", payer[0]))
    assert answer.json()["labels"] == ["Payer"]
    assert types(hub, "deals", deal, "contacts")[int(contact)] == {(3, None), (payer[0], "Payer")}
    assert types(hub, "contacts", contact, "deals")[int(deal)] == {(4, None), (payer[1], "Pays for")}


def test_direction_of_a_type_matters(hub, trio):
    """The type id of the other direction, or another category, is refused."""
    deal, contact = trio["deals"], trio["contacts"]
    assert put(hub, "deals", deal, "contacts", contact, ("HUBSPOT_DEFINED", 4)).status_code == 400
    assert put(hub, "deals", deal, "contacts", contact, ("USER_DEFINED", 3)).status_code == 400


def test_label_can_be_renamed_and_deleted(hub, trio):
    """Renaming shows at once in both directions; deleting leaves the plain link."""
    there, _ = label(hub, "deals", "contacts", "Signer")
    deal, contact = trio["deals"], trio["contacts"]
    put(hub, "deals", deal, "contacts", contact, ("USER_DEFINED", there))
    path = f"/crm/associations/{V}/deals/contacts/labels"
    body = {"associationTypeId": there, "label": "Signatory"}
    assert hub.api.put(path, json=body).status_code == 204
    assert (there, "Signatory") in types(hub, "deals", deal, "contacts")[int(contact)]
    assert hub.api.delete(f"{path}/{there}").status_code == 204
    assert types(hub, "deals", deal, "contacts") == {int(contact): {(3, None)}}
    assert hub.api.delete(f"{path}/3").status_code == 400


def test_batch_read_lists_the_unlinked_with_a_207(hub, trio):
    """Records without links are errors with NO_ASSOCIATIONS_FOUND, not empty rows."""
    hub.api.put(f"/crm/objects/{V}/deals/{trio['deals']}/associations/default/contacts/{trio['contacts']}")
    path = f"/crm/associations/{V}/deals/contacts/batch/read"
    linked = hub.api.post(path, json={"inputs": [{"id": trio["deals"]}]})
    assert linked.status_code == 200
    assert linked.json()["results"][0]["from"] == {"id": trio["deals"]}
    mixed = hub.api.post(path, json={"inputs": [{"id": trio["deals"]}, {"id": "77"}]})
    assert mixed.status_code == 207
    error = mixed.json()["errors"][0]
    assert error["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    assert error["context"]["fromObjectId"] == ["77"]


def test_batch_default_and_archive(hub, trio):
    """Pairs are linked and unlinked in bulk; v4 archives with 204, dated versions with 200."""
    pair = {"from": {"id": trio["deals"]}, "to": {"id": trio["contacts"]}}
    base = f"/crm/associations/{V}/deals/contacts/batch"
    assert hub.api.post(f"{base}/associate/default", json={"inputs": [pair] * 2}).status_code == 200
    gone = {"inputs": [{"from": pair["from"], "to": [pair["to"]]}]}
    assert hub.api.post(f"{base}/archive", json=gone).status_code == 200
    assert types(hub, "deals", trio["deals"], "contacts") == {}
    v4 = "/crm/v4/associations/deals/contacts/batch/archive"
    assert hub.api.post(v4, json=gone).status_code == 204


def test_batch_create_status_depends_on_the_version(hub, trio):
    """201 up to 2026-03, 200 in 2026-09; unknown records give a 207."""
    row = {
        "from": {"id": trio["deals"]},
        "to": {"id": trio["companies"]},
        "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 5}],
    }
    codes = [
        hub.api.post(f"{b}/deals/companies/batch/create", json={"inputs": [row]}).status_code
        for b in ("/crm/v4/associations", "/crm/associations/2026-03", f"/crm/associations/{V}")
    ]
    assert codes == [201, 201, 200]
    lost = {**row, "to": {"id": "77"}}
    mixed = hub.api.post(f"/crm/associations/{V}/deals/companies/batch/create", json={"inputs": [lost, row]})
    assert (mixed.status_code, mixed.json()["numErrors"]) == (207, 1)


def test_labels_archive_keeps_the_plain_link(hub, trio):
    """Removing a label leaves the unlabelled association."""
    deal, company = trio["deals"], trio["companies"]
    put(hub, "deals", deal, "companies", company, ("HUBSPOT_DEFINED", 5))
    row = {
        "from": {"id": deal},
        "to": {"id": company},
        "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 5}],
    }
    hub.api.post(f"/crm/associations/{V}/deals/companies/batch/labels/archive", json={"inputs": [row]})
    assert types(hub, "deals", deal, "companies") == {int(company): {(341, None)}}


def test_pair_can_be_taken_apart(hub, trio):
    """Deleting a pair removes all its associations, both ways, and again is harmless."""
    path = f"/crm/objects/{V}/deals/{trio['deals']}/associations/contacts/{trio['contacts']}"
    put(hub, "deals", trio["deals"], "contacts", trio["contacts"], ("HUBSPOT_DEFINED", 3))
    assert [hub.api.delete(path).status_code for _ in range(2)] == [204, 204]
    assert types(hub, "contacts", trio["contacts"], "deals") == {}


def test_line_items_come_inline_under_a_name_with_a_space(hub, trio):
    """The key of inline line items is "line items"."""
    link = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 20}
    body = {
        "properties": {"name": "Panel", "price": "1", "quantity": "1"},
        "associations": [{"to": {"id": trio["deals"]}, "types": [link]}],
    }
    item = hub.api.post(f"/crm/objects/{V}/line_items", json=body).json()["id"]
    found = hub.api.get(f"/crm/objects/{V}/deals/{trio['deals']}?associations=line_items").json()
    assert found["associations"] == {"line items": {"results": [{"id": item, "type": "deal_to_line_item"}]}}


def test_lead_needs_its_contact(hub, trio):
    """A lead is created on a contact, by type 578 or 608."""
    link = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 578}
    body = {"properties": {"hs_lead_name": "Press"}}
    assert hub.api.post(f"/crm/objects/{V}/leads", json=body).status_code == 400
    body["associations"] = [{"to": {"id": trio["contacts"]}, "types": [link]}]
    assert hub.api.post(f"/crm/objects/{V}/leads", json=body).status_code == 201


def test_unknown_target_is_refused(hub, trio):
    """Associating with an unknown record is a 404; inline it is a 400 and nothing is created."""
    path = f"/crm/objects/{V}/deals/{trio['deals']}/associations/default/contacts/77"
    assert hub.api.put(path).status_code == 404
    link = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 214}
    body = {
        "properties": {"hs_timestamp": "2026-11-01"},
        "associations": [{"to": {"id": "77"}, "types": [link]}],
    }
    assert hub.api.post(f"/crm/objects/{V}/notes", json=body).status_code == 400
    assert hub.control("GET", "state")["counts"]["notes"] == 0
