import copy
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.http.errors import UnreadableAnswerError
from connectors.hubspot import association_types, lenient_json, records

DEAL = {
    "id": "9001",
    "properties": {
        "dealname": "Windpark Nord",
        "amount": "120000.50",
        "dealstage": "contractsent",
        "closed_lost_reason": None,
        "hs_object_id": "9001",
    },
    "propertiesWithHistory": {
        "dealstage": [
            {
                "value": "contractsent",
                "timestamp": "2026-11-02T09:30:00.123Z",
                "sourceType": "CRM_UI",
                "sourceId": "userId:55",
                "updatedByUserId": 55,
            },
            {"value": "presentationscheduled", "timestamp": "2026-10-01T08:00:00Z", "sourceType":
            "INTEGRATION"},
        ]
    },
    "createdAt": "2026-09-30T07:00:00.000Z",
    "updatedAt": "2026-11-02T09:30:01.000Z",
    "archived": False,
    "url": "https://app.example.com/9001",
    "associations": {
        "contacts": {
            "results": [
                {"id": "11", "type": "deal_to_contact"},
                {"id": "11", "type": "deal_to_contact_unlabeled"},
                {"id": "12", "type": "deal_to_contact"},
            ],
            "paging": {"next": {"after": "MTI%3D"}},
        },
        "line items": {"results": [{"id": "71", "type": "deal_to_line_item"}]},
    },
}  # fmt: skip

PIPELINE = {
    "id": "default",
    "label": "Sales Pipeline",
    "displayOrder": 0,
    "archived": False,
    "stages": [
        {"id": "closedlost", "label": "Lost", "displayOrder": 6,
         "metadata": {"isClosed": "true", "probability": "0.0"}, "createdAt": "1970-01-01T00:00:00Z"},
        {"id": "closedwon", "label": "Won", "displayOrder": 5,
         "metadata": {"isClosed": "true", "probability": "1.0"}},
        {"id": "4466", "label": "Talk", "displayOrder": 1,
         "metadata": {"isClosed": "false", "probability": "0.4"}},
    ],
}  # fmt: skip


def test_record_with_history_and_links() -> None:
    """A deal is read whole: text values, times in UTC, history newest first, links by type without
    repeats."""
    deal = records.parse_record(DEAL)
    assert (deal.id, deal.properties["amount"], deal.properties["closed_lost_reason"]) == (
        "9001",
        "120000.50",
        None,
    )
    assert deal.updated_at == datetime(2026, 11, 2, 9, 30, 1, tzinfo=UTC)
    newest, older = deal.history["dealstage"]
    assert newest.at == datetime(2026, 11, 2, 9, 30, 0, 123000, tzinfo=UTC)
    assert (newest.source_type, newest.source_id) == ("CRM_UI", "userId:55")
    assert (older.value, older.source_id) == ("presentationscheduled", None)
    assert deal.associations == {"contacts": ("11", "12"), "line_items": ("71",)}
    assert deal.truncated == {"contacts"}


def test_upsert_row_says_whether_it_is_new() -> None:
    """`new` and the trace id of a batch row are kept; without them nothing is claimed."""
    row = records.parse_record({"id": "1", "new": True, "objectWriteTraceId": "row-3"})
    assert (row.is_new, row.write_trace_id) == (True, "row-3")
    assert records.parse_record({"id": "1"}).is_new is None


def test_stages_in_order_with_won_and_lost_by_numbers() -> None:
    """Stages come in display order; won and lost follow from closed and probability, not from a label."""
    pipeline = records.parse_pipeline(PIPELINE)
    assert [stage.id for stage in pipeline.stages] == ["4466", "closedwon", "closedlost"]
    assert [(s.is_closed, s.is_won, s.is_lost) for s in pipeline.stages] == [
        (False, False, False),
        (True, True, False),
        (True, False, True),
    ]
    assert pipeline.stages[0].probability == Decimal("0.4")


def test_property_flags() -> None:
    """A calculated or read-only property says so, and options keep their stored values."""
    found = records.parse_property(
        {
            "name": "hs_is_closed",
            "label": "Closed",
            "type": "enumeration",
            "fieldType": "select",
            "groupName": "dealinformation",
            "calculated": True,
            "hasUniqueValue": False,
            "hubspotDefined": True,
            "options": [
                {"label": "Yes", "value": "true", "displayOrder": 0, "hidden": False},
                {"value": "x"},
            ],
            "modificationMetadata": {"archivable": False, "readOnlyDefinition": True, "readOnlyValue": True},
        }
    )
    assert (found.calculated, found.read_only_value, found.hubspot_defined) == (True, True, True)
    assert [(one.value, one.label) for one in found.options] == [("true", "Yes"), ("x", "x")]


