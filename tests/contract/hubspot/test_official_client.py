"""The official client 12.0.0, unmodified, over a real socket: whatever it parses, the stand-in serves rightly."""

import datetime
import json
import time

import httpx
import pytest
from hubspot.crm.associations.v4 import models as association
from hubspot.crm.associations.v4.schema import models as association_schema
from hubspot.crm.contacts.exceptions import ApiException as ContactError
from hubspot.crm.deals import models as deal
from hubspot.crm.deals.exceptions import ApiException as DealError
from hubspot.crm.pipelines import models as pipeline
from hubspot.crm.properties import models as prop
from hubspot.files import models as file_models
from hubspot.utils.signature import Signature

from connectors.sandbox.hubspot_server.events import signed_headers


def make_deal(official, **more):
    properties = {"dealname": "Press", "dealstage": "qualifiedtobuy", **more}
    body = deal.SimplePublicObjectInputForCreate(properties=properties, associations=[])
    return official.crm.deals.basic_api.create(body)


def make_contact(official, email):
    body = {"properties": {"email": email}, "associations": []}
    return official.crm.contacts.basic_api.create(body)


def test_deal_goes_through_its_life(official):
    """Create, read with history, update, archive and read archived, all parsed by the client's models."""
    made = make_deal(official, amount="12.5")
    assert isinstance(made.created_at, datetime.datetime)
    api = official.crm.deals.basic_api
    api.update(made.id, deal.SimplePublicObjectInput(properties={"dealstage": "closedwon"}))
    found = api.get_by_id(
        made.id, properties=["dealstage", "hs_is_closed_won"], properties_with_history=["dealstage"]
    )
    assert found.properties["hs_is_closed_won"] == "true"
    values = [v.value for v in found.properties_with_history["dealstage"]]
    assert values == ["closedwon", "qualifiedtobuy"]
    api.archive(made.id)
    assert api.get_by_id(made.id, archived=True).archived is True


def test_refusals_become_the_clients_exceptions(official):
    """404, 400 and 409 arrive as ApiException with the vendor's body."""
    with pytest.raises(DealError) as missing:
        official.crm.deals.basic_api.get_by_id("1")
    assert missing.value.status == 404
    with pytest.raises(DealError) as bad:
        make_deal(official, nonsense="1")
    assert json.loads(bad.value.body)["category"] == "VALIDATION_ERROR"
    first = make_contact(official, "a@example.test")
    with pytest.raises(ContactError) as taken:
        make_contact(official, "A@example.test")
    assert f"Existing ID: {first.id}" in taken.value.body


def test_pages_are_followed_to_the_end(official, plain):
    """The client's get_all walks all pages of a list."""
    rows = [
        {"object_type": "deals", "properties": {"dealname": str(n), "dealstage": "contractsent"}}
        for n in range(230)
    ]
    plain.post("/_sandbox/seed", json={"records": rows}).raise_for_status()
    found = official.crm.deals.get_all(properties=["dealname"])
    assert {d.properties["dealname"] for d in found} == {str(n) for n in range(230)}


def test_batches_of_deals(official):
    """Create, read, update, upsert and archive in batches; partial answers become the WithErrors model."""
    api = official.crm.deals.batch_api
    rows = [
        {
            "properties": {"dealname": f"d{n}", "dealstage": "contractsent"},
            "associations": [],
            "object_write_trace_id": f"t{n}",
        }
        for n in range(3)
    ]
    made = api.create({"inputs": [_camel(r) for r in rows]}).results
    ids = [{"id": m.id} for m in made]
    read = api.read({"inputs": [*ids, {"id": "1"}], "properties": ["dealname"], "propertiesWithHistory": []})
    assert type(read).__name__ == "BatchResponseSimplePublicObjectWithErrors"
    assert (len(read.results), read.num_errors, read.errors[0].context["ids"]) == (3, 1, ["1"])
    changed = api.update({"inputs": [{**i, "properties": {"amount": "5"}} for i in ids]})
    assert {r.properties["amount"] for r in changed.results} == {"5"}
    api.archive({"inputs": ids})
    assert official.crm.deals.basic_api.get_page().results == []


