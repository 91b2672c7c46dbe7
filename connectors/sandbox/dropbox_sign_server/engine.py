"""The life of a signature request: accepted, processed, sent, signed or ended, its files prepared.

Everything that the vendor does after its answer happens here, on timers of the virtual clock. A timer does nothing
after a reset or after a later change that makes it obsolete.
"""

import asyncio
from collections.abc import Callable

import httpx

from connectors.sandbox.dropbox_sign_server import documents, rendering
from connectors.sandbox.dropbox_sign_server.errors import VendorError
from connectors.sandbox.dropbox_sign_server.events import Events
from connectors.sandbox.dropbox_sign_server.records import Draft, Field, SignatureRequest, StoredFile
from connectors.sandbox.dropbox_sign_server.state import State
from connectors.sandbox.dropbox_sign_server.texttags import TagError, find_tags, judge

_DAY_S = 86_400


class Engine:
    """Moves requests through their life. `on_open` is called when a request is sent and its signers may act."""

    def __init__(self, state: State, events: Events) -> None:
        self.state = state
        self.events = events
        self.on_open: Callable[[SignatureRequest], None] = lambda _request: None

    def later(self, delay_s: float, job: Callable[[], None], name: str) -> None:
        """Run `job` after virtual seconds, unless the stand-in was reset meanwhile."""
        generation = self.state.generation

        async def go() -> None:
            if self.state.generation == generation:
                job()

        self.state.bench.clock.after(delay_s, go, f"dropbox-sign {name}")

    def accept(self, draft: Draft) -> SignatureRequest:
        """Accept a valid send: it gets an id at once, its documents are processed later.

        Raises VendorError (402) when the quota is spent and the request is not a test.
        """
        state = self.state
        if not draft.test_mode:
            if state.account.quota <= 0:
                raise VendorError("payment_required", "The account has no signature requests left")
            state.account.quota -= 1
        now = state.bench.clock.now_s()
        request = SignatureRequest(
            id=state.bench.new_hex(40),
            draft=draft,
            created_at=int(now),
            created_s=now,
            expires_at=draft.expires_at,
        )
        state.requests[request.id] = request
        request.note(now, f"Created by {state.account.email}")
        generation = state.generation
        prepared = asyncio.create_task(
            _prepared(request)
        )  # at once, so that a jump in time need not wait for it

        async def go() -> None:
            await self._process(request, await prepared, generation)

        state.bench.clock.after(state.knobs.processing_s, go, "dropbox-sign process")
        return request

    async def _process(self, request: SignatureRequest, prepared: "_Prepared", generation: int) -> None:
        if self.state.generation != generation:
            return
        if isinstance(prepared, documents.FileError):
            self.fail(request, "file_error", str(prepared))
        elif isinstance(prepared, TagError):
            self.fail(request, "signature_request_invalid", str(prepared))
        elif request.phase == "processing":
            request.draft.fields, request.appended_page = prepared
            self._open(request)

    def fail(self, request: SignatureRequest, event_type: str, message: str) -> None:
        """Processing failed after the 200: the request has an error, nobody is asked to sign."""
        request.phase, request.error, request.files_busy = "error", message, False
        for signature in request.signatures:
            signature.status = "error_file" if event_type == "file_error" else "error_text_tag"
            signature.error = message
        self._note(request, f"Failed: {message}")
        self.events.emit(event_type, request, message=message)

    def _open(self, request: SignatureRequest) -> None:
        state = self.state
        if state.knobs.unconfirmed_sender:
            for signature in request.signatures:
                signature.status = "on_hold"
            request.files_busy = False
            self._note(request, "On hold: the sender's e-mail address is not confirmed")
            return
        request.phase, request.files_busy = "open", False
        for signature in request.turn():
            self._note(request, f"Sent for signature to {signature.name} ({signature.email})")
        self.events.emit("signature_request_sent", request)
        self.watch_expiry(request)
        for day in state.knobs.auto_remind_days:
            self.later(day * _DAY_S, lambda: self._auto_remind(request), "automatic reminder")
        self.on_open(request)

    def watch_expiry(self, request: SignatureRequest) -> None:
        """Set the timer for the present `expires_at`; a later change makes it obsolete."""
        at = request.expires_at
        if at is None:
            return

        def expire() -> None:
            if request.phase != "open" or request.expires_at != at:
                return
            request.phase = "expired"
            for signature in request.signatures:
                if signature.status == "awaiting_signature":
                    signature.status = "expired"
            self._note(request, "Expired")
            self.events.emit("signature_request_expired", request)

        self.later(at - self.state.bench.clock.now_s(), expire, "expiry")

    def cancel(self, request: SignatureRequest) -> None:
        """Queue a cancellation. Raises VendorError: 400 not eligible, 409 being set up or already queued."""
        if request.phase == "processing" or request.cancel_queued:
            raise VendorError("conflict", "The request is still being processed")
        if request.phase != "open":
            raise VendorError(
                "signature_request_cancel_failed", "The request is closed and cannot be cancelled"
            )
        request.cancel_queued = True

        def finish() -> None:
            request.cancel_queued = False
            if request.phase != "open":
                return
            request.phase = "canceled"
            self._note(request, "Cancelled by the sender")
            self.events.emit("signature_request_canceled", request)

        self.later(self.state.knobs.cancel_s, finish, "cancel")

    def remind(self, request: SignatureRequest, signature_id: str, *, automatic: bool = False) -> None:
        """Record a reminder and send its event. The caller checks who may be reminded and when."""
        signature = next(s for s in request.signatures if s.signature_id == signature_id)
        signature.last_reminded_at = int(self.state.bench.clock.now_s())
        self._note(request, f"{'Automatic reminder' if automatic else 'Reminder'} to {signature.email}")
        self.events.emit("signature_request_remind", request, related=signature.signature_id)

    def prepare_files(self, request: SignatureRequest, *, announce: bool) -> None:
        """Prepare new files; until then downloads answer 409."""
        request.files_busy = True
        request.files_run += 1
        run = request.files_run
        if request.phase == "complete":
            rendering.begin(self.state, request, "pdf")

        def ready() -> None:
            if request.files_run != run or request.phase == "canceled":
                return
            request.files_busy = False
            if announce:
                self.events.emit("signature_request_downloadable", request)

        self.later(self.state.knobs.downloadable_s, ready, "files")

    def _auto_remind(self, request: SignatureRequest) -> None:
        hour_ago = self.state.bench.clock.now_s() - 3600
        for signature in request.turn():
            if (signature.last_reminded_at or 0) <= hour_ago:
                self.remind(request, signature.signature_id, automatic=True)

    def _note(self, request: SignatureRequest, text: str) -> None:
        request.note(self.state.bench.clock.now_s(), text)


