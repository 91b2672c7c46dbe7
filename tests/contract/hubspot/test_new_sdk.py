"""The official alpha client `hubspot-sdk`, unmodified, over every endpoint that it and the stand-in both have.

Each answer is measured against the client's own model: no field that it does not know, no required one missing,
every value of the model's type. The client itself would let all three pass.
"""

import re
from typing import Any

import pytest

hubspot_sdk = pytest.importorskip(
    "hubspot_sdk",
    reason="NOT CHECKED AGAINST THE NEW OFFICIAL CLIENT: pip install --pre hubspot-sdk==0.1.0a9",
)

# Where the vendor's pages and live answers say otherwise than the alpha's models. What is found -> why it stands.
ACCEPTED = {
    r"\.properties\.\w+: None is not str$": "a defined but empty property is null (facts section 4, deals guide)",
    r"\.(to|from)ObjectId: \d+ is not str$": "a number in the associations guide (facts section 6)",
}

FAMILIES = (
    "calls companies contacts deals emails leads line_items meetings notes products quotes tasks".split()
)
# What the client has and the stand-in does not, beside whole families (README, "Left out").
LEFT_OUT = {
    "crm.associations.request_high_usage_report": "a report by e-mail",
    "crm.associations_schema.labels.batch_create": "association limits",
    "crm.associations.search": "misfiled in the alpha: it is the search of objects, called there",
    "files.file_assets.get_import_task_status": "import from a URL",
    "files.file_assets.import_from_url_async": "import from a URL",
    "files.folders.delete_by_id": "folders are made by uploads and never tidied",
    "files.folders.delete_by_path": "folders are made by uploads and never tidied",
    "files.folders.get_by_path": "folders are found by id",
    "files.folders.get_update_async_status": "folder moves",
    "files.folders.search": "folders are found by id",
    "files.folders.update_async_by_id": "folder moves",
    "files.folders.update_by_id": "folder moves",
}
MINIMAL: dict[str, dict[str, str]] = {
    "calls": {"hs_timestamp": "2026-11-01T10:00:00Z", "hs_call_title": "x"},
    "companies": {"name": "Acme"},
    "contacts": {"email": "ada@example.test"},
    "deals": {"dealname": "Press", "dealstage": "qualifiedtobuy"},
    "emails": {"hs_timestamp": "2026-11-01T10:00:00Z", "hs_email_subject": "x"},
    "leads": {"hs_lead_name": "Press"},
    "line_items": {"name": "Seat", "price": "1"},
    "meetings": {"hs_timestamp": "2026-11-01T10:00:00Z", "hs_meeting_title": "x"},
    "notes": {"hs_timestamp": "2026-11-01T10:00:00Z", "hs_note_body": "x"},
    "products": {"name": "Seat", "price": "1"},
    "quotes": {"hs_title": "Q", "hs_expiration_date": "2027-01-31"},
    "tasks": {"hs_timestamp": "2026-11-01T10:00:00Z", "hs_task_subject": "x"},
}


class Sdk:
    """Calls the client's methods by name, checks each answer, and remembers which were called."""

    def __init__(self, url: str, against_new: Any) -> None:
        self._against = against_new
        self.client = hubspot_sdk.HubSpot(access_token="pat-sandbox", base_url=url, max_retries=0)
        self.called: set[str] = set()

    def resource(self, path: str) -> Any:
        found = self.client
        for part in path.split("."):
            found = getattr(found, part)
        return found

    def __call__(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        path, _, name = method.rpartition(".")
        raw = getattr(self.resource(path).with_raw_response, name)(*args, **kwargs)
        self.called.add(method)
        parsed = raw.parse()
        if parsed is None:  # the model promises nothing
            return None
        found = self._against(type(parsed), raw.json())
        problems = [p for p in found if not any(re.search(known, p) for known in ACCEPTED)]
        assert problems == [], method
        return parsed


@pytest.fixture
def sdk(plain, hubspot_url, against_new):
    """The client on a fresh account."""
    found = Sdk(hubspot_url, against_new)
    yield found
    found.client.close()


def methods(sdk: Sdk, path: str) -> set[str]:
    """Every call that a resource of the client offers, those of its sub-resources included."""
    found, resource = set(), sdk.resource(path)
    for name in dir(type(resource)):
        if name.startswith(("_", "with_")):
            continue
        if callable(getattr(type(resource), name)):
            found.add(f"{path}.{name}")
        else:
            found |= methods(sdk, f"{path}.{name}")
    return found


def lead_links(sdk: Sdk, family: str) -> list[dict[str, Any]]:
    """A lead needs a contact; the rest needs nobody."""
    if family != "leads":
        return []
    made = sdk("crm.objects.contacts.create", properties={"email": "lead@example.test"}, associations=[])
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 578}]
    return [{"to": {"id": made.id}, "types": types}]


