"""File manager routes, and the addresses under which files themselves are served."""

import json
from typing import Any

from fastapi import Response
from starlette.datastructures import UploadFile

from connectors.sandbox.hubspot_server.errors import Refusal, bad_json, html_page, not_found
from connectors.sandbox.hubspot_server.records.filestore import ACCESS, SIGNED_FOR_S, Upload
from connectors.sandbox.hubspot_server.times import instant
from connectors.sandbox.hubspot_server.web import Call, Site

BASES = ("/files/{version}/files", "/files/v3/files")
FOLDERS = ("/files/{version}/folders", "/files/v3/folders")
MAX_SIGNED_S = 7 * 86_400


def mount(site: Site) -> None:
    """Add the routes."""
    one = [f"{b}/{{file_id}}" for b in BASES]
    site.serve("POST", BASES, upload)
    site.serve("GET", [f"{b}/search" for b in BASES], search)
    site.serve("GET", one, read)
    site.serve("PATCH", one, update)
    site.serve("PUT", one, replace)
    site.serve("DELETE", one, archive)
    site.serve("DELETE", [f"{o}/gdpr-delete" for o in one], privacy_delete)
    site.serve("GET", [f"{o}/signed-url" for o in one], signed_url)
    site.serve("POST", FOLDERS, create_folder)
    site.serve("GET", [f"{f}/{{folder_id}}" for f in FOLDERS], read_folder)
    site.serve("GET", ["/signed-url-redirect/{portal_id}/{file_id}"], download)
    site.serve("GET", ["/hubfs/{portal_id}/{path:path}"], public)


async def upload(call: Call) -> tuple[int, Any]:
    """Store one file from a multipart request."""
    portal = call.portal
    stored = portal.files.store(await _upload(call))
    return 201, portal.files.shown(stored, portal.public_url)


async def replace(call: Call) -> tuple[int, Any]:
    """New bytes for a file."""
    portal = call.portal
    stored = portal.files.replace(call.args["file_id"], await _upload(call, file_name="replaced"))
    return 200, portal.files.shown(stored, portal.public_url)


async def read(call: Call) -> tuple[int, Any]:
    """One file's data."""
    portal = call.portal
    return 200, portal.files.shown(portal.files.one(call.args["file_id"]), portal.public_url)


async def search(call: Call) -> tuple[int, Any]:
    """Files by name, path, folder or checksum, oldest first."""
    portal = call.portal
    rows = [portal.files.shown(f, portal.public_url) for f in portal.files.live()]
    for parameter, key in (("name", "name"), ("fileMd5", "fileMd5"), ("extension", "extension")):
        wanted = call.text(parameter)
        if wanted is not None:
            rows = [r for r in rows if r[key] == wanted]
    folders = call.names("parentFolderIds")
    if folders:
        rows = [r for r in rows if r.get("parentFolderId") in folders]
    path = call.text("path")
    if path is not None:
        rows = [r for r in rows if r["path"] == path]
    limit = call.number("limit", 20, 100)
    after = call.text("after") or "0"
    start = int(after) if after.isdigit() else 0
    answer: dict[str, Any] = {"results": rows[start : start + limit]}
    if start + limit < len(rows):
        answer["paging"] = {"next": {"after": str(start + limit)}}
    return 200, answer


async def update(call: Call) -> tuple[int, Any]:
    """Rename a file, move it or change its access."""
    portal, body = call.portal, call.body()
    file = portal.files.one(call.args["file_id"])
    if "access" in body:
        if body["access"] not in ACCESS:
            raise Refusal(400, f"access must be one of {sorted(ACCESS)}")
        file.access = str(body["access"])
    if body.get("name"):
        file.name = str(body["name"])
    if body.get("parentFolderPath"):
        file.folder = portal.files.folder(str(body["parentFolderPath"]))
    file.updated_ms = portal.bench.clock.now_ms()
    return 200, portal.files.shown(file, portal.public_url)


async def archive(call: Call) -> tuple[int, Any]:
    """Archive a file."""
    call.portal.files.delete(call.args["file_id"])
    return 204, None


async def privacy_delete(call: Call) -> tuple[int, Any]:
    """Delete a file permanently."""
    files = call.portal.files
    files.one(call.args["file_id"])
    del files.files[call.args["file_id"]]
    return 204, None


async def signed_url(call: Call) -> tuple[int, Any]:
    """A URL that serves a file, private ones too, until it expires (seconds, virtual clock)."""
    portal = call.portal
    file = portal.files.one(call.args["file_id"])
    lasts_s = call.number("expirationSeconds", SIGNED_FOR_S, MAX_SIGNED_S)
    expires_ms = portal.bench.clock.now_ms() + lasts_s * 1000
    signature = portal.files.sign(file.id, expires_ms)
    shown = portal.files.shown(file, portal.public_url)
    return 200, {
        "url": f"{portal.public_url}/signed-url-redirect/{portal.portal_id}/{file.id}"
        f"?expires={expires_ms}&signature={signature}",
        "expiresAt": instant(expires_ms),
        "name": file.name,
        "extension": file.extension,
        "type": shown["type"],
        "size": len(file.content),
    }


async def create_folder(call: Call) -> tuple[int, Any]:
    """Create a folder under a parent path."""
    body = call.body()
    if not body.get("name"):
        raise Refusal(400, "A folder needs a name")
    parent = str(body.get("parentPath") or "")
    return 201, call.portal.files.folder(f"{parent}/{body['name']}").shown()


async def read_folder(call: Call) -> tuple[int, Any]:
    """One folder."""
    ident = call.args["folder_id"]
    found = next((f for f in call.portal.files.folders.values() if f.id == ident), None)
    if found is None:
        raise not_found("Folder", ident)
    return 200, found.shown()


async def download(call: Call) -> Response:
    """The bytes behind a signed URL; needs no token."""
    expires = call.text("expires") or ""
    file = call.portal.files.opened(
        call.args["file_id"], int(expires) if expires.isdigit() else 0, call.text("signature") or ""
    )
    return Response(file.content, media_type=file.media_type)


async def public(call: Call) -> Response:
    """The bytes of a public file; a private one is not found."""
    path = "/" + call.args["path"]
    found = next((f for f in call.portal.files.live() if f.path == path and f.public), None)
    if found is None:
        return Response(html_page(404, "Not Found"), 404, media_type="text/html")
    return Response(found.content, media_type=found.media_type)


async def _upload(call: Call, *, file_name: str | None = None) -> Upload:
    if "multipart/form-data" not in call.request.headers.get("content-type", ""):
        raise Refusal(415, "Unsupported Media Type: multipart/form-data was expected")
    form = await call.request.form()
    files = form.getlist("file")
    if len(files) != 1 or not isinstance(files[0], UploadFile):
        raise Refusal(400, "Exactly one file is expected in the part named file")
    try:
        options = json.loads(str(form.get("options") or "{}"))
    except ValueError:
        raise bad_json("options is not JSON") from None
    if not isinstance(options, dict):
        raise bad_json("options must be an object")
    part = files[0]
    given = form.get("fileName")
    name = str(given) if given else (part.filename or file_name or "")
    if not name:
        raise Refusal(400, "The file has no name")
    return Upload(
        await part.read(),
        name,
        part.content_type or "application/octet-stream",
        _text(form.get("folderPath")),
        _text(form.get("folderId")),
        options,
    )


def _text(value: Any) -> str | None:
    return str(value) if value else None
