"""What we rely on in Dropbox Sign, on the stand-in and on a real test account. One test, for it sends one e-mail."""

import os

import typst

REQUEST = "/v3/signature_request"


def contract():
    """A page with text tags for one signer."""
    page = (
        '= Test\n#text(fill: white)[#"[sig|req|signer1]"]\n#v(1cm)\n#text(fill: white)[#"[date|req|signer1]"]'
    )
    return bytes(typst.compile(page.encode(), ignore_system_fonts=True))


def send(place, signer):
    """One test-mode request to one signer; cancelled after the test."""
    form = {
        "title": f"Dealflow contract test {place.mark}",
        "subject": "Automated test, please ignore",
        "message": "This request is not binding and will be cancelled.",
        "signers[0][name]": "Contract Test",
        "signers[0][email_address]": signer,
        "metadata[dealflow_token]": place.mark,
        "metadata[revision]": "1",
        "use_text_tags": "1",
        "test_mode": "1",
    }
    files = {"files[0]": ("contract.pdf", contract(), "application/pdf")}
    made = place.ok("POST", f"{REQUEST}/send", data=form, files=files)["signature_request"]
    request_id = made["signature_request_id"]
    place.undo.append(lambda: place.call("POST", f"{REQUEST}/cancel/{request_id}"))
    return made


def test_a_requests_life(sign):
    """Sent in test mode, read back, found by its metadata, its file had, reminded once only, cancelled for good."""
    account = sign.ok("GET", "/v3/account")["account"]
    signer = os.environ.get("DEALFLOW_TEST_DROPBOX_SIGN_SIGNER") or account["email_address"]
    made = send(sign, signer if sign.live else "jane@buyer.example")
    request_id = made["signature_request_id"]
    assert made["test_mode"] is True
    assert made["metadata"] == {"dealflow_token": sign.mark, "revision": "1"}
    shown = sign.ok("GET", f"{REQUEST}/{request_id}")["signature_request"]
    assert (shown["is_complete"], shown["is_declined"], shown["has_error"]) == (False, False, False)
    assert [s["status_code"] for s in shown["signatures"]] == ["awaiting_signature"]
    found_by_its_token(sign, request_id)
    pdf = sign.until(lambda: file_of(sign, request_id))
    assert pdf.startswith(b"%PDF")
    reminded_once_only(sign, request_id, shown["signatures"][0]["signer_email_address"])
    cancelled = sign.call("POST", f"{REQUEST}/cancel/{request_id}")
    assert cancelled.status_code == 200
    sign.until(lambda: sign.call("GET", f"{REQUEST}/{request_id}").status_code == 410, within_s=300)


def found_by_its_token(sign, request_id):
    """The index lags; what it then finds is this request and no other."""

    def found():
        query = {"query": f"metadata:{sign.mark}", "page_size": "20"}
        rows = sign.ok("GET", f"{REQUEST}/list", params=query)["signature_requests"]
        return [r["signature_request_id"] for r in rows if r["metadata"].get("dealflow_token") == sign.mark]

    assert sign.until(found, within_s=180) == [request_id]


def file_of(sign, request_id):
    """The PDF, or nothing while it is being prepared."""
    answer = sign.call("GET", f"{REQUEST}/files/{request_id}", params={"file_type": "pdf"})
    assert answer.status_code in (200, 409), answer.text
    return answer.content if answer.status_code == 200 else None


def reminded_once_only(sign, request_id, email):
    """Whether or not the first reminder is early, a second one within the hour is refused by name."""
    path, body = f"{REQUEST}/remind/{request_id}", {"email_address": email}
    first = sign.call("POST", path, json=body)
    assert first.status_code in (200, 400), first.text
    second = sign.call("POST", path, json=body)
    assert second.status_code == 400
    assert second.json()["error"]["error_name"] in ("invalid_reminder", "bad_request")


def test_a_wrong_key_is_reported(sign):
    """401 with the vendor's own error body."""
    answer = sign.call("GET", "/v3/account", auth=("bad-key", ""))
    assert answer.status_code == 401
    assert answer.json()["error"]["error_name"] == "unauthorized"
