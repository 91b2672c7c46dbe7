"""The page for people: signing by hand in a browser."""

import re

JANE = "jane@buyer.example"


async def test_a_person_can_sign_on_the_page_behind_signing_url(world):
    """The link in the answer opens without a key; the button signs; then it is the next one's turn."""
    request_id = await world.sent(title="<b>Contract</b>")
    world.api.auth = None
    url = f"/sign/{request_id}"
    page = (await world.api.get(url)).text
    assert "&lt;b&gt;Contract&lt;/b&gt;" in page
    assert "Sign as Jane Buyer" in page
    assert "Sign as Ola Nordmann" not in page
    signature_id = re.search(r'name="signature_id" value="([0-9a-f]+)"', page)[1]
    answer = await world.api.post(url, data={"signature_id": signature_id, "does": "sign"})
    assert [answer.status_code, answer.headers["location"]] == [303, url]
    assert "Sign as Ola Nordmann" in (await world.api.get(f"/home/manage?guid={request_id}")).text
    again = await world.api.post(url, data={"signature_id": signature_id, "does": "sign"})
    assert again.status_code == 409


async def test_the_page_has_no_button_to_decline_unless_allowed(world):
    """allow_decline false: no button; true: the reason typed in reaches the requester."""
    without, with_it = await world.sent(allow_decline=None), await world.sent()
    assert 'value="decline"' not in (await world.api.get(f"/sign/{without}")).text
    page = (await world.api.get(f"/sign/{with_it}")).text
    signature_id = re.search(r'name="signature_id" value="([0-9a-f]+)"', page)[1]
    form = {"signature_id": signature_id, "does": "decline", "reason": "Wrong company"}
    await world.api.post(f"/sign/{with_it}", data=form)
    assert (await world.get(with_it))["signatures"][0]["decline_reason"] == "Wrong company"


async def test_a_cancelled_request_cannot_be_opened(world):
    """410 for the signer as well."""
    request_id = await world.sent()
    await world.api.post(f"/v3/signature_request/cancel/{request_id}")
    await world.advance(1)
    assert (await world.api.get(f"/sign/{request_id}")).status_code == 410
