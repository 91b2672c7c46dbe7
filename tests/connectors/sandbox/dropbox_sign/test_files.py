"""Downloaded documents: when they are available, what they contain, and that they do not change."""

import base64
import hashlib
import io
import zipfile

import pytest
from pypdf import PdfReader

JANE, OLA = "jane@buyer.example", "ola@supplier.example"


def _text(pdf):
    return [page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages]


async def _files(world, request_id, **params):
    return await world.api.get(f"/v3/signature_request/files/{request_id}", params=params)


async def _signed(world, **change):
    request_id = await world.sent(**change)
    await world.act(request_id, JANE, "sign")
    await world.act(request_id, OLA, "sign")
    await world.advance(2)
    return request_id


async def test_files_are_409_while_they_are_prepared(world):
    """Right after the send, and between the last signature and `downloadable`."""
    await world.limits(processing_s=3600)
    answer = await world.send()
    request_id = answer.json()["signature_request"]["signature_request_id"]
    assert (await _files(world, request_id)).status_code == 409
    await world.advance(3700)
    await world.until(lambda: "signature_request_sent" in world.receiver.types())
    await world.limits(downloadable_s=3600)
    await world.act(request_id, JANE, "sign")
    await world.act(request_id, OLA, "sign")
    await world.advance(3500)
    refused = await _files(world, request_id)
    assert [refused.status_code, refused.json()["error"]["error_name"]] == [409, "conflict"]
    assert "signature_request_downloadable" not in world.receiver.types()
    await world.advance(200)
    assert (await _files(world, request_id)).status_code == 200
    await world.until(lambda: "signature_request_downloadable" in world.receiver.types())


async def test_a_pdf_in_hand_does_not_prove_completion(world):
    """The current state is available before anybody signed: no signatures on it, and it says so."""
    request_id = await world.sent()
    early = await _files(world, request_id)
    assert early.headers["content-type"] == "application/pdf"
    pages = _text(early.content)
    assert "In progress" in pages[-1]
    assert "Jane Buyer" not in pages[0]


async def test_downloadable_may_come_before_completion(world):
    """If configured, each signature announces new files: the event alone proves nothing."""
    await world.limits(downloadable_early=True)
    request_id = await world.sent()
    await world.act(request_id, JANE, "sign")
    await world.advance(2)
    await world.until(lambda: "signature_request_downloadable" in world.receiver.types())
    event = world.receiver.last("signature_request_downloadable")
    assert event["signature_request"]["is_complete"] is False


async def test_the_signed_pdf_shows_signatures_merge_fields_and_the_audit_trail(world, make_contract):
    """Names and dates at the tags, the price where it belongs, then a page with hash, signers and times."""
    contract = make_contract()
    request_id = await _signed(
        world,
        files=[("contract.pdf", contract)],
        custom_fields=[{"name": "Price", "value": "EUR 12,000"}, {"name": "Typo", "value": "lost"}],
    )
    content = (await _files(world, request_id)).content
    first, audit = _text(content)
    for wanted in ("Contract", "Jane Buyer", "Ola Nordmann", "EUR 12,000", "TEST MODE", JANE):
        assert wanted in first
    assert "lost" not in first
    joined = audit.replace("\n", "")
    for wanted in (
        "Completed", "Test mode", request_id, JANE, OLA, hashlib.sha256(contract).hexdigest(),
        "Signed by Jane Buyer", "Completed: everybody has signed", "UTC",
    ):  # fmt: skip
        assert wanted in joined


async def test_stamps_stand_where_the_tags_stood(world, make_contract):
    """A signature begins where its tag began, to the point."""
    request_id = await _signed(world)
    content = (await _files(world, request_id)).content
    places = {}

    def visit(text, cm, tm, _font, _size):
        x, y = tm[4] * cm[0] + tm[5] * cm[2] + cm[4], tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
        for word in ("[sig|req|signer1]", "[sig|req|signer2]", "Jane Buyer", "Ola Nordmann"):
            if word in text:
                places[word] = (x, y)

    PdfReader(io.BytesIO(content)).pages[0].extract_text(visitor_text=visit)
    for tag, name in (("[sig|req|signer1]", "Jane Buyer"), ("[sig|req|signer2]", "Ola Nordmann")):
        assert places[name] == pytest.approx(places[tag], abs=2)


async def test_without_test_mode_there_is_no_watermark(world):
    """A binding request's pages are left clean."""
    request_id = await _signed(world, test_mode=False)
    first = _text((await _files(world, request_id)).content)[0]
    assert "Jane Buyer" in first
    assert "TEST MODE" not in first


async def test_the_date_is_written_as_asked_for(world):
    """field_options.date_format rules the date fields."""
    request_id = await world.sent(field_options={"date_format": "YYYY - MM - DD"})
    await world.act(request_id, JANE, "sign")
    dates = [r["value"] for r in (await world.get(request_id))["response_data"] if r["type"] == "date_signed"]
    assert dates == [world.clock.now().strftime("%Y - %m - %d")]


async def test_all_documents_come_merged_or_as_a_zip(world, make_contract):
    """Two uploads: one PDF in their order, or a ZIP with each and the audit trail."""
    request_id = await _signed(world, files=[("b.pdf", make_contract()), ("notes.txt", b"Terms of delivery")])
    pages = _text((await _files(world, request_id)).content)
    assert len(pages) == 3
    assert "Terms of delivery" in pages[1]
    zipped = await _files(world, request_id, file_type="zip")
    assert zipped.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(zipped.content)) as archive:
        assert archive.namelist() == ["01_b.pdf", "02_notes.pdf", "audit_trail.pdf"]
        assert "Jane Buyer" in _text(archive.read("01_b.pdf"))[0]
    assert (await _files(world, request_id, file_type="docx")).status_code == 400


async def test_the_bytes_do_not_change_between_downloads(world):
    """File, link and data URI give the same bytes, and the state names their hash."""
    request_id = await _signed(world)
    one, two = (await _files(world, request_id)).content, (await _files(world, request_id)).content
    uri = (await world.api.get(f"/v3/signature_request/files_as_data_uri/{request_id}")).json()["data_uri"]
    link = (await world.api.get(f"/v3/signature_request/files_as_file_url/{request_id}")).json()
    world.api.auth = None
    three = (await world.api.get(link["file_url"])).content
    assert one == two == three == base64.b64decode(uri.removeprefix("data:application/pdf;base64,"))
    row = await world.state(request_id)
    assert row["signed_sha256"] == hashlib.sha256(one).hexdigest()
    assert row["original_sha256"] != row["signed_sha256"]


async def test_a_link_does_not_live_long(world):
    """After its expires_at the link fails, and so does an invented one."""
    request_id = await _signed(world)
    link = (await world.api.get(f"/v3/signature_request/files_as_file_url/{request_id}")).json()
    assert 0 < link["expires_at"] - world.clock.now_s() <= 600
    await world.advance(601)
    assert (await world.api.get(link["file_url"])).status_code == 403
    assert (await world.api.get("/download/0000")).status_code == 404


async def test_hidden_tags_are_covered(world, make_contract):
    """hide_text_tags paints over the tags: white boxes reach the page."""
    plain, hidden = await _signed(world), await _signed(world, hide_text_tags=True)
    sizes = []
    for request_id in (plain, hidden):
        page = PdfReader(io.BytesIO((await _files(world, request_id)).content)).pages[0]
        sizes.append(
            page.get_contents().get_data().count(b" re\n") + page.get_contents().get_data().count(b"\nf\n")
        )
    assert sizes[1] > sizes[0]
