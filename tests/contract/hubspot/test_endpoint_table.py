"""Every dated path, method and success status that the stand-in serves is in HubSpot's endpoint table."""

import json
import re

import pytest

from connectors.sandbox import hubspot_server
from connectors.sandbox.clock import Clock

VERSIONS = ("2026-03", "2026-09")
_WILD = re.compile(r"\{[^}]*\}")


def shape(path):
    """A path with its parameters made equal, so that names do not matter."""
    return _WILD.sub("{}", path)


def fits(served, listed):
    """Whether a listed path (which may name a type) is served by this template."""
    a, b = shape(served).split("/"), shape(listed).split("/")
    return len(a) == len(b) and all(x in ("{}", y) for x, y in zip(a, b, strict=True))


def allowed(table, method, template, version):
    """Statuses that the table knows. 2026-09 rows are incomplete: its beta and 2026-03 stand in for what
    is missing (live: files and association reads answer there), and 2026-03 tells which batches know 207."""
    found = {}
    for name in dict.fromkeys((version, "2026-09-beta", "2026-03")):
        path = template.replace("{version}", name)
        rows = [r for r in table if r["version"] == name and r["method"] == method and fits(path, r["path"])]
        found[name] = {int(s) for r in rows for s in r["ok_status"].split(",") if s}
        if rows and not found[name]:
            found[name] = set(range(200, 300))  # listed without a status
    if version == "2026-03":
        return found["2026-03"]
    first = next((s for s in found.values() if s), set())
    return first | ({207} if any(207 in s for s in found.values()) else set())


def dated_operations():
    sandbox = hubspot_server.build(Clock(), seed=0, webhook_url=None, client_secret="x")
    return [(m, t) for m, t in sandbox.operations() if "{version}" in t]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_served_path_is_in_the_table(endpoint_table, version):
    """No invented dated path or method."""
    operations = dated_operations()
    assert len(operations) > 60
    unknown = [o for o in operations if not allowed(endpoint_table, *o, version)]
    assert unknown == []


