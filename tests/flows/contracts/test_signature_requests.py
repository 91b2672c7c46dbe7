"""Signature requests in our words: whose turn it is to sign."""

import pytest

from connectors.dropbox_sign.records import Signature, SignatureRequest
from flows.contracts.requests import in_turn


@pytest.mark.parametrize(
    ("signers", "turn"),
    [
        ([("a", 0, "awaiting_signature"), ("b", 1, "awaiting_signature")], ["a"]),
        ([("a", 0, "signed"), ("b", 1, "awaiting_signature"), ("c", 1, "awaiting_signature")], ["b", "c"]),
        ([("a", None, "awaiting_signature"), ("b", None, "awaiting_signature")], ["a", "b"]),
        ([("a", 0, "declined"), ("b", 0, "on_hold")], []),
        ([], []),
    ],
)
def test_whose_turn_it_is(signers: list[tuple[str, int | None, str]], turn: list[str]) -> None:
    """The first in order who have not signed; without an order all; nobody who is not asked."""
    rows = tuple(Signature(name, order=order, status_code=status) for name, order, status in signers)
    assert [x.id for x in in_turn(SignatureRequest("r", signatures=rows))] == turn
