"""The pages for people: open requests, their state, their PDF, and signing by hand in a browser."""

import re

JANE = "jane@buyer.example"


def _button(page):
    return re.search(r'name="signature_id" value="([0-9a-f]+)"', page)[1]


async def test_a_person_can_sign_on_the_page_behind_signing_url(world):
    """The link in the answer opens without a key; the button signs; then it is the next one's turn."""
    request_id = await world.sent(title="<b>Contract</b>")
    world.api.auth = None
    url = f"/sign/{request_id}"
    page = (await world.api.get(url)).text
    assert "&lt;b&gt;Contract&lt;/b&gt;" in page
    assert "<b>Contract" not in page
    assert "Sign as Jane Buyer" in page
    assert "Sign as Ola Nordmann" not in page
    answer = await world.api.post(url, data={"signature_id": _button(page), "does": "sign"})
    assert [answer.status_code, answer.headers["location"]] == [303, url]
    assert "Sign as Ola Nordmann" in (await world.api.get(f"/home/manage?guid={request_id}")).text
    again = await world.api.post(url, data={"signature_id": _button(page), "does": "sign"})
    assert again.status_code == 409


async def test_the_page_has_no_button_to_decline_unless_allowed(world):
    """allow_decline false: no button; true: the reason typed in reaches the requester."""
    without, with_it = await world.sent(allow_decline=None), await world.sent()
    assert 'value="decline"' not in (await world.api.get(f"/sign/{without}")).text
    page = (await world.api.get(f"/sign/{with_it}")).text
    form = {"signature_id": _button(page), "does": "decline", "reason": "Wrong company"}
    await world.api.post(f"/sign/{with_it}", data=form)
    assert (await world.get(with_it))["signatures"][0]["decline_reason"] == "Wrong company"
    assert "Wrong company" in (await world.api.get(f"/home/manage?guid={with_it}")).text


async def test_a_cancelled_request_cannot_be_opened(world):
    """410 for the signer as well, in words."""
    request_id = await world.sent()
    await world.api.post(f"/v3/signature_request/cancel/{request_id}")
    await world.advance(1)
    answer = await world.api.get(f"/sign/{request_id}")
    assert answer.status_code == 410
    assert "was cancelled" in answer.text
    assert (await world.api.get("/home/manage?guid=nobody")).status_code == 404


async def test_the_requesters_page_shows_where_the_request_stands(world):
    """Phase, each signer's state, metadata and history; no script may run on it."""
    request_id = await world.sent(metadata={"token": "tok<0>"})
    world.api.auth = None
    url = f"/home/manage?guid={request_id}"
    before = await world.api.get(url)
    assert "Out for signature" in before.text
    assert "waits for the signers before" in before.text
    assert "tok&lt;0&gt;" in before.text
    assert "default-src 'none'" in before.headers["content-security-policy"]
    for email in (JANE, "ola@supplier.example"):
        await world.act(request_id, email, "sign")
    after = (await world.api.get(url)).text
    assert "Completed" in after
    assert re.search(r"Completed: everybody has signed.*Created by", after, re.S)
    assert "<button" not in after


async def test_the_pdf_opens_in_the_browser_once_it_is_ready(world):
    """Without a key, shown inline and not saved; while files are prepared the page says to wait."""
    request_id = await world.sent()
    world.api.auth = None
    pdf = await world.api.get(f"/home/document?guid={request_id}")
    assert pdf.content.startswith(b"%PDF")
    assert pdf.headers["content-disposition"].startswith("inline")
    await world.limits(downloadable_s=600)
    await world.act(request_id, JANE, "sign")
    busy = await world.api.get(f"/home/document?guid={request_id}")
    assert busy.status_code == 409
    assert "still being prepared" in busy.text
    assert "/home/document" not in (await world.api.get(f"/home/manage?guid={request_id}")).text


async def test_the_first_page_lists_what_was_sent_newest_first(world):
    """Title, status and signers of each; a cancelled one is listed without a link."""
    first = await world.sent(title="First one")
    await world.act(first, JANE, "sign")
    second = await world.sent(title="Second one")
    await world.api.post(f"/v3/signature_request/cancel/{second}")
    await world.advance(1)
    page = (await world.api.get("/")).text
    assert page.index("Second one") < page.index("First one")
    assert f"/home/manage?guid={first}" in page
    assert f"/home/manage?guid={second}" not in page
    assert "✓ Jane Buyer" in page
    assert "Cancelled" in page