_Prepared = tuple[list[Field], bool] | documents.FileError | TagError


async def _prepared(request: SignatureRequest) -> _Prepared:
    """All fields and whether a signature page was appended, or why the documents cannot be used."""
    try:
        for file in request.draft.files:
            await _fetch(file)
        return await asyncio.to_thread(_prepare, request)
    except (documents.FileError, TagError) as problem:
        return problem


async def _fetch(file: StoredFile) -> None:
    if file.url is None:
        return
    try:
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
            answer = await client.get(file.url)
            answer.raise_for_status()
    except httpx.HTTPError as problem:
        raise documents.FileError(f"The file {file.name} could not be fetched") from problem
    file.content, file.url = answer.content, None


def _prepare(request: SignatureRequest) -> tuple[list[Field], bool]:
    """Convert and merge the documents."""
    draft = request.draft
    readers = []
    for file in draft.files:
        file.content = documents.as_pdf(file)
        readers.append(documents.open_pdf(file.content, file.name))
    fields, appended = list(draft.fields), False
    signers = len({s.index for s in draft.signatures})
    if draft.use_text_tags:
        fields = [field for at, reader in enumerate(readers) for field in find_tags(reader, at)]
        judge(fields, signers, ignore_errors=draft.ignore_tag_errors)
    elif not fields:
        page, fields = documents.signature_page(draft.title, draft.signatures, len(draft.files))
        draft.files.append(StoredFile("signature_page.pdf", page))
        appended = True
    for field in fields:
        field.page = min(field.page, len(readers[field.document].pages) - 1) if not appended else field.page
    request.original = documents.merged([file.content for file in draft.files])
    return fields, appended
