"""What we rely on in HubSpot, on the stand-in and on a real test account."""

import json

import httpx
import pytest

OBJECTS = "/crm/objects/2026-03"
LINKS = "/crm/associations/2026-03"
PDF = b"%PDF-1.4\n%dealflow contract test\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def make(place, kind, properties, associations=()):
    """A record that is taken away after the test."""
    body = {"properties": properties, "associations": list(associations)}
    made = place.ok("POST", f"{OBJECTS}/{kind}", json=body)["id"]
    place.undo.append(lambda: place.call("DELETE", f"{OBJECTS}/{kind}/{made}"))
    return made


def open_stages(place):
    """Pipeline id and the ids of its stages that deals pass through."""
    pipelines = place.ok("GET", "/crm/pipelines/2026-03/deals")["results"]
    first = min(pipelines, key=lambda p: p["displayOrder"])
    stages = sorted(first["stages"], key=lambda s: s["displayOrder"])
    return first["id"], [s["id"] for s in stages if s["metadata"].get("isClosed") != "true"]


def a_deal(place, name=None, associations=()):
    pipeline, stages = open_stages(place)
    values = {
        "dealname": name or place.mark,
        "pipeline": pipeline,
        "dealstage": stages[0],
        "amount": "1200.50",
    }
    return make(place, "deals", values, associations)


def spec(number, category="HUBSPOT_DEFINED"):
    return {"associationCategory": category, "associationTypeId": number}


def test_a_deals_life(hubspot):
    """Values are strings, empty is null, undefined is absent; moves stand in the history; archived is hidden."""
    _, stages = open_stages(hubspot)
    deal = a_deal(hubspot)
    asked = {"properties": "dealname,amount,closedate,no_such_property", "propertiesWithHistory": "dealstage"}
    hubspot.ok("PATCH", f"{OBJECTS}/deals/{deal}", json={"properties": {"dealstage": stages[1]}})
    read = hubspot.ok("GET", f"{OBJECTS}/deals/{deal}", params=asked)
    assert read["id"] == deal
    assert read["properties"]["amount"] == "1200.50"
    assert read["properties"]["closedate"] is None
    assert "no_such_property" not in read["properties"]
    moves = [v["value"] for v in read["propertiesWithHistory"]["dealstage"]]
    assert moves == [stages[1], stages[0]]
    assert hubspot.call("DELETE", f"{OBJECTS}/deals/{deal}").status_code == 204
    assert hubspot.call("GET", f"{OBJECTS}/deals/{deal}").status_code == 404
    gone = hubspot.ok("GET", f"{OBJECTS}/deals/{deal}", params={"archived": "true"})
    assert gone["archived"] is True
    assert gone["archivedAt"]


def test_search_finds_it_after_a_while(hubspot):
    """A new record can be read at once; the search index follows; its answers carry no limit headers."""
    deal = a_deal(hubspot)
    assert hubspot.ok("GET", f"{OBJECTS}/deals/{deal}")["id"] == deal
    rule = {"propertyName": "dealname", "operator": "EQ", "value": hubspot.mark}
    body = {"filterGroups": [{"filters": [rule]}], "properties": ["dealname"], "limit": 10}

    def found():
        answer = hubspot.call("POST", f"{OBJECTS}/deals/search", json=body)
        assert answer.status_code == 200, answer.text
        assert not [h for h in answer.headers if h.lower().startswith("x-hubspot-ratelimit")]
        return [r["id"] for r in answer.json()["results"]]

    assert hubspot.until(found) == [deal]


