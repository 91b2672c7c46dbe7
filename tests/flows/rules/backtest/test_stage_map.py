"""Which of HubSpot's stages a process means."""

from typing import Any

import pytest

from flows.rules.backtest.stage_map import map_stages
from flows.rules.process.sales_process import SalesProcess, parse_process

LABELS = {"11": "First", "12": "Second", "18": "Won", "19": "Lost"}
KEYS = {"first": "11", "second": "12", "won": "18", "lost": "19"}


def process(*stages: dict[str, Any]) -> SalesProcess:
    """Open stages (key, label, hubspot_stage) before won and lost."""
    words = {"probability": 0.5, "buyer_step": "does", "help": "helps"}
    closed = [
        {"key": "won", "label": "Won", **words, "closed": "won", "probability": 1},
        {"key": "lost", "label": "Lost", **words, "closed": "lost", "probability": 0},
    ]
    return parse_process(
        {
            "name": "P",
            "pipeline": "P",
            "seller": {"name": "S", "address": "A", "email": "s@seller.example"},
            "stages": [*({**words, **stage} for stage in stages), *closed],
            "signature_outcomes": {
                "completed": {"move_to": "won"},
                **{end: {"stay": True} for end in ("declined", "expired", "canceled", "failed")},
            },
        }
    )


@pytest.mark.parametrize(
    ("stages", "keys", "by_key", "missing"),
    [
        (
            [{"key": "a", "label": "First"}, {"key": "b", "label": "B", "hubspot_stage": "12"}],
            {"11": "a", "12": "b"},
            (),
            (),
        ),
        # The name decides before the key; what is renamed is known by its key, unless that stage is taken.
        (
            [{"key": "second", "label": "First"}, {"key": "first", "label": "Renamed"}],
            {"11": "second"},
            (),
            ("first",),
        ),
        (
            [{"key": "first", "label": "Renamed"}, {"key": "new", "label": "New"}],
            {"11": "first"},
            ("first",),
            ("new",),
        ),
    ],
)
def test_by_id_by_label_by_key(
    stages: list[dict[str, Any]], keys: dict[str, str], by_key: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    """In this order; what is found by its key alone, or not at all, is named."""
    found = map_stages(process(*stages), LABELS, KEYS)
    assert found.keys == {**keys, "18": "won", "19": "lost"}
    assert (found.by_key, found.missing, found.fits) == (by_key, missing, True)


def test_closed_stages_alone_are_no_fit() -> None:
    """Won and lost are called the same everywhere: that says nothing."""
    assert not map_stages(process({"key": "x", "label": "X"}), LABELS, KEYS).fits
    assert not map_stages(process({"key": "x", "label": "X"}), {}, {}).fits