@pytest.mark.parametrize("family", [*FAMILIES, "generic_objects"])
def test_every_object_family(sdk, plain, family):
    """Create, read, list, search, update, merge, batches, delete: all answers fit, and no call is left out."""
    base = f"crm.objects.{family}"
    kind = "deals" if family == "generic_objects" else family
    head = {"object_type": kind} if family == "generic_objects" else {}
    values, links = MINIMAL[kind], lead_links(sdk, family)
    name = next(iter(values))

    def ident(value: str) -> dict[str, str]:
        return {id_parameter(sdk, base): value, **head}

    made = sdk(f"{base}.create", **head, properties=values, associations=links)
    sdk(f"{base}.update", **ident(made.id), properties=values)
    got = sdk(f"{base}.get", **ident(made.id), properties=[name], properties_with_history=[name])
    assert got.properties[name]
    listed = sdk(f"{base}.list", **head, limit=10, properties=[name])
    assert [r.id for r in listed.results] == [made.id]
    plain.post("/_sandbox/clock/advance", json={"seconds": 5})
    found = sdk(
        f"{base}.search", **head, after="0", limit=10, properties=[name], sorts=["hs_object_id"],
        filter_groups=[{"filters": [{"propertyName": "hs_object_id", "operator": "EQ", "value": made.id}]}],
    )  # fmt: skip
    assert found.total == 1
    batches(sdk, base, head, {**values, "email": "b@example.test"} if kind == "contacts" else values, links)
    if hasattr(sdk.resource(base), "merge"):
        spare = {**values, "email": "c@example.test"} if kind == "contacts" else values
        other = sdk(f"{base}.create", **head, properties=spare, associations=[])
        sdk(f"{base}.merge", **head, primary_object_id=made.id, object_id_to_merge=other.id)
    if hasattr(sdk.resource(base), "gdpr_delete"):
        sdk(f"{base}.gdpr_delete", object_id=made.id)
    else:
        sdk(f"{base}.delete", **ident(made.id))
    if kind == "contacts" and not head:
        sdk(f"{base}.delete", sdk(f"{base}.create", properties=values, associations=[]).id)
    assert methods(sdk, base) - sdk.called == set()


def id_parameter(sdk: Sdk, base: str) -> str:
    """What a family calls the id of its record: deal_id, leads_id, object_id."""
    return next(p for p in type(sdk.resource(base)).get.__annotations__ if p.endswith("_id"))


def batches(sdk: Sdk, base: str, head: dict[str, str], values: dict[str, str], links: list[Any]) -> None:
    """All five batches of a family, in the full."""
    batch = f"{base}.batch"
    row = {"properties": values, "associations": links, "objectWriteTraceId": "1"}
    made = sdk(f"{batch}.create", **head, inputs=[row]).results[0].id
    inputs = [{"id": made, "properties": values}]
    sdk(f"{batch}.update", **head, inputs=inputs)
    name = next(iter(values))
    sdk(f"{batch}.get", **head, inputs=[{"id": made}], properties=[name], properties_with_history=[name])
    upsert(sdk, batch, head, values, made)
    sdk(f"{batch}.delete", **head, inputs=[{"id": made}])


