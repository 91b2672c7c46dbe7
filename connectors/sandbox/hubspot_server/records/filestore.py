"""The file manager: files with their bytes, folders by path, duplicates, signed URLs.

Source: https://developers.hubspot.com/docs/api/files/files (read 2025-01-03) and the models of
hubspot-api-client 12.0.0. Whether HubSpot calls a file a duplicate by name or by content is not documented;
here it needs both.
"""

import hashlib
import hmac
import itertools
import secrets
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from connectors.sandbox.clock import Clock
from connectors.sandbox.hubspot_server.errors import Refusal, not_found
from connectors.sandbox.hubspot_server.times import instant
from connectors.sandbox.ids import Ids

ACCESS = {
    "PRIVATE",
    "PUBLIC_INDEXABLE",
    "PUBLIC_NOT_INDEXABLE",
    "HIDDEN_INDEXABLE",
    "HIDDEN_NOT_INDEXABLE",
    "HIDDEN_PRIVATE",
    "HIDDEN_SENSITIVE",
    "SENSITIVE",
}
SIGNED_FOR_S = 3600
_KINDS = {
    "IMG": {"png", "jpg", "jpeg", "gif", "svg", "webp"},
    "DOCUMENT": {"pdf", "doc", "docx", "txt", "csv", "xlsx", "pptx", "html", "md"},
    "AUDIO": {"mp3", "wav"},
    "MOVIE": {"mp4", "mov"},
}


@dataclass
class Folder:
    """One folder; the root has no folder."""

    id: str
    path: str
    parent_id: str | None
    created_ms: int
    updated_ms: int

    def shown(self) -> dict[str, Any]:
        """As the API returns it."""
        found: dict[str, Any] = {
            "id": self.id,
            "name": PurePosixPath(self.path).name,
            "path": self.path,
            "createdAt": instant(self.created_ms),
            "updatedAt": instant(self.updated_ms),
            "archived": False,
        }
        return {**found, "parentFolderId": self.parent_id} if self.parent_id else found


@dataclass
class StoredFile:
    """One file with its bytes."""

    id: str
    name: str  # without extension
    extension: str
    folder: Folder | None
    content: bytes
    media_type: str
    access: str
    created_ms: int
    updated_ms: int
    expires_ms: int | None = None
    archived: bool = False

    @property
    def path(self) -> str:
        """Path in the file manager, from the root."""
        base = f"{self.name}.{self.extension}" if self.extension else self.name
        return f"{self.folder.path if self.folder else ''}/{base}"

    @property
    def public(self) -> bool:
        """Whether its plain URL works."""
        return "PRIVATE" not in self.access and "SENSITIVE" not in self.access


@dataclass
class Upload:
    """The content of one multipart upload."""

    content: bytes
    file_name: str
    media_type: str
    folder_path: str | None = None
    folder_id: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


