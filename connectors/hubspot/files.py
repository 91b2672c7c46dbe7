"""Files: uploads that find the first copy when repeated, signed addresses, downloads.

Source: developers.hubspot.com/docs/api/files/files, read 2026-11-22. Whether "duplicate" is judged by name
or by content is not documented: give a name that is unique to the content.
"""

import json

from connectors.hubspot.calls import Calls, parsed, path
from connectors.hubspot.records import FileRecord, SignedUrl, parse_file, parse_signed_url


class FileCalls(Calls):
    """Files are held in memory, up to `connectors.http.exchange.MAX_BODY_BYTES`."""

    async def upload_file(
        self,
        name: str,
        content: bytes,
        *,
        folder_path: str,
        content_type: str,
        access: str = "PRIVATE",
    ) -> FileRecord:
        """Store a file. With the same name in the same folder HubSpot returns the existing one (safe to
        repeat).

        access: PRIVATE, PUBLIC_INDEXABLE or PUBLIC_NOT_INDEXABLE. Raises ValueError for an empty name or
        file.
        """
        if not name or "/" in name or not content:
            raise ValueError("a file needs a plain name and some content")
        options = {
            "access": access,
            "duplicateValidationScope": "EXACT_FOLDER",
            "duplicateValidationStrategy": "RETURN_EXISTING",
            "overwrite": False,
        }
        answer = await self._exchange.call(
            "upload_file",
            "POST",
            path("files", self._versions.files, "files"),
            write=True,
            expect=(201, 200),
            form={"fileName": name, "folderPath": folder_path, "options": json.dumps(options)},
            files={"file": (name, content, content_type)},
            buckets=("burst",),
            lane=self._lane,
        )
        return parsed(answer, parse_file)

    async def signed_url(self, file_id: str, *, expires_s: int | None = None) -> SignedUrl:
        """A short-lived address of a private file; expires_s in seconds. Raises NotFoundError."""
        params = None if expires_s is None else {"expirationSeconds": str(expires_s)}
        route = path("files", self._versions.files, "files", file_id, "signed-url")
        return parsed(await self._get("signed_url", route, params), parse_signed_url)

    async def download_file(self, file_id: str) -> bytes:
        """The file's bytes, fetched through a signed address without our token."""
        signed = await self.signed_url(file_id, expires_s=300)
        return (await self._exchange.fetch("download_file", signed.url)).body
