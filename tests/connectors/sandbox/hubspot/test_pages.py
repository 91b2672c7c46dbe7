"""The pages for people: a record as a CRM shows it, lists, and the files behind the links."""

import re

import httpx
import pytest

PORTAL = 48213377
PDF = b"%PDF-1.7 signed"


@pytest.fixture
def browser(hub):
    """Somebody without a token."""
    with httpx.Client(base_url=hub.url, trust_env=False, timeout=20) as client:
        yield client


def seed(hub, *records):
    return hub.control("POST", "seed", records=list(records))["ids"]


def a_deal(hub):
    """A deal with a labelled contact, a company and a line item."""
    ids = seed(
        hub,
        {"object_type": "companies", "key": "c", "properties": {"name": "Acme & Sons", "domain": "acme.example"}},
        {"object_type": "contacts", "key": "p", "properties": {"firstname": "Ada", "lastname": "Byron",
                                                               "email": "ada@acme.example"}},
        {"object_type": "line_items", "key": "l", "properties": {"name": "Seat", "quantity": "12", "price": "95"}},
        {"object_type": "deals", "properties": {"dealname": "Acme - inbound", "dealstage": "qualifiedtobuy",
                                                "amount": "24000", "hubspot_owner_id": "71530011"},
         "associations": [{"to_type": "companies", "to_id": "@c", "types": [5]},
                          {"to_type": "contacts", "to_id": "@p"}, {"to_type": "line_items", "to_id": "@l"}]},
    )  # fmt: skip
    return ids[3], ids[1]


def record_path(ident, kind="0-3"):
    return f"/contacts/{PORTAL}/record/{kind}/{ident}"


def note_with_file(hub, deal, body, content=PDF):
    part = {"file": ("contract.pdf", content, "application/pdf")}
    form = {"folderPath": "/contracts", "options": '{"access": "PRIVATE"}'}
    file_id = hub.api.post("/files/v3/files", files=part, data=form).json()["id"]
    link = {
        "to": {"id": deal},
        "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 214}],
    }
    values = {"hs_timestamp": "2026-11-20T10:00:00Z", "hs_note_body": body, "hs_attachment_ids": file_id}
    body = {"properties": values, "associations": [link]}
    assert hub.api.post("/crm/objects/2026-03/notes", json=body).status_code == 201
    return file_id


def test_a_deals_page_shows_what_a_rep_needs(hub, browser):
    """Name, stage on its path, money, owner, labelled contact, company, line item and both moves are there."""
    deal, contact = a_deal(hub)
    label = {"label": "Signer", "name": "signer"}
    made = hub.api.post("/crm/associations/2026-03/deals/contacts/labels", json=label).json()["results"][0]
    types = [{"associationCategory": "USER_DEFINED", "associationTypeId": made["typeId"]}]
    hub.api.put(f"/crm/objects/2026-03/deals/{deal}/associations/contacts/{contact}", json=types)
    hub.control("POST", "rep", object_type="deals", id=deal, properties={"dealstage": "contractsent"})
    answer = browser.get(record_path(deal))
    assert answer.status_code == 200
    text = answer.text
    assert "<h1>Acme - inbound</h1>" in text
    assert "24,000.00 EUR" in text
    assert re.search(r'class="now" aria-current="step"[^>]*>Contract Sent<', text)
    assert re.search(r'class="done"[^>]*>Qualified To Buy<', text)
    assert re.search(r'class="ahead"[^>]*>Closed Won<', text)
    assert re.search(r">Ada Byron</a>.*?Signer</span>", text, re.S)
    assert "Acme &amp; Sons" in text
    assert "1,140.00" in text
    assert re.search(r"Moved to Contract Sent</b>.*Mara Lindt.*Moved to Qualified To Buy</b>", text, re.S)


def test_the_path_ends_in_won_or_lost(hub, browser):
    """A won deal is marked as won; a stage that was jumped over is not marked as done."""
    deal, _ = a_deal(hub)
    hub.control("POST", "rep", object_type="deals", id=deal, properties={"dealstage": "closedwon"})
    text = browser.get(record_path(deal)).text
    assert re.search(r'class="won" aria-current="step"[^>]*>Closed Won<', text)
    assert re.search(r'class="skipped"[^>]*>Contract Sent<', text)