class FileStore:
    """All files and folders of the portal."""

    def __init__(self, clock: Clock, portal_id: int) -> None:
        self._clock = clock
        self._portal_id = portal_id
        self._ids = Ids(194_030_011_274)
        self._key = secrets.token_bytes(16)
        self.files: dict[str, StoredFile] = {}
        self.folders: dict[str, Folder] = {}  # by path

    def store(self, upload: Upload) -> StoredFile:
        """Store an upload, or return or refuse its duplicate as the options ask. Raises Refusal 400, 404."""
        access = upload.options.get("access")
        if access not in ACCESS:
            raise Refusal(400, f"options.access must be one of {sorted(ACCESS)}")
        folder = self._folder_of(upload)
        name, extension = _split(upload.file_name)
        if not upload.options.get("overwrite"):
            twin = self._duplicate(upload, folder, name, extension)
            if twin is not None:
                return twin
        same = self._at(folder, name, extension)
        if same is not None and upload.options.get("overwrite"):
            return self._overwrite(same, upload)
        if same is not None:  # another file has the name: HubSpot numbers the new one
            taken = {f.name for f in self.live() if f.folder == folder and f.extension == extension}
            name = next(f"{name}-{n}" for n in itertools.count(1) if f"{name}-{n}" not in taken)
        now_ms = self._clock.now_ms()
        made = StoredFile(
            str(next(self._ids)),
            name,
            extension,
            folder,
            upload.content,
            upload.media_type,
            str(access),
            now_ms,
            now_ms,
            self._expiry(upload.options.get("ttl")),
        )
        self.files[made.id] = made
        return made

    def live(self) -> list[StoredFile]:
        """Files that exist now: not archived, not past their time to live."""
        now_ms = self._clock.now_ms()
        return [
            f
            for f in self.files.values()
            if not f.archived and (f.expires_ms is None or f.expires_ms > now_ms)
        ]

    def one(self, ident: str) -> StoredFile:
        """The live file with that id. Raises Refusal 404."""
        found = next((f for f in self.live() if f.id == ident), None)
        if found is None:
            raise not_found("File", ident)
        return found

    def replace(self, ident: str, upload: Upload) -> StoredFile:
        """New bytes for an existing file; id and path stay."""
        return self._overwrite(self.one(ident), upload)

    def delete(self, ident: str) -> None:
        """Archive a file. Raises Refusal 404."""
        self.one(ident).archived = True

    def folder(self, path: str) -> Folder:
        """The folder at `path`, created with its parents if needed."""
        clean = "/" + "/".join(p for p in path.split("/") if p)
        if clean not in self.folders:
            parent = str(PurePosixPath(clean).parent)
            above = self.folder(parent) if parent != "/" else None
            now_ms = self._clock.now_ms()
            self.folders[clean] = Folder(
                str(next(self._ids)), clean, above.id if above else None, now_ms, now_ms
            )
        return self.folders[clean]

    def shown(self, file: StoredFile, base: str) -> dict[str, Any]:
        """As the API returns it. `base` is this server's public URL."""
        url = f"{base}/hubfs/{self._portal_id}{file.path}"
        kind = next((k for k, ends in _KINDS.items() if file.extension.lower() in ends), "OTHER")
        found: dict[str, Any] = {
            "id": file.id,
            "createdAt": instant(file.created_ms),
            "updatedAt": instant(file.updated_ms),
            "archived": file.archived,
            "name": file.name,
            "path": file.path,
            "size": len(file.content),
            "type": kind,
            "extension": file.extension,
            "defaultHostingUrl": url,
            "url": url,
            "isUsableInContent": file.public,
            "access": file.access,
            "sourceGroup": "CONTENT",
            "fileMd5": hashlib.md5(file.content, usedforsecurity=False).hexdigest(),
        }
        if file.folder:
            found["parentFolderId"] = file.folder.id
        if file.expires_ms is not None:
            found["expiresAt"] = file.expires_ms
        return found

    def sign(self, ident: str, expires_ms: int) -> str:
        """Signature of a signed URL."""
        return hmac.new(self._key, f"{ident}:{expires_ms}".encode(), hashlib.sha256).hexdigest()

    def opened(self, ident: str, expires_ms: int, signature: str) -> StoredFile:
        """The file behind a signed URL. Raises Refusal 403 when it has expired or was changed."""
        if not hmac.compare_digest(self.sign(ident, expires_ms), signature):
            raise Refusal(403, "The signature of this URL does not match", category="FORBIDDEN")
        if expires_ms <= self._clock.now_ms():
            raise Refusal(403, "This URL has expired", category="FORBIDDEN")
        return self.one(ident)

    def _folder_of(self, upload: Upload) -> Folder | None:
        if bool(upload.folder_id) == bool(upload.folder_path):
            raise Refusal(400, "Exactly one of folderId and folderPath must be given")
        if upload.folder_id:
            found = next((f for f in self.folders.values() if f.id == upload.folder_id), None)
            if found is None:
                raise not_found("Folder", upload.folder_id)
            return found
        path = upload.folder_path or "/"
        return self.folder(path) if path.strip("/") else None

    def _duplicate(
        self, upload: Upload, folder: Folder | None, name: str, extension: str
    ) -> StoredFile | None:
        scope = upload.options.get("duplicateValidationScope", "ENTIRE_PORTAL")
        strategy = upload.options.get("duplicateValidationStrategy", "NONE")
        if strategy not in ("NONE", "REJECT", "RETURN_EXISTING"):
            raise Refusal(400, f"duplicateValidationStrategy {strategy} is not known")
        if scope not in ("ENTIRE_PORTAL", "EXACT_FOLDER"):
            raise Refusal(400, f"duplicateValidationScope {scope} is not known")
        if strategy == "NONE":
            return None
        for file in self.live():
            if scope == "EXACT_FOLDER" and file.folder != folder:
                continue
            if (file.name, file.extension) == (name, extension) and file.content == upload.content:
                if strategy == "REJECT":
                    raise Refusal(409, f"A duplicate of this file exists: {file.id}", category="CONFLICT")
                return file
        return None

    def _at(self, folder: Folder | None, name: str, extension: str) -> StoredFile | None:
        return next(
            (f for f in self.live() if (f.folder, f.name, f.extension) == (folder, name, extension)), None
        )

    def _overwrite(self, file: StoredFile, upload: Upload) -> StoredFile:
        file.content, file.media_type = upload.content, upload.media_type
        if upload.options.get("access") in ACCESS:
            file.access = str(upload.options["access"])
        file.updated_ms = self._clock.now_ms()
        return file

    def _expiry(self, ttl: Any) -> int | None:
        if not ttl:
            return None
        spans = {"D": 1, "W": 7, "M": 30, "Y": 365}
        text = str(ttl)
        if text[:1] != "P" or text[-1:] not in spans or not text[1:-1].isdigit():
            raise Refusal(400, f"options.ttl {ttl} is not a period such as P3M")
        days = int(text[1:-1]) * spans[text[-1]]
        if not 1 <= days <= 365:
            raise Refusal(400, "options.ttl must be between one day and one year")
        return self._clock.now_ms() + days * 86_400_000


def _split(file_name: str) -> tuple[str, str]:
    name = PurePosixPath(file_name).name
    stem, dot, extension = name.rpartition(".")
    return (stem, extension) if dot and stem else (name, "")