def test_upsert_by_email_is_repeatable(hubspot):
    """New the first time, the same id the second; addresses come back in lower case; a plain create is a 409."""
    email = f"{hubspot.mark}@Example.com"
    row = {"id": email, "idProperty": "email", "properties": {"email": email, "firstname": "Ada"}}
    path = f"{OBJECTS}/contacts/batch/upsert"
    first = hubspot.ok("POST", path, json={"inputs": [row]})["results"][0]
    hubspot.undo.append(lambda: hubspot.call("DELETE", f"{OBJECTS}/contacts/{first['id']}"))
    again = hubspot.ok("POST", path, json={"inputs": [row]})["results"][0]
    assert (first["new"], again["new"], again["id"]) == (True, False, first["id"])
    by_email = f"{OBJECTS}/contacts/{email.lower()}"
    read = hubspot.ok("GET", by_email, params={"idProperty": "email", "properties": "email"})
    assert (read["id"], read["properties"]["email"]) == (first["id"], email.lower())
    taken = hubspot.call(
        "POST", f"{OBJECTS}/contacts", json={"properties": {"email": email}, "associations": []}
    )
    assert taken.status_code == 409
    assert f"Existing ID: {first['id']}" in taken.json()["message"]
    twice = hubspot.call("POST", path, json={"inputs": [row, row]})
    assert twice.status_code == 400


def test_default_links_repeat_and_the_unlinked_are_a_207(hubspot):
    """Both directions at once; repeating is harmless; a batch read names the record with no link in `errors`."""
    deal, lonely = a_deal(hubspot), a_deal(hubspot)
    contact = make(hubspot, "contacts", {"email": f"{hubspot.mark}@example.com"})
    for _ in range(2):
        hubspot.ok("PUT", f"{OBJECTS}/deals/{deal}/associations/default/contacts/{contact}")
    inputs = {"inputs": [{"id": deal}, {"id": lonely}]}
    answer = hubspot.call("POST", f"{LINKS}/deals/contacts/batch/read", json=inputs)
    assert answer.status_code == 207
    (row,) = answer.json()["results"]
    assert (row["from"]["id"], [str(t["toObjectId"]) for t in row["to"]]) == (deal, [contact])
    assert [t["typeId"] for t in row["to"][0]["associationTypes"]] == [3]
    (error,) = answer.json()["errors"]
    assert "NO_ASSOCIATIONS_FOUND" in json.dumps(error)
    back = hubspot.ok("GET", f"{OBJECTS}/contacts/{contact}/associations/deals")
    assert [str(r["toObjectId"]) for r in back["results"]] == [deal]


def test_a_primary_company_appears_twice_inline(hubspot):
    """Type 5 makes the plain link 341 as well; inline associations then name the company once for each."""
    company = make(hubspot, "companies", {"name": hubspot.mark, "domain": f"{hubspot.mark}.example"})
    deal = a_deal(hubspot, associations=[{"to": {"id": company}, "types": [spec(5)]}])
    read = hubspot.ok("GET", f"{OBJECTS}/deals/{deal}", params={"associations": "companies"})
    rows = read["associations"]["companies"]["results"]
    assert [r["id"] for r in rows] == [company, company]
    assert len({r["type"] for r in rows}) == 2
    links = hubspot.ok("GET", f"{OBJECTS}/deals/{deal}/associations/companies")["results"]
    assert {t["typeId"] for t in links[0]["associationTypes"]} == {5, 341}


def test_line_items_come_under_a_name_with_a_space(hubspot):
    """The key of inline line items is `line items`."""
    item = make(hubspot, "line_items", {"name": hubspot.mark, "price": "10", "quantity": "2"})
    deal = a_deal(hubspot, associations=[{"to": {"id": item}, "types": [spec(19)]}])
    read = hubspot.ok("GET", f"{OBJECTS}/deals/{deal}", params={"associations": "line_items"})
    assert [r["id"] for r in read["associations"]["line items"]["results"]] == [item]