def upsert(sdk: Sdk, batch: str, head: dict[str, str], values: dict[str, str], made: str) -> None:
    """Upsert by the record's own id or by the contact's address: the one that exists is found again."""
    by = ("email", values["email"]) if "email" in values else ("hs_object_id", made)
    rows = [{"idProperty": by[0], "id": by[1], "properties": values}]
    got = sdk(f"{batch}.upsert", **head, inputs=rows)
    assert [(r.id, r.new) for r in got.results] == [(made, False)]


PAIR = {"from_object_type": "deals", "to_object_type": "contacts"}
LINK = "crm.associations"


def two(sdk: Sdk) -> tuple[str, str]:
    """A deal and a contact."""
    deal = sdk("crm.objects.deals.create", properties=MINIMAL["deals"], associations=[]).id
    return deal, sdk("crm.objects.contacts.create", properties=MINIMAL["contacts"], associations=[]).id


def complete(sdk: Sdk, *paths: str) -> None:
    """Every call of these resources was made, but for those that are left out with a reason."""
    missing = {m for path in paths for m in methods(sdk, path)} - sdk.called - LEFT_OUT.keys()
    assert missing == set()


def test_associations_and_labels(sdk):
    """Default, labelled, listed, batched, taken apart; labels made, listed, renamed and deleted."""
    deal, contact = two(sdk)
    ends = {"object_type": "deals", "object_id": deal, "to_object_type": "contacts"}
    pair = {"from": {"id": deal}, "to": {"id": contact}}
    sdk(f"{LINK}.create", contact, from_object_type="deals", from_object_id=deal, to_object_type="contacts")
    schema = "crm.associations_schema.labels"
    made = sdk(f"{schema}.create_label", **PAIR, label="Signer", name="signer").results[0]
    spec = [{"associationCategory": "USER_DEFINED", "associationTypeId": made.type_id}]
    labelled = sdk(f"{LINK}.update_labels", contact, **ends, body=spec)
    assert labelled.labels == ["Signer"]
    row = sdk(f"{LINK}.list", **ends).results[0]
    assert {t.label for t in row.association_types} == {None, "Signer"}
    sdk(f"{LINK}.batch.create_default", **PAIR, inputs=[pair])
    sdk(f"{LINK}.batch.create", **PAIR, inputs=[{**pair, "types": spec}])
    assert sdk(f"{LINK}.batch.get", **PAIR, inputs=[{"id": deal}]).results[0].to[0].to_object_id == int(
        contact
    )
    sdk(f"{LINK}.batch.delete_labels", **PAIR, inputs=[{**pair, "types": spec}])
    sdk(f"{LINK}.batch.delete", **PAIR, inputs=[{"from": {"id": deal}, "to": [{"id": contact}]}])
    assert sdk(f"{LINK}.list", **ends).results == []
    sdk(f"{LINK}.delete", contact, **ends)
    sdk(f"{schema}.update_label", **PAIR, association_type_id=made.type_id, label="Signatory")
    assert "Signatory" in {r.label for r in sdk(f"{schema}.list_labels", **PAIR).results}
    sdk(f"{schema}.delete_label", made.type_id, **PAIR)
    complete(sdk, LINK, schema)


def test_a_record_with_everything_around_it(sdk):
    """Inline associations, history and an archived record fit the richer model."""
    deal, contact = two(sdk)
    link = {"from_object_type": "deals", "from_object_id": deal, "to_object_type": "contacts"}
    sdk(f"{LINK}.create", contact, **link)
    asked = {"associations": ["contacts", "companies"], "properties_with_history": ["dealstage"]}
    got = sdk("crm.objects.deals.get", deal, **asked)
    assert [r.id for r in got.associations["contacts"].results] == [contact]
    assert sdk("crm.objects.deals.list", **asked).results[0].properties_with_history["dealstage"]
    sdk("crm.objects.deals.delete", deal)
    assert sdk("crm.objects.deals.get", deal, archived=True).archived_at is not None


