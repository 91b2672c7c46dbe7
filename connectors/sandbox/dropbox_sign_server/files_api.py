"""Routes that return documents: the file itself, a short-lived link, or a data URI."""

import base64
from typing import Any

from fastapi import APIRouter, Request, Response

from connectors.sandbox.dropbox_sign_server.errors import VendorError, bad
from connectors.sandbox.dropbox_sign_server.records import SignatureRequest
from connectors.sandbox.dropbox_sign_server.rendering import rendered
from connectors.sandbox.dropbox_sign_server.state import State


def files_router(state: State) -> APIRouter:
    """`files`, `files_as_file_url`, `files_as_data_uri` and the link that the second one returns."""
    router = APIRouter()

    @router.get("/v3/signature_request/files/{signature_request_id}")
    async def files(signature_request_id: str, request: Request) -> Response:
        """The documents in their present state, also before everybody has signed."""
        kind = request.query_params.get("file_type", "pdf")
        if kind not in ("pdf", "zip"):
            raise bad("file_type must be pdf or zip", "file_type")
        content = await rendered(state, downloadable(state, signature_request_id), kind)
        return Response(
            content,
            media_type=f"application/{kind}",
            headers={"Content-Disposition": f'attachment; filename="{signature_request_id}.{kind}"'},
        )

    @router.get("/v3/signature_request/files_as_file_url/{signature_request_id}")
    async def files_as_file_url(signature_request_id: str, request: Request) -> dict[str, Any]:
        """A short-lived link that needs no key."""
        found = downloadable(state, signature_request_id)
        token, expires_s = state.bench.new_hex(40), state.bench.clock.now_s() + state.knobs.link_life_s
        state.links[token] = (found.id, expires_s)
        forced = "" if request.query_params.get("force_download", "1") == "1" else "?inline=1"
        return {"file_url": f"{state.public_url}/download/{token}{forced}", "expires_at": int(expires_s)}

    @router.get("/v3/signature_request/files_as_data_uri/{signature_request_id}")
    async def files_as_data_uri(signature_request_id: str) -> dict[str, Any]:
        """The PDF as base64 text."""
        content = await rendered(state, downloadable(state, signature_request_id), "pdf")
        return {"data_uri": "data:application/pdf;base64," + base64.b64encode(content).decode()}

    @router.get("/download/{token}")
    async def download(token: str, inline: int = 0) -> Response:
        """The file behind a link from `files_as_file_url`."""
        request_id, expires_s = state.links.get(token, ("", 0.0))
        if not request_id:
            raise VendorError("not_found", "Not found")
        if expires_s < state.bench.clock.now_s():
            raise VendorError("forbidden", "This link has expired")
        content = await rendered(state, downloadable(state, request_id), "pdf")
        manner = "inline" if inline else "attachment"
        return Response(
            content,
            media_type="application/pdf",
            headers={"Content-Disposition": f'{manner}; filename="{request_id}.pdf"'},
        )

    return router


def downloadable(state: State, request_id: str) -> SignatureRequest:
    """The request, if its files can be downloaded. Raises VendorError: 403, 404, 409, 410, 422."""
    found = state.request(request_id)
    if found.phase == "expired":
        raise VendorError("signature_request_expired", "The signature request has expired", status=403)
    if found.phase == "error":
        raise VendorError("unprocessable_entity", "The signature request is in an error state")
    if found.files_busy:
        raise VendorError("conflict", "Files are still being processed. Please try again later.")
    return found
