"""The actions of signers: by robots on the virtual clock, or by hand through the control API."""

import re

from connectors.sandbox.dropbox_sign_server.engine import Engine
from connectors.sandbox.dropbox_sign_server.errors import VendorError
from connectors.sandbox.dropbox_sign_server.records import Does, Robot, Signature, SignatureRequest


class Signers:
    """Plays the signers of all requests. The first robot whose pattern matches an address decides."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._state = engine.state
        engine.on_open = self.plan

    def set_robots(self, robots: list[Robot]) -> None:
        """Replace all robots. Open requests follow the new ones from now on."""
        self._state.robots[:] = robots
        for request in self._state.requests.values():
            self.plan(request)

    def plan(self, request: SignatureRequest) -> None:
        """Set a timer for every signer whose turn it is; timers of an earlier plan become obsolete."""
        for signature in request.signatures:
            signature.plan += 1
        for signature in request.turn():
            self._schedule(request, signature)

    def _schedule(self, request: SignatureRequest, signature: Signature) -> None:
        robot = next((r for r in self._state.robots if re.search(r.email, signature.email, re.I)), None)
        if robot is None or robot.does == "ignore":
            return
        plan = signature.plan
        chosen = robot

        def go() -> None:
            if signature.plan != plan or signature not in request.turn():
                return
            if chosen.does == "decline" and not request.draft.allow_decline:
                self._view(request, signature)  # the page has no button for it
                return
            self.act(request, signature, chosen.does, reason=chosen.reason, answers=chosen.answers)

        self._engine.later(robot.after_s, go, f"robot {robot.does}")

    def act(
        self,
        request: SignatureRequest,
        signature: Signature,
        does: Does,
        *,
        reason: str | None = None,
        answers: dict[str, str] | None = None,
        to: tuple[str, str] | None = None,
    ) -> None:
        """One signer acts now. `to` is the e-mail address and name for `reassign`.

        Raises VendorError (409) when it is not the signer's turn, or when the request does not allow it.
        """
        if signature not in request.turn():
            raise VendorError("conflict", "This signer cannot act now")
        match does:
            case "view":
                self._view(request, signature)
            case "sign":
                self._sign(request, signature, answers or {})
            case "decline":
                self._decline(request, signature, reason)
            case "bounce":
                self._bounce(request, signature)
            case "reassign":
                self._reassign(request, signature, to, reason)
            case "remove":
                self._remove(request, signature)
            case "ignore":
                return

    def _view(self, request: SignatureRequest, signature: Signature) -> None:
        signature.last_viewed_at = self._now()
        self._note(request, f"Viewed by {signature.name} ({signature.email})")
        self._tell("signature_request_viewed", request, signature)

    def _sign(self, request: SignatureRequest, signature: Signature, answers: dict[str, str]) -> None:
        self._view(request, signature)
        signature.status, signature.signed_at, signature.answers = "signed", self._now(), answers
        self._note(request, f"Signed by {signature.name} ({signature.email})")
        for other in list(request.signatures):
            if other.group is not None and other.group == signature.group and other is not signature:
                request.signatures.remove(other)  # one of a group signs for the group
        done = all(s.status == "signed" for s in request.signatures)
        if done:
            request.phase = "complete"
            self._note(request, "Completed: everybody has signed")
        knobs = self._state.knobs
        self._engine.prepare_files(request, announce=done or knobs.downloadable_early)
        self._tell("signature_request_signed", request, signature)
        if done:
            self._engine.events.emit("signature_request_all_signed", request)
            return
        before = signature.order
        for waiting in request.turn():
            if waiting.order != before:
                self._note(request, f"Sent for signature to {waiting.name} ({waiting.email})")
                waiting.plan += 1
                self._schedule(request, waiting)

    def _decline(self, request: SignatureRequest, signature: Signature, reason: str | None) -> None:
        if not request.draft.allow_decline:
            raise VendorError("conflict", "This request was sent without allow_decline")
        self._view(request, signature)
        signature.status, signature.decline_reason = "declined", reason or "No reason given"
        request.phase = "declined"
        self._note(request, f"Declined by {signature.name} ({signature.email})")
        self._tell("signature_request_declined", request, signature, signature.decline_reason)

    def _bounce(self, request: SignatureRequest, signature: Signature) -> None:
        signature.bounced, signature.error = True, "The e-mail to this address could not be delivered"
        self._note(request, f"The e-mail to {signature.email} bounced")
        self._tell("signature_request_email_bounce", request, signature, signature.error)

    def _reassign(
        self, request: SignatureRequest, signature: Signature, to: tuple[str, str] | None, reason: str | None
    ) -> None:
        if to is None or not request.draft.allow_reassign:
            raise VendorError("conflict", "Reassigning needs a new signer and allow_reassign")
        old_email, old_id = signature.email, signature.signature_id
        signature.email, signature.name = to
        signature.signature_id = self._state.bench.new_hex(32)
        signature.reassigned_by, signature.reassigned_from = old_email, old_id
        signature.reassignment_reason = reason
        self._note(request, f"Reassigned by {old_email} to {signature.email}")
        self._tell("signature_request_reassigned", request, signature)
        self.plan(request)

    def _remove(self, request: SignatureRequest, signature: Signature) -> None:
        if len(request.signatures) < 2:
            raise VendorError("conflict", "The last signer cannot be removed")
        request.signatures.remove(signature)
        self._note(request, f"{signature.email} was removed from the request")
        self._tell("signature_request_signer_removed", request, signature)
        if all(s.status == "signed" for s in request.signatures):
            request.phase = "complete"
            self._engine.prepare_files(request, announce=True)
            self._engine.events.emit("signature_request_all_signed", request)
            return
        self.plan(request)

    def _tell(
        self, event: str, request: SignatureRequest, signature: Signature, message: str | None = None
    ) -> None:
        self._engine.events.emit(event, request, related=signature.signature_id, message=message)

    def _note(self, request: SignatureRequest, text: str) -> None:
        request.note(self._state.bench.clock.now_s(), text)

    def _now(self) -> int:
        return int(self._state.bench.clock.now_s())
