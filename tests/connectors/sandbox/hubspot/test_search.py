"""Search: an index that lags, with hard limits."""

import pytest

V = "2026-09"
ROWS = [
    ("Alpha press", "qualifiedtobuy", "100", "2026-01-10"),
    ("Beta press", "contractsent", "250.5", "2026-02-10"),
    ("gamma line", "contractsent", None, "2026-03-10"),
    ("Delta line", "closedwon", "9", None),
]


@pytest.fixture
def sales(hub):
    """Four deals that the index knows."""
    records = []
    for name, stage, amount, close in ROWS:
        props = {"dealname": name, "dealstage": stage, "amount": amount, "closedate": close}
        records.append(
            {"object_type": "deals", "properties": {k: v for k, v in props.items() if v is not None}}
        )
    hub.control("POST", "seed", records=records)
    return hub


def search(hub, kind="deals", **body):
    return hub.api.post(f"/crm/objects/{V}/{kind}/search", json=body)


def names(hub, *filters, **body):
    group = [
        dict(zip(("propertyName", "operator", "value", "highValue"), f, strict=False))
        if not isinstance(f, dict)
        else f
        for f in filters
    ]
    answer = search(hub, filterGroups=[{"filters": group}] if group else [], properties=["dealname"], **body)
    assert answer.status_code == 200, answer.text
    return [r["properties"]["dealname"].split()[0].lower() for r in answer.json()["results"]]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (("dealstage", "EQ", "contractsent"), ["beta", "gamma"]),
        (("dealstage", "EQ", "CONTRACTSENT"), []),  # enumerations are case-sensitive
        (("dealname", "EQ", "ALPHA PRESS"), ["alpha"]),  # strings are not
        (("dealstage", "NEQ", "contractsent"), ["alpha", "delta"]),
        (("amount", "NEQ", "9"), ["alpha", "beta"]),
        (("amount", "GT", "99"), ["alpha", "beta"]),
        (("amount", "GTE", "100.0"), ["alpha", "beta"]),
        (("amount", "LT", "100"), ["delta"]),
        (("amount", "LTE", "100"), ["alpha", "delta"]),
        (("amount", "BETWEEN", "9", "100"), ["alpha", "delta"]),
        (("closedate", "GT", "1770681600000"), ["gamma"]),  # 2026-02-10 in milliseconds
        (("amount", "HAS_PROPERTY"), ["alpha", "beta", "delta"]),
        (("amount", "NOT_HAS_PROPERTY"), ["gamma"]),
        (("dealname", "CONTAINS_TOKEN", "press"), ["alpha", "beta"]),
        (("dealname", "CONTAINS_TOKEN", "pre*"), ["alpha", "beta"]),
        (("dealname", "NOT_CONTAINS_TOKEN", "press"), ["gamma", "delta"]),
    ],
)
def test_operator(sales, rule, expected):
    """Each operator finds what it should."""
    assert names(sales, rule) == expected


def test_in_wants_lower_case_for_strings_and_exact_case_for_choices(sales):
    """IN lists strings in lower case; a capital letter matches nothing."""
    rule = {"propertyName": "dealname", "operator": "IN", "values": ["alpha press", "Beta press"]}
    assert names(sales, rule) == ["alpha"]
    rule = {"propertyName": "dealstage", "operator": "NOT_IN", "values": ["contractsent", "closedwon"]}
    assert names(sales, rule) == ["alpha"]


def test_groups_are_or_and_filters_are_and(sales):
    """Groups widen, filters narrow."""
    press = {"propertyName": "dealname", "operator": "CONTAINS_TOKEN", "value": "press"}
    sent = {"propertyName": "dealstage", "operator": "EQ", "value": "contractsent"}
    won = {"propertyName": "dealstage", "operator": "EQ", "value": "closedwon"}
    answer = search(sales, filterGroups=[{"filters": [press, sent]}, {"filters": [won]}])
    assert answer.json()["total"] == 2


def test_query_finds_words_in_the_searchable_fields(sales):
    """Free text looks at the beginnings of words."""
    assert names(sales, query="gam") == ["gamma"]


def test_one_sort_rule_and_oldest_first_without(sales):
    """Default order is by creation; records without the sort value come last; two rules are too many."""
    assert names(sales) == ["alpha", "beta", "gamma", "delta"]
    down = [{"propertyName": "amount", "direction": "DESCENDING"}]
    assert names(sales, sorts=down) == ["beta", "alpha", "delta", "gamma"]
    assert names(sales, sorts=["-dealname"])[0] == "gamma"
    assert search(sales, sorts=down * 2).status_code == 400


