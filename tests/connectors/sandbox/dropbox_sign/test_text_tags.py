"""Text tags are read from the PDF; a mistake in them fails after the 200, as the vendor's does."""

import io

import pytest
from pypdf import PdfReader, PdfWriter

from connectors.sandbox.dropbox_sign_server.texttags import TagError, find_tags


def _fields(pdf):
    return find_tags(PdfReader(io.BytesIO(pdf)), 0)


async def test_every_type_of_tag_is_found_where_it_stands(make_contract):
    """Type, need, signer, label and id are read; places follow the order on the page."""
    pdf = make_contract(
        "[sig|req|signer1|Signature|sig_1]",
        "[initial|req|signer1]",
        "[date|noreq|signer2]",
        "[text|noreq|signer2|Purchase order|po]",
        "[check|whatever|signer1|Agreed|agreed]",
    )
    found = _fields(pdf)
    assert [(f.type, f.required, f.signer, f.name) for f in found] == [
        ("text-merge", False, None, "Price"),
        ("signature", True, 0, "Signature"),
        ("initials", True, 0, ""),
        ("date_signed", False, 1, ""),
        ("text", False, 1, "Purchase order"),
        ("checkbox", True, 0, "Agreed"),  # req where the word is not understood
    ]
    assert [f.api_id for f in found if f.name] == ["price_1", "sig_1", "po", "agreed"]
    heights = [f.y for f in found[1:]]
    assert heights == sorted(heights, reverse=True)
    assert all(70 < f.x < 72 and 0 < f.y < 842 for f in found[1:])


@pytest.mark.parametrize("tag", ["[stamp|req|signer1]", "[sig|req|buyer]", "[sig|req|]"])
async def test_a_tag_that_means_nothing_is_an_error(make_contract, tag):
    """An unknown type or assignee does not pass silently."""
    with pytest.raises(TagError):
        _fields(make_contract(tag))


async def test_ordinary_brackets_are_not_tags(make_contract):
    """Square brackets in a contract's text are harmless."""
    assert [f.name for f in _fields(make_contract("[see annex 1]", "[a or b]"))] == ["Price"]


@pytest.mark.parametrize(
    ("tags", "about"),
    [
        (("[sig|req|signer1]",), "Signer 2 has no signature field"),
        (("[sig|req|signer1]", "[date|req|signer2]"), "Signer 2 has no signature field"),
        (("[sig|req|signer1]", "[sig|req|signer2]", "[sig|req|signer3]"), "labeled signer 3"),
        (("[sig|req|signer0]", "[sig|req|signer1]", "[sig|req|signer2]"), "labeled signer 0"),
        (("[sig|req|sender]", "[sig|req|signer1]", "[sig|req|signer2]"), "cannot be assigned to the sender"),
        (("[text|req|signer1|A|same]", "[text|req|signer1|B|same]", "[sig|req|signer1]", "[sig|req|signer2]"),
         "not unique"),
    ],
)  # fmt: skip
async def test_wrong_tags_are_accepted_and_then_fail_by_event(world, make_contract, tags, about):
    """200 first; then signature_request_invalid says why, has_error is true, and nobody is asked to sign."""
    answer = await world.send(files=[("contract.pdf", make_contract(*tags))])
    assert answer.status_code == 200
    assert answer.json()["signature_request"]["has_error"] is False
    await world.until(lambda: "signature_request_invalid" in world.receiver.types())
    event = world.receiver.last("signature_request_invalid")
    assert about in event["event"]["event_metadata"]["event_message"]
    assert event["signature_request"]["has_error"] is True
    shown = await world.get(answer.json()["signature_request"]["signature_request_id"])
    assert shown["has_error"] is True
    assert all(s["status_code"] == "error_text_tag" and s["error"] for s in shown["signatures"])
    assert "signature_request_sent" not in world.receiver.types()
    refused = await world.api.get(f"/v3/signature_request/files/{shown['signature_request_id']}")
    assert refused.status_code == 422


@pytest.mark.parametrize(
    ("name", "content"),
    [("contract.pdf", b"%PDF-1.7 this is not one"), ("contract.exe", b"MZ..."), ("contract", b"no type")],
)
async def test_a_broken_document_fails_by_event(world, name, content):
    """A file that cannot be processed is accepted, then file_error is sent."""
    answer = await world.send(files=[(name, content)])
    assert answer.status_code == 200
    await world.until(lambda: "file_error" in world.receiver.types())
    event = world.receiver.last("file_error")
    assert name in event["event"]["event_metadata"]["event_message"]
    assert event["signature_request"]["has_error"] is True


async def test_a_locked_pdf_fails_by_event(world, make_contract):
    """An encrypted contract cannot be processed."""
    writer = PdfWriter(clone_from=io.BytesIO(make_contract()))
    writer.encrypt("secret", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    await world.send(files=[("contract.pdf", out.getvalue())])
    await world.until(lambda: "file_error" in world.receiver.types())


async def test_without_tags_a_signature_page_is_appended_and_blocks_updates(world, make_contract):
    """The page carries a place for each signer; afterwards /update is refused."""
    request_id = await world.sent(use_text_tags=None)
    row = await world.state(request_id)
    assert row["appended_page"] is True
    assert [f["name"] for f in row["files"]] == ["contract.pdf", "signature_page.pdf"]
    assert {f["signer"] for f in row["fields"] if f["type"] == "signature"} == {0, 1}
    signature_id = (await world.get(request_id))["signatures"][0]["signature_id"]
    refused = await world.api.post(
        f"/v3/signature_request/update/{request_id}", json={"signature_id": signature_id, "name": "New"}
    )
    assert refused.status_code == 400


async def test_tags_are_not_read_unless_asked_for(world, make_contract):
    """use_text_tags off: the tags in the file mean nothing, wrong ones neither."""
    request_id = await world.sent(use_text_tags=None, files=[("c.pdf", make_contract("[sig|req|signer9]"))])
    assert (await world.get(request_id))["has_error"] is False


def _handmade(content):
    """The smallest PDF with this content stream on one A4 page."""
    parts = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, starts = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, start=1):
        starts.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % start for start in starts)
    return out + (
        b"xref\n0 6\n0000000000 65535 f \n%strailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
        % (table, len(out))
    )


async def test_tags_are_found_in_pieces_and_on_scaled_pages():
    """Other programs split words and scale pages: the tag's position is still right."""
    pdf = _handmade(
        b"BT /F1 12 Tf 72 700 Td ([sig|re) Tj (q|sig) Tj (ner1]) Tj ET "
        b"BT /F1 12 Tf 72 600 Td [([te) -20 (xt|noreq|signer1|La) 10 (bel|po])] TJ ET "
        b"q 2 0 0 2 0 0 cm BT /F1 6 Tf 50 100 Td ([date|req|signer1]) Tj ET Q"
    )
    found = [(f.type, f.name, round(f.x), round(f.y), round(f.height)) for f in _fields(pdf)]
    assert found == [
        ("signature", "", 72, 700, 12),
        ("text", "Label", 72, 600, 12),
        ("date_signed", "", 100, 200, 12),
    ]