def test_an_attached_file_opens_from_the_time_line(hub, browser):
    """A private PDF opens in the browser without a token, also long after the page was made."""
    deal, _ = a_deal(hub)
    note_with_file(hub, deal, "<p>Signed by all.</p><p>See the file</p>")
    text = browser.get(record_path(deal)).text
    assert "Signed by all.\nSee the file" in text
    href = re.search(r'<a href="([^"]+)"[^>]*>contract.pdf', text)[1]
    hub.advance(86_400)
    opened = browser.get(href, follow_redirects=True)
    assert (opened.content, opened.headers["content-type"]) == (PDF, "application/pdf")


def test_nothing_a_stranger_wrote_becomes_markup(hub, browser):
    """Names, notes and links arrive escaped, and the page may run no script at all."""
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    (deal,) = seed(
        hub,
        {
            "object_type": "deals",
            "properties": {
                "dealname": evil,
                "dealstage": "contractsent",
                "description": "javascript:alert(3)",
            },
        },
    )
    note_with_file(hub, deal, f"<b>hello</b>{evil}&lt;i&gt;")
    for path in (record_path(deal), "/"):
        answer = browser.get(path)
        assert "<script" not in answer.text
        assert "<img" not in answer.text
        assert 'href="javascript' not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    shown = browser.get(record_path(deal)).text
    assert "hello" in shown
    assert "&lt;i&gt;" in shown


@pytest.mark.parametrize(("kind", "name"), [("0-1", "Ada Byron"), ("0-2", "Acme &amp; Sons")])
def test_contacts_and_companies_have_pages_too(hub, browser, kind, name):
    """Their own page leads back to the deal; their list shows them."""
    deal, _ = a_deal(hub)
    listed = browser.get(f"/contacts/{PORTAL}/objects/{kind}/views/all/list").text
    href = re.search(rf'href="(/contacts/{PORTAL}/record/{kind}/\d+)">{name}<', listed)[1]
    text = browser.get(href).text
    assert f"<h1>{name}</h1>" in text
    assert record_path(deal) in text


def test_the_first_page_lists_the_deals(hub, browser):
    """Last changed first, with stage, amount and company, each leading to its page."""
    deal, _ = a_deal(hub)
    (later,) = seed(
        hub, {"object_type": "deals", "properties": {"dealname": "Later", "dealstage": "closedlost"}}
    )
    text = browser.get("/").text
    assert text.index(record_path(later)) < text.index(record_path(deal))
    assert "Acme &amp; Sons" in text
    assert '<span class="pill bad">Closed Lost</span>' in text


def test_merged_archived_and_missing_records_say_so(hub, browser):
    """An old id shows the survivor, the recycle bin is shown, and an unknown record is a 404 page."""
    deal, _ = a_deal(hub)
    (other,) = seed(
        hub, {"object_type": "deals", "properties": {"dealname": "Twin", "dealstage": "contractsent"}}
    )
    merge = {"primaryObjectId": deal, "objectIdToMerge": other}
    hub.api.post("/crm/objects/2026-03/deals/merge", json=merge)
    assert "was merged" in browser.get(record_path(other)).text
    hub.api.delete(f"/crm/objects/2026-03/deals/{deal}")
    assert "recycle bin" in browser.get(record_path(deal)).text
    for path in (record_path(1), record_path(deal, "0-999"), record_path(deal).replace(str(PORTAL), "1"),
                 f"/contacts/{PORTAL}/files/1"):  # fmt: skip
        answer = browser.get(path)
        assert answer.status_code == 404
        assert "Nothing here" in answer.text


def test_pages_leave_no_trace(hub, browser):
    """Viewing pages adds no row to the request log, meets no fault and uses no limit."""
    deal, _ = a_deal(hub)
    hub.control("POST", "faults", kind="status", path=".*", method="GET", status=503, times=1)
    before = hub.control("GET", "requests")["total"]
    assert browser.get(record_path(deal)).status_code == 200
    assert browser.get("/").status_code == 200
    assert hub.control("GET", "requests")["total"] == before
    assert hub.api.get("/crm/objects/2026-03/deals").status_code == 503
