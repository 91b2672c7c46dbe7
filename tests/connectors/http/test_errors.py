import pickle

import pytest

from connectors.http.errors import (
    AuthError,
    ConflictError,
    ConnectorError,
    ForgedEventError,
    GoneError,
    MalformedEventError,
    NotFoundError,
    RateLimitedError,
    RejectedError,
    TransientError,
    UnreadableAnswerError,
)

SECRET = "pat-eu1-11111111-2222"
PERSON = "Jörg Müller <joerg@example.com>"

FAMILY = [
    (TransientError, ConnectorError),
    (RateLimitedError, TransientError),
    (RejectedError, ConnectorError),
    (NotFoundError, RejectedError),
    (ConflictError, RejectedError),
    (GoneError, RejectedError),
    (AuthError, ConnectorError),
    (UnreadableAnswerError, ConnectorError),
    (ForgedEventError, ConnectorError),
    (MalformedEventError, ConnectorError),
]


@pytest.mark.parametrize(("child", "parent"), FAMILY)
def test_family(child: type, parent: type) -> None:
    """A caller that handles the parent handles the child."""
    assert issubclass(child, parent)


@pytest.mark.parametrize("outsider", [TransientError, AuthError, UnreadableAnswerError])
def test_families_stay_apart(outsider: type) -> None:
    """What may pass, what needs an operator and what was not understood are never mistaken for a wrong
    request."""
    assert not issubclass(outsider, RejectedError)


def test_text_says_what_to_do_and_where() -> None:
    """The text names vendor, call, status, the vendor's word and the property to correct."""
    error = RejectedError(
        "hubspot", "update_deals", status=400, category="VALIDATION_ERROR", properties=["closedate"]
    )
    assert str(error) == (
        "hubspot update_deals: the request was refused, status 400, VALIDATION_ERROR, properties closedate"
    )


@pytest.mark.parametrize(
    "error",
    [
        RejectedError("hubspot", "create_contacts", category=PERSON, properties=[PERSON], error_path=PERSON),
        ConflictError("hubspot", "create_contacts", existing_id=PERSON, request_id=PERSON),
        AuthError("hubspot", "read_deals", missing_scopes=[f"bearer {SECRET} {PERSON}"]),
        TransientError("hubspot", "read_deals", request_id=f"{PERSON}{SECRET}"),
    ],
)
def test_text_holds_no_vendor_prose(error: ConnectorError) -> None:
    """Names, addresses and keys passed in place of an identifier are dropped, in text and in repr."""
    for text in (str(error), repr(error)):
        assert "@" not in text
        assert "ller" not in text
        assert SECRET not in text


@pytest.mark.parametrize(
    "error",
    [
        RateLimitedError("hubspot", "search_deals", status=429, retry_after_s=7.5, applied="no"),
        ConflictError("hubspot", "create_deals", status=409, existing_id="77", properties=["a"]),
        AuthError("hubspot", "owners", status=403, missing_scopes=["crm.objects.owners.read"]),
        ForgedEventError("dropbox_sign", "the event hash does not fit"),
    ],
)
def test_survives_pickling(error: ConnectorError) -> None:
    """An error keeps its class, fields and text on its way through a process boundary."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert copy.__dict__ == error.__dict__
    assert str(copy) == str(error)
