import copy
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dropbox_sign import records
from connectors.http.errors import UnreadableAnswerError
from tests.places import SHARED

REQUEST = {
    "signature_request": {
        "signature_request_id": "req-1",
        "title": "Contract Nord",
        "test_mode": True,
        "metadata": {"df_token": "0f0f", "df_revision": 3, "df_live": False, "df_none": None},
        "created_at": 1_763_805_600,
        "expires_at": 1_766_397_600,
        "is_complete": False,
        "is_declined": True,
        "has_error": False,
        "custom_fields": [],
        "requester_email_address": "rep@example.com",
        "signatures": [
            {
                "signature_id": "sig-1",
                "signer_email_address": "anna@example.com",
                "signer_name": "Anna Ahlers",
                "signer_role": None,
                "order": 0,
                "status_code": "signed",
                "signed_at": 1_763_809_200,
                "last_viewed_at": 1_763_809_100,
                "last_reminded_at": None,
            },
            {
                "signature_id": "sig-2",
                "signer_email_address": "bo@example.com",
                "signer_name": "Bo Berg",
                "signer_role": "Counter-signer",
                "order": 1,
                "status_code": "declined",
                "decline_reason": "The price is not what we said.",
                "error": None,
            },
        ],
    },
    "warnings": [{"warning_name": "unconfirmed", "warning_msg": "m"}, "odd"],
}


def test_request() -> None:
    """A request is read whole: flags, metadata as text, times in UTC, each signer's row, warnings."""
    request = records.parse_request(REQUEST)
    assert (request.id, request.test_mode, request.is_declined, request.is_complete) == (
        "req-1",
        True,
        True,
        False,
    )
    assert request.metadata == {"df_token": "0f0f", "df_revision": "3", "df_live": "false"}
    assert request.created_at == datetime(2025, 11, 22, 10, tzinfo=UTC)
    anna, bo = request.signatures
    assert (anna.order, anna.status_code, anna.signed_at) == (
        0,
        "signed",
        datetime(2025, 11, 22, 11, tzinfo=UTC),
    )
    assert (bo.role, bo.decline_reason) == ("Counter-signer", "The price is not what we said.")
    assert [one.name for one in request.warnings] == ["unconfirmed", ""]
    assert request.on_hold


def test_bare_request_and_list() -> None:
    """The rows of a list are bare requests; the counts of the list come along."""
    bare = REQUEST["signature_request"]
    page = records.parse_page(
        {"list_info": {"page": 2, "num_pages": 3, "num_results": 250}, "signature_requests": [bare, bare]}
    )
    assert (page.page, page.pages, page.total) == (2, 3, 250)
    assert [one.id for one in page.requests] == ["req-1", "req-1"]


def test_nothing_personal_in_repr() -> None:
    """A request in a log line shows no signer, address or reason."""
    shown = repr(records.parse_request(REQUEST))
    for word in ("example.com", "Ahlers", "price"):
        assert word not in shown


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ([], {}),
        (None, {}),
        ({}, {}),
        ({"a": 1.5}, {"a": "1.5"}),
        ({"a": {"b": 1}}, {"a": '{"b": 1}'}),
        ("x", {}),
    ],
)
def test_metadata_of_any_shape(metadata: object, expected: object) -> None:
    """Empty metadata arrives as [], values as numbers: both are read."""
    assert records.parse_metadata(metadata) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (True, True),
        (1, True),
        ("1", True),
        ("true", True),
        (False, False),
        (0, False),
        (None, False),
        ([1], False),
    ],
)
def test_flags_of_any_shape(given: object, expected: bool) -> None:
    """test_mode is true, 1 or "1" by turns; only those count as true."""
    bent = {"signature_request": {"signature_request_id": "r", "test_mode": given, "is_complete": given}}
    request = records.parse_request(bent)
    assert (request.test_mode, request.is_complete) == (expected, expected)


def test_account_and_app() -> None:
    """A cleared callback URL is None, and an app's OAuth secret is left behind."""
    account = records.parse_account(
        {"account": {"account_id": "a", "callback_url": "", "quotas": {"api_signature_requests_left": None}}}
    )
    assert (account.callback_url, account.requests_left) == (None, None)
    app = records.parse_api_app(
        {
            "api_app": {
                "client_id": "c",
                "name": "n",
                "is_approved": True,
                "oauth": {"secret": "s3cr3t"},
                "domains": ["x"],
            }
        }
    )
    assert (app.client_id, app.is_approved, app.domains) == ("c", True, ("x",))
    assert "s3cr3t" not in repr(app)


@pytest.mark.parametrize(
    ("parse", "data"),
    [
        (records.parse_request, {}),
        (records.parse_request, {"signature_request": {"signature_request_id": ""}}),
        (records.parse_page, {"list_info": {}}),
        (records.parse_page, {"signature_requests": [{}]}),
        (records.parse_account, {"account": {}}),
        (records.parse_api_app, {}),
    ],
)
def test_without_an_id_it_is_not_understood(parse: object, data: object) -> None:
    """What cannot be pointed at is no record; a list without requests is not an empty list."""
    with pytest.raises(UnreadableAnswerError):
        parse(data)  # type: ignore[operator]


_LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
_ANY = st.recursive(
    _LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(data=st.data())
def test_parsers_raise_only_contract_errors(data: st.DataObject) -> None:
    """No JSON makes a parser raise anything but UnreadableAnswerError: random, or a true answer with bent fields."""
    bent = copy.deepcopy(REQUEST)
    row = bent["signature_request"]
    assert isinstance(row, dict)
    for target in (row, row["signatures"][0]):
        for key in data.draw(st.sets(st.sampled_from(sorted(target)))):
            target[key] = data.draw(_ANY)
    for key in data.draw(st.sets(st.sampled_from(["warnings", "signature_request"]))):
        bent[key] = data.draw(_ANY)
    listed = {"signature_requests": data.draw(_ANY | st.just([row])), "list_info": data.draw(_ANY)}
    account = {"account": {"account_id": "a", "quotas": data.draw(_ANY)}, "api_app": data.draw(_ANY)}
    parsers = [records.parse_request, records.parse_page, records.parse_account, records.parse_api_app,
               records.parse_signature, records.parse_warning]  # fmt: skip
    for parse in parsers:
        for value in (bent, listed, account, data.draw(_ANY)):
            try:
                parse(value)  # type: ignore[operator]
            except UnreadableAnswerError as error:
                assert error.vendor == "dropbox_sign"


def _samples() -> Path:
    return SHARED / "specs" / "dropbox_sign" / "examples" / "json"


def test_the_vendors_own_samples_are_read() -> None:
    """Every official sample answer with a signature request, account or app is read without a complaint."""
    samples = _samples()
    if not samples.is_dir():
        pytest.skip("LOUD: the vendor's samples are not here; set DEALFLOW_SHARED to check against them")
    parsers = {
        "signature_request": records.parse_request,
        "signature_requests": records.parse_page,
        "account": records.parse_account,
        "api_app": records.parse_api_app,
    }
    read = 0
    for path in sorted(samples.glob("*Response.json")):
        try:
            data = json.loads(path.read_text())
        except ValueError:
            continue
        for key, parse in parsers.items():
            if key in data and not path.name.startswith("Bulk"):
                parse(data)
                read += 1
    assert read >= 12