def test_owner_account_file_and_link() -> None:
    """Numbers as ids become text everywhere."""
    owner = records.parse_owner(
        {"id": "321", "userId": 55, "email": "rep@example.com", "teams": [{"id": "1", "name": "North"}]}
    )
    assert (owner.id, owner.user_id, owner.teams, owner.archived) == ("321", "55", ("North",), False)
    account = records.parse_account({"portalId": 4242, "timeZone": "Europe/Berlin", "companyCurrency": "EUR"})
    assert (account.portal_id, account.time_zone) == ("4242", "Europe/Berlin")
    link = records.parse_link(
        {"toObjectId": 77, "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": 3, "label": None}]}
    )
    assert link == records.Link("77", (records.LinkType("HUBSPOT_DEFINED", 3, None),))
    stored = records.parse_file({"id": "900", "name": "a", "size": 12, "access": "PRIVATE"})
    assert (stored.id, stored.size, stored.url) == ("900", 12, None)


def test_signed_address_stays_out_of_repr() -> None:
    """A signed address opens a private file, so showing the record does not show it."""
    signed = records.parse_signed_url(
        {"url": "https://cdn.example.com/f?sig=abc", "expiresAt": "2026-11-22T10:00:00Z"}
    )
    assert signed.url.endswith("sig=abc")
    assert "sig=abc" not in repr(signed)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-11-22T10:00:00Z", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22T12:00:00+02:00", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        (1763805600000, datetime(2025, 11, 22, 10, tzinfo=UTC)),
        ("1763805600000", datetime(2025, 11, 22, 10, tzinfo=UTC)),
        ("soon", None),
        ("", None),
        (None, None),
        (True, None),
        (10**30, None),
    ],
)
def test_moments(given: object, expected: datetime | None) -> None:
    """Times arrive as ISO text or epoch milliseconds; anything else is no time rather than an error."""
    assert lenient_json.moment(given) == expected


PARSERS = [
    records.parse_record,
    records.parse_pipeline,
    records.parse_stage,
    records.parse_property,
    records.parse_owner,
    records.parse_account,
    records.parse_label,
    records.parse_link,
    records.parse_file,
    records.parse_signed_url,
]
_LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=12)
_ANY = st.recursive(
    _LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner,
    max_size=4), max_leaves=12,
)  # fmt: skip


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@given(data=st.data())
def test_parsers_raise_only_contract_errors(parse: object, data: st.DataObject) -> None:
    """No JSON makes a parser raise anything but UnreadableAnswerError: wholly random, or a true record with bent
    fields."""
    bent = copy.deepcopy(
        data.draw(st.sampled_from([DEAL, PIPELINE, {"name": "n"}, {"typeId": 1}, {"url": "u"}]))
    )
    for key in data.draw(st.sets(st.sampled_from(sorted(bent)))):
        bent[key] = data.draw(_ANY)
    for name in data.draw(
        st.sets(st.sampled_from(["id", "size", "associationTypes", "options", "teams", "metadata"]))
    ):
        bent[name] = data.draw(_ANY)
    for value in (bent, data.draw(_ANY)):
        try:
            parse(value)  # type: ignore[operator]
        except UnreadableAnswerError as error:
            assert error.vendor == "hubspot"


def test_type_ids_have_one_meaning_each() -> None:
    """No direction has one meaning under two numbers, and no number is used twice."""
    keys = [(row.from_type, row.to_type, row.meaning) for row in association_types.TYPE_IDS]
    numbers = [row.type_id for row in association_types.TYPE_IDS]
    assert len(set(keys)) == len(keys)
    assert len(set(numbers)) == len(numbers)


def test_type_ids_agree_with_the_vendors_package() -> None:
    """Where the vendor's own package names a number for a direction, ours is the same."""
    from hubspot.crm.association_type import AssociationType

    names = {
        ("deals", "contacts", ""): "DEAL_TO_CONTACT",
        ("contacts", "deals", ""): "CONTACT_TO_DEAL",
        ("deals", "companies", ""): "DEAL_TO_COMPANY",
        ("deals", "companies", "primary"): "DEAL_TO_PRIMARY_COMPANY",
        ("companies", "deals", ""): "COMPANY_TO_DEAL",
        ("companies", "deals", "primary"): "PRIMARY_COMPANY_TO_DEAL",
        ("contacts", "companies", ""): "CONTACT_TO_COMPANY",
        ("contacts", "companies", "primary"): "CONTACT_TO_PRIMARY_COMPANY",
        ("deals", "line_items", ""): "DEAL_TO_LINE_ITEM",
        ("notes", "deals", ""): "NOTE_TO_DEAL",
        ("notes", "contacts", ""): "NOTE_TO_CONTACT",
        ("notes", "companies", ""): "NOTE_TO_COMPANY",
        ("tasks", "deals", ""): "TASK_TO_DEAL",
        ("tasks", "contacts", ""): "TASK_TO_CONTACT",
        ("tasks", "companies", ""): "TASK_TO_COMPANY",
        ("emails", "deals", ""): "EMAIL_TO_DEAL",
        ("emails", "contacts", ""): "EMAIL_TO_CONTACT",
        ("deals", "emails", ""): "DEAL_TO_EMAIL",
    }
    compared = 0
    for key, name in names.items():
        number = getattr(AssociationType, name, None)
        if number is not None:
            compared += 1
            assert association_types.type_id(*key) == number, name
    assert compared >= 10