def _camel(row):
    return {("objectWriteTraceId" if k == "object_write_trace_id" else k): v for k, v in row.items()}


def test_upsert_of_contacts_by_address(official):
    """Upsert rows say whether they are new."""
    row = {"id": "a@example.test", "idProperty": "email", "properties": {"firstname": "A"}}
    api = official.crm.contacts.batch_api
    assert api.upsert({"inputs": [row]}).results[0].new is True
    assert api.upsert({"inputs": [row]}).results[0].new is False


def test_search_through_the_client(official, plain):
    """The search request model goes through and its answer is parsed."""
    make_deal(official, amount="10")
    plain.post("/_sandbox/clock/advance", json={"seconds": 3})
    rule = deal.Filter(property_name="amount", operator="GTE", value="10")
    request = deal.PublicObjectSearchRequest(
        filter_groups=[deal.FilterGroup(filters=[rule])],
        sorts=["-createdate"],
        properties=["amount"],
        limit=5,
        after="0",
    )
    found = official.crm.deals.search_api.do_search(request)
    assert (found.total, found.results[0].properties["amount"]) == (1, "10")


def test_merge_through_the_client(official):
    """Merging answers with the survivor; the old id still reads."""
    a, b = make_deal(official), make_deal(official)
    body = deal.PublicMergeInput(primary_object_id=a.id, object_id_to_merge=b.id)
    official.crm.deals.basic_api.merge(body)
    assert official.crm.deals.basic_api.get_by_id(b.id).id == a.id


@pytest.mark.parametrize(
    ("family", "kind", "properties"),
    [
        ("companies", "companies", {"name": "Acme"}),
        ("line_items", "line_items", {"name": "Panel", "price": "1", "quantity": "2"}),
        ("products", "products", {"name": "Panel", "price": "1"}),
        ("quotes", "quotes", {"hs_title": "Q", "hs_expiration_date": "2027-01-31"}),
        ("objects.notes", "notes", {"hs_timestamp": "2026-11-01", "hs_note_body": "x"}),
        ("objects.tasks", "tasks", {"hs_timestamp": "2026-11-01", "hs_task_subject": "x"}),
        ("objects.emails", "emails", {"hs_timestamp": "2026-11-01", "hs_email_subject": "x"}),
        ("objects.calls", "calls", {"hs_timestamp": "2026-11-01", "hs_call_title": "x"}),
        ("objects.meetings", "meetings", {"hs_timestamp": "2026-11-01", "hs_meeting_title": "x"}),
    ],
)
def test_every_object_family_of_the_client(official, family, kind, properties):
    """Each family's own API object creates, reads and archives; the generic one reads the same record."""
    api = official.crm
    for part in family.split("."):
        api = getattr(api, part)
    made = api.basic_api.create({"properties": properties, "associations": []})
    name = next(iter(properties))
    assert api.basic_api.get_by_id(made.id, properties=[name]).properties[name]
    assert official.crm.objects.basic_api.get_by_id(kind, made.id).id == made.id
    api.basic_api.archive(made.id)
    assert official.crm.objects.basic_api.get_page(kind).results == []