def test_pages_of_ten_unless_asked_up_to_two_hundred(sales):
    """after is an integer offset; past the end there is no next page."""
    first = search(sales, limit=3).json()
    assert (first["total"], len(first["results"]), first["paging"]["next"]["after"]) == (4, 3, "3")
    last = search(sales, limit=3, after="3").json()
    assert (len(last["results"]), "paging" in last) == (1, False)
    assert search(sales, limit=201).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 200, "after": 9_801},
        {"filterGroups": [{"filters": []}] * 6},
        {"filterGroups": [{"filters": [{"propertyName": "amount", "operator": "HAS_PROPERTY"}] * 7}]},
        {"filterGroups": [{"filters": [{"propertyName": "amount", "operator": "HAS_PROPERTY"}] * 5}] * 4},
        {"filterGroups": [{"filters": [{"propertyName": "nope", "operator": "HAS_PROPERTY"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "amount", "operator": "LIKE", "value": "1"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "amount", "operator": "EQ", "value": "ten"}]}]},
        {"query": "x" * 3_000},
        {"sorts": ["nope"]},
        {"after": "next"},
    ],
)
def test_over_the_limits_is_a_400(hub, body):
    """10,000 results, 5 groups, 6 filters each, 18 in all, 3,000 characters, known names only."""
    assert search(hub, **body).status_code == 400


def test_ten_thousandth_result_is_the_last(hub):
    """Paging up to exactly 10,000 is allowed."""
    assert search(hub, limit=200, after=9_800).status_code == 200


def test_new_record_shows_only_after_the_lag(hub):
    """A search right after a create misses it: never decide by search whether to create."""
    body = {"properties": {"dealname": "Fresh", "dealstage": "contractsent"}}
    ident = hub.api.post(f"/crm/objects/{V}/deals", json=body).json()["id"]
    assert search(hub).json()["total"] == 0
    assert hub.api.get(f"/crm/objects/{V}/deals/{ident}").status_code == 200
    hub.advance(2.1)
    assert search(hub).json()["total"] == 1


def test_change_shows_old_values_until_the_index_knows(hub):
    """Within the lag the index answers with what it knew."""
    hub.control("PUT", "limits", search_lag_s=30)
    body = {"properties": {"dealname": "Old", "dealstage": "contractsent"}}
    ident = hub.api.post(f"/crm/objects/{V}/deals", json=body).json()["id"]
    hub.advance(31)
    hub.api.patch(f"/crm/objects/{V}/deals/{ident}", json={"properties": {"dealname": "New"}})
    assert names(hub) == ["old"]
    hub.advance(31)
    assert names(hub) == ["new"]


def test_archived_record_is_never_found(sales):
    """Archived records leave the search."""
    rows = sales.api.get(f"/crm/objects/{V}/deals").json()["results"]
    sales.api.delete(f"/crm/objects/{V}/deals/{rows[0]['id']}")
    sales.advance(3)
    assert search(sales).json()["total"] == 3


def test_association_filter(sales):
    """associations.contact narrows to linked records."""
    contact = sales.api.post(f"/crm/objects/{V}/contacts", json={"properties": {"email": "a@example.test"}})
    contact_id = contact.json()["id"]
    deal = sales.api.get(f"/crm/objects/{V}/deals").json()["results"][1]["id"]
    sales.api.put(f"/crm/objects/{V}/deals/{deal}/associations/default/contacts/{contact_id}")
    assert names(sales, ("associations.contact", "EQ", contact_id)) == ["beta"]


def test_contacts_have_their_own_name_for_last_modified(hub):
    """lastmodifieddate on contacts, hs_lastmodifieddate elsewhere: the wrong one is a 400."""
    assert search(hub, "contacts", sorts=["lastmodifieddate"]).status_code == 200
    assert search(hub, "contacts", sorts=["hs_lastmodifieddate"]).status_code == 400


def test_keyset_by_object_id_walks_through_equal_stamps(hub):
    """Many records with one last-modified instant can be walked by hs_object_id."""
    rows = [
        {
            "object_type": "deals",
            "properties": {"dealname": str(n), "dealstage": "contractsent"},
            "created_ms": 1_780_000_000_000,
        }
        for n in range(450)
    ]
    hub.control("POST", "seed", records=rows)
    last, seen = "0", []
    while True:
        window = {
            "propertyName": "hs_lastmodifieddate",
            "operator": "BETWEEN",
            "value": "1780000000000",
            "highValue": "1780000000000",
        }
        beyond = {"propertyName": "hs_object_id", "operator": "GT", "value": last}
        body = {
            "filterGroups": [{"filters": [window, beyond]}],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "limit": 200,
        }
        page = search(hub, **body).json()["results"]
        if not page:
            break
        seen += [r["id"] for r in page]
        last = page[-1]["id"]
    assert len(seen) == len(set(seen)) == 450