def test_properties_and_groups(sdk):
    """Definitions and groups: made, read, listed, changed, batched, archived."""
    base, deals = "crm.properties", {"object_type": "deals"}
    sdk(f"{base}.groups.create", **deals, name="flow", label="Flow", display_order=1)
    text = {"label": "K", "type": "string", "field_type": "text", "group_name": "flow"}
    sdk(f"{base}.create", **deals, name="k1", **text, has_unique_value=True)
    option = {"label": "A", "value": "a", "displayOrder": 0, "hidden": False}
    choice = {**text, "type": "enumeration", "field_type": "select"}
    sdk(f"{base}.create", **deals, name="k2", **choice, options=[option])
    assert sdk(f"{base}.get", "k1", **deals).has_unique_value is True
    assert {"k1", "k2", "dealstage"} <= {p.name for p in sdk(f"{base}.list", **deals).results}
    assert sdk(f"{base}.update", "k1", **deals, label="L").label == "L"
    row = {"name": "k3", "label": "K", "type": "string", "fieldType": "text", "groupName": "flow"}
    sdk(f"{base}.batch.create", **deals, inputs=[row])
    names = [{"name": "k3"}, {"name": "amount"}]
    read = sdk(f"{base}.batch.get", **deals, archived=False, data_sensitivity="non_sensitive", inputs=names)
    assert {p.name for p in read.results} == {"k3", "amount"}
    sdk(f"{base}.batch.delete", **deals, inputs=[{"name": "k3"}])
    sdk(f"{base}.delete", "k1", **deals)
    sdk(f"{base}.delete", "k2", **deals)
    sdk(f"{base}.get", "k1", **deals, archived=True)
    sdk(f"{base}.groups.get", "flow", **deals)
    assert "flow" in {g.name for g in sdk(f"{base}.groups.list", **deals).results}
    sdk(f"{base}.groups.update", "flow", **deals, label="G")
    sdk(f"{base}.groups.delete", "flow", **deals)
    complete(sdk, base)


def test_pipelines_and_stages(sdk):
    """Pipelines and stages: made, read, listed, changed, replaced, audited, deleted."""
    base, deals = "crm.pipelines", {"object_type": "deals"}
    first = {"label": "Open", "displayOrder": 0, "metadata": {"probability": "0.5"}}
    whole = {"label": "Solar", "display_order": 1, "stages": [first]}
    pipeline = sdk(f"{base}.create", "deals", **whole).id
    assert len(sdk(f"{base}.list", "deals").results) == 2
    sdk(f"{base}.get", pipeline, **deals)
    sdk(f"{base}.update", pipeline, **deals, label="Sun")
    sdk(f"{base}.update_all_properties", pipeline, **deals, **whole)
    won = {"label": "Won", "display_order": 1, "metadata": {"probability": "1.0"}}
    where = {**deals, "pipeline_id": pipeline}
    stage = sdk(f"{base}.create_stage", pipeline, **deals, **won).id
    assert sdk(f"{base}.get_stage", stage, **where).metadata["isClosed"] == "true"
    sdk(f"{base}.update_stage", stage, **where, label="Signed", metadata={"probability": "1.0"})
    sdk(f"{base}.update_stage_all_properties", stage, **where, **won)
    assert len(sdk(f"{base}.list_stages", pipeline, **deals).results) == 2
    assert sdk(f"{base}.list_stage_audit", stage, **where).results
    sdk(f"{base}.delete_stage", stage, **where)
    assert sdk(f"{base}.list_audit", pipeline, **deals).results
    sdk(f"{base}.delete", pipeline, **deals)
    complete(sdk, base)


def test_owners_account_and_tokens(sdk):
    """Owners, account details, usage; tokens issued, introspected and revoked."""
    owner = sdk("crm.owners.list", limit=2).results[0]
    assert sdk("crm.owners.get", int(owner.id)).email == owner.email
    assert sdk("account.get").portal_id
    assert sdk("account.get_daily_private_apps_usage").results
    complete(sdk, "crm.owners")