def test_the_same_file_twice_is_one_file_and_a_note_carries_it(hubspot):
    """RETURN_EXISTING gives the first id again; the signed URL serves the bytes; the note holds file and deal."""
    options = {
        "access": "PRIVATE",
        "duplicateValidationScope": "EXACT_FOLDER",
        "duplicateValidationStrategy": "RETURN_EXISTING",
    }
    form = {"options": json.dumps(options), "folderPath": f"/{hubspot.mark}"}
    part = {"file": (f"{hubspot.mark}.pdf", PDF, "application/pdf")}
    made = [hubspot.ok("POST", "/files/2026-03/files", data=form, files=part)["id"] for _ in range(2)]
    hubspot.undo.append(lambda: hubspot.call("DELETE", f"/files/2026-03/files/{made[0]}"))
    assert made[0] == made[1]
    link = hubspot.ok("GET", f"/files/2026-03/files/{made[0]}/signed-url")["url"]
    assert httpx.get(link, follow_redirects=True, trust_env=hubspot.live, timeout=60).content == PDF
    deal = a_deal(hubspot)
    values = {
        "hs_timestamp": "2026-11-01T10:00:00Z",
        "hs_note_body": hubspot.mark,
        "hs_attachment_ids": made[0],
    }
    note = make(hubspot, "notes", values, [{"to": {"id": deal}, "types": [spec(214)]}])
    read = hubspot.ok("GET", f"{OBJECTS}/notes/{note}", params={"properties": "hs_attachment_ids"})
    assert read["properties"]["hs_attachment_ids"] == made[0]
    linked = hubspot.ok("GET", f"{OBJECTS}/deals/{deal}/associations/notes")["results"]
    assert [str(r["toObjectId"]) for r in linked] == [note]


def test_a_bad_row_is_identified_only_by_trace_ids(hubspot):
    """With a trace id on every row 207 and the good row is made; without them nothing is made at all."""
    pipeline, stages = open_stages(hubspot)
    good = {"dealname": hubspot.mark, "pipeline": pipeline, "dealstage": stages[0]}
    rows = [{"properties": good, "associations": []},
            {"properties": {**good, "dealstage": "no_such_stage"}, "associations": []}]  # fmt: skip
    path = f"{OBJECTS}/deals/batch/create"
    refused = hubspot.call("POST", path, json={"inputs": rows})
    assert refused.status_code == 400
    traced = [{**row, "objectWriteTraceId": str(n)} for n, row in enumerate(rows)]
    partly = hubspot.call("POST", path, json={"inputs": traced})
    assert partly.status_code == 207
    made = [r["id"] for r in partly.json()["results"]]
    hubspot.undo += [lambda ident=i: hubspot.call("DELETE", f"{OBJECTS}/deals/{ident}") for i in made]
    assert len(made) == 1
    assert partly.json()["errors"][0]["context"]["objectWriteTraceId"] == ["1"]


@pytest.mark.parametrize(("method", "path", "body", "status", "word"), [
    ("POST", f"{OBJECTS}/deals", {"properties": {"dealname": "x", "no_such": "1"}, "associations": []}, 400,
     "PROPERTY_DOESNT_EXIST"),
    ("GET", f"{OBJECTS}/deals/1", None, 404, "OBJECT_NOT_FOUND"),
    ("POST", f"{OBJECTS}/deals/batch/read", {"inputs": [{"id": str(n)} for n in range(1, 102)], "properties": []},
     400, ""),
    ("POST", f"{OBJECTS}/deals/search", {"limit": 201, "filterGroups": []}, 400, ""),
])  # fmt: skip
def test_refusals(hubspot, method, path, body, status, word):
    """What is wrong is refused with the documented status, and named."""
    answer = hubspot.call(method, path, json=body)
    assert answer.status_code == status
    assert word in answer.text


def test_it_takes_away_what_it_made(hubspot):
    """Everything made is gone afterwards, also when taking one thing away fails."""
    deals = [a_deal(hubspot) for _ in range(2)]

    def fails():
        raise httpx.ConnectError("away")

    hubspot.undo.insert(1, fails)
    hubspot.tidy()
    assert [hubspot.call("GET", f"{OBJECTS}/deals/{d}").status_code for d in deals] == [404, 404]
    assert hubspot.undo == []
