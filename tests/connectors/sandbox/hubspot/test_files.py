"""The file manager: uploads that can be repeated, private files behind signed URLs."""

import hashlib
import json

import httpx
import pytest

V = "2026-09"
SAFE = {
    "access": "PRIVATE",
    "duplicateValidationScope": "EXACT_FOLDER",
    "duplicateValidationStrategy": "RETURN_EXISTING",
}


def upload(hub, content=b"%PDF-1", name="contract.pdf", folder="/dealflow/deal-1", options=SAFE, **fields):
    data = {"options": json.dumps(options), "folderPath": folder, "fileName": name, **fields}
    data = {k: v for k, v in data.items() if v is not None}
    return hub.api.post(
        f"/files/{V}/files", data=data, files={"file": ("upload.pdf", content, "application/pdf")}
    )


def test_upload_is_stored_with_its_bytes(hub):
    """201 with id, path and size; the state names the checksum."""
    made = upload(hub, b"%PDF-abc")
    assert made.status_code == 201
    body = made.json()
    assert (body["name"], body["extension"], body["size"]) == ("contract", "pdf", 8)
    assert body["path"] == "/dealflow/deal-1/contract.pdf"
    row = hub.control("GET", "state?type=files")["files"][0]
    assert (row["id"], row["size"]) == (body["id"], 8)
    assert row["sha256"] == hashlib.sha256(b"%PDF-abc").hexdigest()


def test_repeated_upload_returns_the_existing_file(hub):
    """RETURN_EXISTING within EXACT_FOLDER makes an upload safe to repeat."""
    first, second = upload(hub), upload(hub)
    assert first.json()["id"] == second.json()["id"]
    assert hub.control("GET", "state")["files"] == 1


def test_same_name_with_other_content_is_another_file(hub):
    """The content counts: another document under the same name gets a number."""
    first, second = upload(hub, b"one"), upload(hub, b"two")
    assert first.json()["id"] != second.json()["id"]
    assert second.json()["name"] == "contract-1"


def test_same_file_in_another_folder_is_another_file(hub):
    """EXACT_FOLDER looks in one folder only; ENTIRE_PORTAL everywhere."""
    first = upload(hub)
    assert upload(hub, folder="/dealflow/deal-2").json()["id"] != first.json()["id"]
    wide = {**SAFE, "duplicateValidationScope": "ENTIRE_PORTAL"}
    assert upload(hub, folder="/dealflow/deal-3", options=wide).json()["id"] == first.json()["id"]


def test_duplicate_can_be_refused_or_allowed(hub):
    """REJECT is a 409, NONE stores a second file."""
    upload(hub)
    refuse = {**SAFE, "duplicateValidationStrategy": "REJECT"}
    assert upload(hub, options=refuse).status_code == 409
    assert upload(hub, options={"access": "PRIVATE"}).status_code == 201
    assert hub.control("GET", "state")["files"] == 2


@pytest.mark.parametrize(
    "change",
    [
        {"options": {}},
        {"options": {"access": "SECRET"}},
        {"options": {"access": "PRIVATE", "ttl": "PT1H"}},
        {"options": {"access": "PRIVATE", "ttl": "P2Y"}},
        {"folder": None},
        {"folderId": "1"},
    ],
)
def test_bad_upload_is_refused(hub, change):
    """Access is required, one of folderId and folderPath, ttl from a day to a year."""
    assert upload(hub, **change).status_code == 400
    assert hub.control("GET", "state")["files"] == 0


def test_upload_needs_multipart(hub):
    """JSON is the wrong kind of body."""
    assert hub.api.post(f"/files/{V}/files", json={"file": "x"}).status_code == 415


def test_private_url_is_404_and_the_signed_one_serves(hub):
    """A private file is reached only through its signed URL, without a token, until it expires."""
    made = upload(hub, b"%PDF-private").json()
    assert httpx.get(made["url"], trust_env=False).status_code == 404
    signed = hub.api.get(f"/files/{V}/files/{made['id']}/signed-url?expirationSeconds=60").json()
    answer = httpx.get(signed["url"], trust_env=False)
    assert (answer.status_code, answer.content) == (200, b"%PDF-private")
    assert answer.headers["content-type"] == "application/pdf"
    assert httpx.get(signed["url"][:-1], trust_env=False).status_code == 403
    hub.advance(61)
    assert httpx.get(signed["url"], trust_env=False).status_code == 403


def test_public_file_is_served_under_its_url(hub):
    """A public file needs no signature."""
    made = upload(hub, b"logo", name="logo.png", options={"access": "PUBLIC_NOT_INDEXABLE"}).json()
    assert httpx.get(made["url"], trust_env=False).content == b"logo"


def test_file_can_be_replaced_and_changed(hub):
    """PUT changes the bytes and keeps the id; PATCH changes who sees it."""
    made = upload(hub).json()
    path = f"/files/{V}/files/{made['id']}"
    options = {"options": json.dumps({"access": "PRIVATE"})}
    assert hub.api.put(path, data=options, files={"file": ("x.pdf", b"longer bytes")}).json()["size"] == 12
    changed = hub.api.patch(path, json={"access": "PUBLIC_NOT_INDEXABLE", "name": "final"}).json()
    assert (changed["access"], changed["path"]) == ("PUBLIC_NOT_INDEXABLE", "/dealflow/deal-1/final.pdf")


def test_archived_file_is_gone(hub):
    """After DELETE the file is 404, also when deleted again; its place is free."""
    made = upload(hub).json()
    path = f"/files/{V}/files/{made['id']}"
    assert [hub.api.delete(path).status_code for _ in range(2)] == [204, 404]
    assert hub.api.get(path).status_code == 404
    assert upload(hub).json()["id"] != made["id"]


def test_time_to_live_deletes_for_good(hub):
    """A file with a ttl is gone when its time is up."""
    made = upload(hub, options={**SAFE, "ttl": "P1D"}).json()
    hub.advance(86_401)
    assert hub.api.get(f"/files/{V}/files/{made['id']}").status_code == 404


def test_files_can_be_found(hub):
    """Search narrows by name and folder."""
    made = upload(hub, name="a.pdf").json()
    upload(hub, name="b.pdf")
    found = hub.api.get(f"/files/{V}/files/search", params={"name": "a"}).json()["results"]
    assert [f["id"] for f in found] == [made["id"]]
    folder = hub.api.get(f"/files/2026-03/folders/{made['parentFolderId']}").json()
    assert folder["path"] == "/dealflow/deal-1"