def test_tokens_by_form(plain, against_new):
    """Token, introspection and revocation take forms (facts section 1). The alpha client posts JSON instead, so only
    its models are asked."""
    from hubspot_sdk.types.auth import TokenInfoResponseBaseIf, TokenResponseIf

    form = {"client_id": "a", "client_secret": "sandbox-client-secret", "grant_type": "client_credentials"}
    issued = plain.post("/oauth/2026-03/token", data=form).json()
    assert against_new(TokenResponseIf, issued) == []
    asked = {"token": issued["access_token"]}
    seen = plain.post("/oauth/2026-03/token/introspect", data=asked).json()
    assert against_new(TokenInfoResponseBaseIf, seen) == []
    assert seen["active"] is True
    assert plain.post("/oauth/2026-03/token/revoke", data=asked).is_success
    gone = plain.post("/oauth/2026-03/token/introspect", data=asked).json()
    assert gone == {"active": False}  # RFC 7662: of such a token nothing else is said


def test_files_and_folders(sdk):
    """Upload, read, search, change, replace, signed URL, delete; folders made and read."""
    base = "files.file_assets"
    body = {"file": ("a.pdf", b"%PDF-1.7"), "options": '{"access": "PRIVATE", "ttl": "P3M"}'}
    made = sdk(f"{base}.upload", **body, folder_path="/x")
    other = sdk(f"{base}.upload", **body, folder_path="/x", file_name="b.pdf")
    assert sdk(f"{base}.get", made.id).size == 8
    assert {f.id for f in sdk(f"{base}.search", parent_folder_ids=[int(made.parent_folder_id)]).results} == {
        made.id, other.id
    }  # fmt: skip
    sdk(f"{base}.update", made.id, clear_expires=True, name="c")
    sdk(f"{base}.replace", made.id, file=("a.pdf", b"%PDF-1.7 more"), options='{"access": "PRIVATE"}')
    assert sdk(f"{base}.get_signed_url", made.id, expiration_seconds=60).url.startswith("http://127.0.0.1")
    sdk(f"{base}.delete", made.id)
    sdk(f"{base}.gdpr_delete", other.id)
    folder = sdk(f"{base}.create", name="y", parent_path="/x")
    assert sdk("files.folders.get_by_id", folder.id).path == "/x/y"
    complete(sdk, "files")


def test_nothing_is_left_out_twice(sdk):
    """Each call that is left out exists in the client: an unneeded reason would hide a gap."""
    known = {
        m for path in ("crm.associations", "crm.associations_schema", "files") for m in methods(sdk, path)
    }
    assert set(LEFT_OUT) <= known


def test_the_measure_finds_what_is_wrong(against_new):
    """A field too many, one too few and a value of another type are each reported: the other tests can fail."""
    from hubspot_sdk.types.crm import Pipeline

    stage = {"id": "s", "archived": False, "createdAt": "2026-11-01T10:00:00Z", "displayOrder": 0, "label": "S",
             "metadata": {}, "updatedAt": "2026-11-01T10:00:00Z",
             "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT"}  # fmt: skip
    right = {"id": "p", "archived": False, "createdAt": "2026-11-01T10:00:00Z", "displayOrder": 0, "label": "P",
             "stages": [stage], "updatedAt": "2026-11-01T10:00:00Z"}  # fmt: skip
    assert against_new(Pipeline, right) == []
    assert against_new(Pipeline, {**right, "colour": "red"}) == ["Pipeline.colour: unknown to Pipeline"]
    assert against_new(Pipeline, {k: v for k, v in right.items() if k != "label"}) == [
        "Pipeline.label: required by Pipeline, missing"
    ]
    assert against_new(Pipeline, {**right, "displayOrder": "0"}) == ["Pipeline.displayOrder: '0' is not int"]
    nested = {**right, "stages": [{**stage, "writePermissions": "NOBODY"}]}
    assert len(against_new(Pipeline, nested)) == 1