def tour(plain, version):
    """Call every dated operation so that it succeeds."""
    v = version

    def go(method, path, **more):
        answer = plain.request(method, path.replace("{v}", v), **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else {}

    objects, links = "/crm/objects/{v}", "/crm/associations/{v}/deals/contacts"
    stage = {"dealname": "x", "dealstage": "contractsent"}
    deals = [go("POST", f"{objects}/deals", json={"properties": stage})["id"] for _ in range(5)]
    a, b, c, d, e = deals
    contacts = [
        go("POST", f"{objects}/contacts", json={"properties": {"email": f"c{n}@example.test"}})["id"]
        for n in range(2)
    ]
    go("GET", f"{objects}/deals")
    go("GET", f"{objects}/deals/{a}")
    go("PATCH", f"{objects}/deals/{a}", json={"properties": {"amount": "1"}})
    go("DELETE", f"{objects}/deals/{e}")
    go("POST", f"{objects}/deals/merge", json={"primaryObjectId": a, "objectIdToMerge": d})
    go("POST", f"{objects}/contacts/gdpr-delete", json={"objectId": contacts[1]})
    go("POST", f"{objects}/deals/search", json={})
    batch = f"{objects}/deals/batch"
    rows = [{"properties": stage, "objectWriteTraceId": "1"}]
    go("POST", f"{batch}/create", json={"inputs": rows})
    bad = {"properties": {"dealname": "x"}, "objectWriteTraceId": "2"}
    go("POST", f"{batch}/create", json={"inputs": [*rows, bad]})
    for ids in ([a], [a, "1"]):
        go("POST", f"{batch}/read", json={"inputs": [{"id": i} for i in ids]})
        inputs = [{"id": i, "properties": {"amount": "2"}} for i in ids]
        go("POST", f"{batch}/update", json={"inputs": inputs})
    people = [{"id": "u@example.test", "idProperty": "email", "properties": {}, "objectWriteTraceId": "1"}]
    go("POST", f"{objects}/contacts/batch/upsert", json={"inputs": people})
    wrong = {"id": "nobody", "idProperty": "email", "properties": {}, "objectWriteTraceId": "2"}
    go("POST", f"{objects}/contacts/batch/upsert", json={"inputs": [*people, wrong]})
    go("POST", f"{batch}/archive", json={"inputs": [{"id": c}]})

    pair = {"from": {"id": a}, "to": {"id": contacts[0]}}
    one = f"{objects}/deals/{a}/associations"
    label = {"name": "signer", "label": "Signer"}
    type_id = go("POST", f"{links}/labels", json=label)["results"][0]["typeId"]
    spec = [{"associationCategory": "USER_DEFINED", "associationTypeId": type_id}]
    go("PUT", f"{one}/default/contacts/{contacts[0]}")
    go("PUT", f"{one}/contacts/{contacts[0]}", json=spec)
    go("GET", f"{one}/contacts")
    go("POST", f"{links}/batch/associate/default", json={"inputs": [pair]})
    go("POST", f"{links}/batch/create", json={"inputs": [{**pair, "types": spec}]})
    lost = {"from": {"id": "1"}, "to": {"id": "2"}, "types": spec}
    go("POST", f"{links}/batch/create", json={"inputs": [lost]})
    for ids in ([a], [a, b]):
        go("POST", f"{links}/batch/read", json={"inputs": [{"id": i} for i in ids]})
    go("POST", f"{links}/batch/labels/archive", json={"inputs": [{**pair, "types": spec}]})
    go("POST", f"{links}/batch/archive", json={"inputs": [{"from": pair["from"], "to": [pair["to"]]}]})
    go("DELETE", f"{one}/contacts/{contacts[0]}")
    go("GET", f"{links}/labels")
    go("PUT", f"{links}/labels", json={"associationTypeId": type_id, "label": "Signatory"})
    go("DELETE", f"{links}/labels/{type_id}")

    schema = "/crm/properties/{v}/deals"
    group = {"name": "flow", "label": "Flow"}
    go("POST", f"{schema}/groups", json=group)
    text = {"label": "K", "type": "string", "fieldType": "text", "groupName": "flow"}
    go("POST", schema, json={**text, "name": "k1"})
    for names in (["k2"], ["k3", "amount"]):
        inputs = [{**text, "name": n} for n in names]
        go("POST", f"{schema}/batch/create", json={"inputs": inputs})
        go("POST", f"{schema}/batch/read", json={"inputs": [{"name": n} for n in (*names, "amount")]})
    go("POST", f"{schema}/batch/read", json={"inputs": [{"name": "no_such"}]})
    go("GET", schema)
    go("GET", f"{schema}/k1")
    go("PATCH", f"{schema}/k1", json={"label": "L"})
    go("DELETE", f"{schema}/k1")
    go("POST", f"{schema}/batch/archive", json={"inputs": [{"name": "k2"}, {"name": "k3"}]})
    go("GET", f"{schema}/groups")
    go("GET", f"{schema}/groups/flow")
    go("PATCH", f"{schema}/groups/flow", json={"label": "G"})
    go("DELETE", f"{schema}/groups/flow")

    pipelines = "/crm/pipelines/{v}/deals"
    open_stage = {"label": "Open", "displayOrder": 0, "metadata": {"probability": "0.5"}}
    body = {"label": "Solar", "displayOrder": 1, "stages": [open_stage]}
    made = go("POST", pipelines, json=body)["id"]
    go("GET", pipelines)
    go("GET", f"{pipelines}/{made}")
    go("PUT", f"{pipelines}/{made}", json=body)
    go("PATCH", f"{pipelines}/{made}", json={"label": "Sun"})
    go("GET", f"{pipelines}/{made}/audit")
    stages = f"{pipelines}/{made}/stages"
    new = {**open_stage, "label": "Won", "displayOrder": 1}
    stage_id = go("POST", stages, json=new)["id"]
    go("GET", stages)
    go("GET", f"{stages}/{stage_id}")
    go("PATCH", f"{stages}/{stage_id}", json={"label": "Signed"})
    go("PUT", f"{stages}/{stage_id}", json=new)
    go("GET", f"{stages}/{stage_id}/audit")
    go("DELETE", f"{stages}/{stage_id}")
    go("DELETE", f"{pipelines}/{made}")

    go("GET", "/crm/owners/{v}")
    owner = go("GET", "/crm/owners/{v}")["results"][0]["id"]
    go("GET", f"/crm/owners/{{v}}/{owner}")
    go("GET", "/account-info/{v}/details")
    go("GET", "/account-info/{v}/api-usage/daily/private-apps")
    files_tour(go)
    form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "sandbox-client-secret"}
    issued = go("POST", "/oauth/{v}/token", data=form)["access_token"]
    go("POST", "/oauth/{v}/token/introspect", data={"token": issued})
    go("POST", "/oauth/{v}/token/revoke", data={"token": issued})


def files_tour(go):
    """Every file operation."""
    files = "/files/{v}/files"
    data = {"options": json.dumps({"access": "PRIVATE"}), "folderPath": "/x"}
    part = {"file": ("a.pdf", b"%PDF")}
    ident = go("POST", files, data=data, files=part)["id"]
    other = go("POST", files, data=data, files=part)["id"]
    go("GET", f"{files}/search")
    go("GET", f"{files}/{ident}")
    go("PATCH", f"{files}/{ident}", json={"name": "b"})
    go("PUT", f"{files}/{ident}", data=data, files=part)
    go("GET", f"{files}/{ident}/signed-url")
    go("DELETE", f"{files}/{ident}")
    go("DELETE", f"{files}/{other}/gdpr-delete")
    folder = go("POST", "/files/{v}/folders", json={"name": "y"})["id"]
    go("GET", f"/files/{{v}}/folders/{folder}")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_success_status_is_in_the_table(endpoint_table, plain, version):
    """The tour reaches every dated operation, and each success status it meets is a listed one."""
    tour(plain, version)
    rows = plain.get("/_sandbox/requests", params={"limit": 20_000}).json()["requests"]
    met = {(r["method"], r["operation"], r["status"]) for r in rows if "{version}" in r["operation"]}
    reached = {(m, o) for m, o, _ in met}
    assert set(dated_operations()) - reached == set()
    unlisted = [(m, o, s) for m, o, s in sorted(met) if s not in allowed(endpoint_table, m, o, version)]
    assert unlisted == []
