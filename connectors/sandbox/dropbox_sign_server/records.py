"""The records of the stand-in: signature requests with their signers, files and fields, and the account."""

from asyncio import Task
from dataclasses import dataclass, field
from typing import Literal

Does = Literal["sign", "decline", "ignore", "bounce", "view", "reassign", "remove"]


@dataclass
class StoredFile:
    """One document of a request. `url` is set instead of content while it waits to be fetched."""

    name: str
    content: bytes = b""
    url: str | None = None


@dataclass
class Field:
    """A place on a document. Coordinates in points from the lower left corner of its page; `page` counts from 0.

    `signer` is the 0-based index into the signers as sent, or None for a merge field of the sender.
    """

    type: str
    signer: int | None
    api_id: str
    name: str = ""
    required: bool = True
    document: int = 0
    page: int = 0
    x: float = 0.0
    y: float = 0.0
    width: float = 120.0
    height: float = 16.0
    from_tag: bool = False


@dataclass
class Signature:
    """One signer of a request and their state. Times in whole Unix seconds."""

    signature_id: str
    index: int
    email: str
    name: str
    role: str | None = None
    order: int | None = None  # 0-based, as the vendor returns it
    group: str | None = None
    has_pin: bool = False
    sms_phone_number: str | None = None
    sms_type: str | None = None
    status: str = "awaiting_signature"
    signed_at: int | None = None
    last_viewed_at: int | None = None
    last_reminded_at: int | None = None
    decline_reason: str | None = None
    error: str | None = None
    bounced: bool = False
    reassigned_by: str | None = None
    reassigned_from: str | None = None
    reassignment_reason: str | None = None
    answers: dict[str, str] = field(default_factory=dict)
    plan: int = 0  # counts up; a robot's timer with an older number does nothing


@dataclass
class Draft:
    """A send call that passed validation, before it has an id."""

    title: str
    subject: str | None
    message: str | None
    metadata: dict[str, object]
    files: list[StoredFile]
    signatures: list[Signature]
    fields: list[Field]
    custom_fields: list[dict[str, object]]
    cc: list[str]
    test_mode: bool = False
    allow_decline: bool = False
    allow_reassign: bool = False
    use_text_tags: bool = False
    hide_text_tags: bool = False
    ignore_tag_errors: bool = False
    expires_at: int | None = None
    signing_redirect_url: str | None = None
    client_id: str | None = None
    template_ids: list[str] | None = None
    attachments: list[dict[str, object]] = field(default_factory=list)
    date_format: str = "MM / DD / YYYY"
    warnings: list[dict[str, str]] = field(default_factory=list)


Phase = Literal["processing", "open", "complete", "declined", "expired", "error", "canceled"]


@dataclass
class SignatureRequest:
    """A signature request. `phase` is ours: the vendor shows flags only, and 410 once cancelled."""

    id: str
    draft: Draft
    created_at: int
    created_s: float  # with fractions: newest first, and the search lag
    phase: Phase = "processing"
    expires_at: int | None = None
    cancel_queued: bool = False
    removed: bool = False
    appended_page: bool = False
    error: str | None = None
    original: bytes = b""  # all documents as sent, merged, with a signature page if one was appended
    files_busy: bool = True
    files_run: int = 0
    history: list[tuple[int, str]] = field(default_factory=list)
    making: dict[str, tuple[int, Task[bytes]]] = field(default_factory=dict)  # by kind: state and task
    handed_out: dict[str, bytes] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, object]:
        """For a snapshot: files under way are made anew."""
        return {**vars(self), "making": {}}

    @property
    def signatures(self) -> list[Signature]:
        """The signers, in the order they were sent."""
        return self.draft.signatures

    def note(self, at_s: float, text: str) -> None:
        """One line for the audit trail."""
        self.history.append((int(at_s), text))

    def turn(self) -> list[Signature]:
        """The signers who may sign now: all, or with an order those of the first open rank."""
        waiting = [s for s in self.signatures if s.status == "awaiting_signature"]
        if self.phase != "open" or not waiting:
            return []
        first = min((s.order or 0) for s in waiting)
        return [s for s in waiting if (s.order or 0) == first]


@dataclass
class Account:
    """The only account; every key belongs to it."""

    account_id: str
    email: str
    callback_url: str | None
    quota: int = 1250
    locale: str = "en-US"


@dataclass
class ApiApp:
    """An API app with its own callback URL."""

    client_id: str
    name: str
    created_at: int
    domains: list[str]
    callback_url: str | None = None


@dataclass
class Robot:
    """The action of signers whose e-mail address matches, `after_s` virtual seconds after their turn begins."""

    email: str
    does: Does
    after_s: float = 0.0
    reason: str | None = None
    answers: dict[str, str] = field(default_factory=dict)