def test_associations_through_the_client(official):
    """Default, labelled, paged, batched and taken apart, all in v4."""
    api, batch = official.crm.associations.v4.basic_api, official.crm.associations.v4.batch_api
    d, c = make_deal(official).id, make_contact(official, "a@example.test").id
    made = api.create_default("deals", d, "contacts", c)
    assert {r.association_spec.association_type_id for r in made.results} == {3, 4}
    schema = official.crm.associations.v4.schema.definitions_api
    body = association_schema.PublicAssociationDefinitionCreateRequest(name="signer", label="Signer")
    type_id = schema.create("deals", "contacts", body).results[0].type_id
    spec = [association.AssociationSpec(association_category="USER_DEFINED", association_type_id=type_id)]
    assert api.create("deals", d, "contacts", c, spec).labels == ["Signer"]
    row = api.get_page("deals", d, "contacts").results[0]
    assert {t.label for t in row.association_types} == {None, "Signer"}
    ids = association.BatchInputPublicFetchAssociationsBatchRequest(inputs=[{"id": d}, {"id": "77"}])
    read = batch.get_page("deals", "contacts", ids)
    assert type(read).__name__.endswith("WithErrors")
    assert str(read.results[0].to[0].to_object_id) == c
    pair = {"from": {"id": d}, "to": {"id": c}}
    batch.create_default("deals", "contacts", {"inputs": [pair]})
    primary = {"associationCategory": "USER_DEFINED", "associationTypeId": type_id}
    batch.create("deals", "contacts", {"inputs": [{**pair, "types": [primary]}]})
    batch.archive_labels("deals", "contacts", {"inputs": [{**pair, "types": [primary]}]})
    batch.archive("deals", "contacts", {"inputs": [{"from": {"id": d}, "to": [{"id": c}]}]})
    assert api.get_page("deals", d, "contacts").results == []
    assert type_id in {r.type_id for r in schema.get_all("deals", "contacts").results}
    schema.update("deals", "contacts", {"associationTypeId": type_id, "label": "Signatory"})
    schema.remove("deals", "contacts", type_id)
    assert type_id not in {r.type_id for r in schema.get_all("deals", "contacts").results}


def test_properties_through_the_client(official):
    """Definitions and groups: create, read, list, change, batch, archive."""
    core = official.crm.properties.core_api
    groups = official.crm.properties.groups_api
    groups.create("deals", prop.PropertyGroupCreate(name="dealflow", label="Dealflow", display_order=1))
    option = prop.OptionInput(label="Sent", value="sent", display_order=0, hidden=False)
    body = prop.PropertyCreate(
        name="contract_state",
        label="Contract",
        type="enumeration",
        field_type="select",
        group_name="dealflow",
        options=[option],
        has_unique_value=False,
    )
    assert core.create("deals", body).options[0].value == "sent"
    assert core.get_by_name("deals", "contract_state").group_name == "dealflow"
    names = {p.name for p in core.get_all("deals").results}
    assert {"contract_state", "dealstage", "hs_v2_date_entered_closedwon"} <= names
    assert core.update("deals", "contract_state", prop.PropertyUpdate(label="New")).label == "New"
    read = official.crm.properties.batch_api.read(
        "deals", {"archived": False, "inputs": [{"name": "amount"}]}
    )
    assert read.results[0].name == "amount"
    core.archive("deals", "contract_state")
    assert groups.get_by_name("deals", "dealflow").label == "Dealflow"
    assert groups.update("deals", "dealflow", {"label": "Flow"}).label == "Flow"
    groups.archive("deals", "dealflow")
    assert "dealflow" not in {g.name for g in groups.get_all("deals").results}


def test_pipelines_through_the_client(official):
    """Pipelines and stages: list, create, read, change, replace, audit, delete."""
    api, stages = official.crm.pipelines.pipelines_api, official.crm.pipelines.pipeline_stages_api
    first = pipeline.PipelineStageInput(label="Open", display_order=0, metadata={"probability": "0.2"})
    body = pipeline.PipelineInput(label="Solar", display_order=1, stages=[first])
    made = api.create("deals", body)
    assert made.stages[0].metadata["isClosed"] == "false"
    assert [p.label for p in api.get_all("deals").results] == ["Sales Pipeline", "Solar"]
    won = {"label": "Won", "displayOrder": 1, "metadata": {"probability": "1.0"}}
    stage = stages.create("deals", made.id, won)
    assert stages.update("deals", made.id, stage.id, {"label": "Signed"}).label == "Signed"
    assert stages.replace("deals", made.id, stage.id, won).label == "Won"
    assert stages.get_by_id("deals", made.id, stage.id).metadata["isClosed"] == "true"
    assert len(stages.get_all("deals", made.id).results) == 2
    assert api.update("deals", made.id, {"label": "Sun"}).label == "Sun"
    assert official.crm.pipelines.pipeline_audits_api.get_audit("deals", made.id).results
    stages.archive("deals", made.id, stage.id)
    api.archive("deals", made.id)
    assert len(api.get_all("deals").results) == 1


