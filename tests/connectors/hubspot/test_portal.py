import json
import subprocess
import sys
import time
from typing import Any

import pytest

from connectors.http.errors import (
    AuthError,
    ConflictError,
    ConnectorError,
    NotFoundError,
    RateLimitedError,
    RejectedError,
    TransientError,
    UnreadableAnswerError,
)
from connectors.http.exchange import CallRecord
from connectors.hubspot.portal import NewStage, Portal
from connectors.hubspot.records import Option

TOKEN = "pat-eu1-secret"


@pytest.fixture
def portal(vendor: Any) -> Portal:
    return Portal(TOKEN, vendor.url, timeout_s=(0.5, 0.4))


def test_properties_are_listed(vendor: Any, portal: Portal) -> None:
    """The vendor's package calls the right route with our token, and unknown fields do no harm."""
    vendor.reply(200, {"results": [{"name": "df_key", "hasUniqueValue": True, "brandNew": {"x": 1}}]})
    (found,) = portal.list_properties("deals")
    assert (found.name, found.has_unique_value) == ("df_key", True)
    assert vendor.heard[0].path.startswith("/crm/v3/properties/deals")
    assert vendor.heard[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_archived_properties_are_asked_for(vendor: Any, portal: Portal) -> None:
    """The recycling bin is a query of the same route."""
    vendor.reply(200, {"results": [{"name": "df_key", "archived": True}]})
    (found,) = portal.list_properties("deals", archived=True)
    assert found.archived
    assert vendor.heard[0].path == "/crm/v3/properties/deals?archived=True"


def test_definition_is_set(vendor: Any, portal: Portal) -> None:
    """Of a property in place everything but name and uniqueness is sent; options only where there are any."""
    vendor.reply(200, {"name": "df_key"})
    portal.update_property("deals", "df_key", label="Key", group="g", type="string", field_type="text")
    (call,) = vendor.heard
    assert (call.method, call.path) == ("PATCH", "/crm/v3/properties/deals/df_key")
    assert call.json() == {
        "label": "Key",
        "groupName": "g",
        "type": "string",
        "fieldType": "text",
        "description": "",
    }


def test_one_connection_for_many_calls(vendor: Any, portal: Portal) -> None:
    """The package's new connection per access is avoided."""
    vendor.reply(200, {"results": []})
    for _ in range(5):
        portal.list_properties("deals")
    assert vendor.connections == 1


def test_group_and_property_are_created(vendor: Any, portal: Portal) -> None:
    """A unique property goes out with all the fields the vendor demands; options carry their display
    order."""
    vendor.reply(201, {"name": "df_key"})
    portal.create_property_group("deals", "dealflow", "Dealflow")
    portal.create_property("deals", "df_key", label="Key", group="dealflow", unique=True)
    portal.create_property(
        "deals", "df_state", label="State", group="dealflow", type="enumeration", field_type="select",
        options=[Option("a", "A"), Option("b", "B", hidden=True)],
    )  # fmt: skip
    group, unique, choice = vendor.heard
    assert (group.path, group.json()["name"]) == ("/crm/v3/properties/deals/groups", "dealflow")
    assert unique.json() == {
        "name": "df_key",
        "label": "Key",
        "groupName": "dealflow",
        "type": "string",
        "fieldType": "text",
        "description": "",
        "hasUniqueValue": True,
    }
    assert choice.json()["options"] == [
        {"label": "A", "value": "a", "hidden": False, "displayOrder": 0},
        {"label": "B", "value": "b", "hidden": True, "displayOrder": 1},
    ]


def test_pipeline_and_stages(vendor: Any, portal: Portal) -> None:
    """A pipeline goes out with its stages, metadata as text, and comes back with ids."""
    made = {
        "id": "77",
        "label": "Sales",
        "stages": [
            {
                "id": "1002",
                "label": "Won",
                "displayOrder": 1,
                "metadata": {"isClosed": "true", "probability": "1.0"},
            },
            {"id": "1001", "label": "New", "displayOrder": 0, "metadata": {"probability": "0.1"}},
        ],
    }
    vendor.reply(201, made)
    pipeline = portal.create_pipeline("Sales", [NewStage("New", "0.1", 0), NewStage("Won", "1.0", 1, True)])
    assert [stage.id for stage in pipeline.stages] == ["1001", "1002"]
    assert vendor.heard[0].json()["stages"][1] == {
        "label": "Won",
        "displayOrder": 1,
        "metadata": {"probability": "1.0", "isClosed": "true"},
    }
    vendor.reply(200, made["stages"][0])  # type: ignore[index]
    assert portal.create_stage("77", NewStage("Won", "1.0", 1, True)).is_won
    portal.update_stage("77", "1002", NewStage("Won!", "1.0", 1, True))
    assert [(one.method, one.path) for one in vendor.heard[1:]] == [
        ("POST", "/crm/v3/pipelines/deals/77/stages"),
        ("PATCH", "/crm/v3/pipelines/deals/77/stages/1002"),
    ]
    vendor.reply(200, {"results": [made]})
    assert portal.list_pipelines()[0].id == "77"


def test_labels(vendor: Any, portal: Portal) -> None:
    """A label is created by name and listed with its number."""
    vendor.reply(200, {"results": [{"category": "USER_DEFINED", "typeId": 42, "label": "Signer"}]})
    (made,) = portal.create_label("deals", "contacts", "Signer", "df_signer")
    assert (made.type_id, made.label) == (42, "Signer")
    assert portal.list_labels("deals", "contacts") == (made,)
    assert vendor.heard[0].json() == {"label": "Signer", "name": "df_signer"}


@pytest.mark.parametrize(
    ("status", "kind", "applied"),
    [
        (301, UnreadableAnswerError, "maybe"),
        (400, RejectedError, "no"),
        (401, AuthError, "no"),
        (403, AuthError, "no"),
        (404, NotFoundError, "no"),
        (409, ConflictError, "no"),
        (429, RateLimitedError, "no"),
        (500, TransientError, "maybe"),
        (502, TransientError, "maybe"),
    ],
)
@pytest.mark.parametrize("body", [b'{"category":"X","correlationId":"c-1"}', b"<html>\xff\xfe</html>", b""])
def test_statuses_of_the_package(
    vendor: Any, portal: Portal, status: int, kind: type, applied: str, body: bytes
) -> None:
    """Whatever the package throws, the class is the table's, with one request sent and no body in the
    text."""
    vendor.play(type(vendor.acts[0])("reply", status, body, {"Retry-After": "1", "Location": vendor.url}))
    with pytest.raises(ConnectorError) as caught:
        portal.create_property_group("deals", "a", "A")
    assert (type(caught.value), caught.value.applied, caught.value.status) == (kind, applied, status)
    assert len(vendor.heard) == 1
    assert "html" not in str(caught.value)
    if body.startswith(b"{"):
        assert (caught.value.category, caught.value.request_id) == ("X", "c-1")


@pytest.mark.parametrize("how", ["drop", "hang", "truncate"])
def test_lost_answers_are_doubtful(vendor: Any, portal: Portal, how: str) -> None:
    """A create whose answer is lost may have worked, is sent once, and does not hang."""
    vendor.reply(201, {"name": "a", "label": "b"})
    vendor.acts[0].how = how
    started = time.monotonic()
    with pytest.raises(TransientError) as caught:
        portal.create_property_group("deals", "a", "A")
    assert time.monotonic() - started < 5
    assert caught.value.applied == "maybe"
    assert len(vendor.heard) == 1


def test_reads_are_not_repeated_by_the_package(vendor: Any, portal: Portal) -> None:
    """The package's own retry of reads on 429 is off."""
    vendor.reply(429, {}, Retry_After="0")
    with pytest.raises(RateLimitedError):
        portal.list_properties("deals")
    assert len(vendor.heard) == 1


def test_refused_connection_was_never_sent(closed_port: str) -> None:
    """Nobody listening: nothing was created."""
    with pytest.raises(TransientError) as caught:
        Portal(TOKEN, closed_port).create_property_group("deals", "a", "A")
    assert caught.value.applied == "no"


@pytest.mark.parametrize("body", [{"results": [{"label": "no name"}]}, {"rows": []}, [], b"<html>"])
def test_answers_not_understood(vendor: Any, portal: Portal, body: object) -> None:
    """A 200 of another shape is reported with the name of the call."""
    vendor.reply(200, body)
    with pytest.raises(UnreadableAnswerError, match="list_properties"):
        portal.list_properties("deals")


def test_calls_are_counted(vendor: Any) -> None:
    """Set-up calls show in the same metrics."""
    records: list[CallRecord] = []
    vendor.reply(200, {"results": []})
    Portal(TOKEN, vendor.url, on_call=records.append).list_pipelines()
    assert [(one.operation, one.status, one.outcome) for one in records] == [("list_pipelines", 200, "ok")]


def test_the_package_is_loaded_only_when_used() -> None:
    """Importing our clients does not import the vendors' packages."""
    shelves = ["hubspot.client", "hubspot.portal", "hubspot.webhook"]
    shelves += ["dropbox_sign.client", "dropbox_sign.sender", "dropbox_sign.callback"]
    code = "import sys, json\n" + "".join(f"import connectors.{shelf}\n" for shelf in shelves)
    code += "print(json.dumps(sorted({'hubspot', 'dropbox_sign', 'prefect'} & set(sys.modules))))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) == []