def test_owners_through_the_client(official):
    """Owners are listed, found by address and by user id."""
    api = official.crm.owners.owners_api
    owner = api.get_page(limit=2).results[0]
    assert api.get_by_id(owner.id).email == owner.email
    assert api.get_by_id(owner.user_id, id_property="userId").id == owner.id
    assert [o.id for o in api.get_page(email=owner.email).results] == [owner.id]


def test_files_through_the_client(official, tmp_path):
    """Upload, read, signed URL, change, archive."""
    path = tmp_path / "contract.pdf"
    path.write_bytes(b"%PDF-official")
    api = official.files.files_api
    made = api.upload(
        file=str(path),
        folder_path="/dealflow",
        file_name="contract.pdf",
        options=json.dumps({"access": "PRIVATE"}),
    )
    assert (made.name, made.size) == ("contract", 13)
    assert api.get_by_id(made.id).path == "/dealflow/contract.pdf"
    signed = api.get_signed_url(made.id, expiration_seconds=60)
    assert httpx.get(signed.url, trust_env=False).content == b"%PDF-official"
    changed = api.update_properties(made.id, file_models.FileUpdateInput(name="final"))
    assert changed.name == "final"
    path.write_bytes(b"%PDF-2")
    assert api.replace(made.id, file=str(path), options=json.dumps({"access": "PRIVATE"})).size == 6
    api.archive(made.id)
    with pytest.raises(Exception, match="404"):
        api.get_by_id(made.id)


def test_token_through_the_client(official):
    """The client's token call gets a token that works."""
    issued = official.oauth.tokens_api.create(
        grant_type="authorization_code",
        code="code",
        redirect_uri="https://example.test",
        client_id="app",
        client_secret="sandbox-client-secret",
    )
    assert issued.expires_in == 1800


def test_signature_helper_accepts_a_delivery(official, plain):
    """The official helper accepts both signatures of what the stand-in delivers."""
    plain.put("/_sandbox/webhooks", json={"target_url": "http://127.0.0.1:9/hook"})
    make_deal(official)
    body = ""
    deadline = time.monotonic() + 60
    while not body and time.monotonic() < deadline:
        rows = plain.get("/_sandbox/deliveries").json()["deliveries"]
        body = rows[0]["body"] if rows else ""
        time.sleep(0.02)
    assert json.loads(body)[0]["subscriptionType"].startswith("deal.")
    at_ms = int(datetime.datetime.now(datetime.UTC).timestamp() * 1000)
    headers = signed_headers("secret", "http://127.0.0.1:9/hook", body.encode(), at_ms)
    assert Signature.is_valid(
        headers["X-HubSpot-Signature-v3"],
        "secret",
        body,
        "http://127.0.0.1:9/hook",
        "POST",
        "v3",
        str(at_ms),
    )
    assert Signature.is_valid(headers["X-HubSpot-Signature"], "secret", body, signature_version="v1")


def test_the_watch_finds_a_field_too_many(against_old):
    """A field that the client's model lacks is reported, also inside lists: the other tests can fail by it."""
    stage = {"id": "s", "label": "S", "colour": "red"}
    pages = {"results": [{"id": "p", "label": "P", "stages": [stage]}]}
    assert against_old(pipeline.CollectionResponsePipelineNoPaging, pages) == [
        "CollectionResponsePipelineNoPaging.results[0].stages[0].colour: unknown to PipelineStage"
    ]
