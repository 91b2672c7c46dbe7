"""Sends contracts through the official dropbox-sign SDK, one POST per call and never a second one.

Synchronous and not paced: `service.py` calls it in a thread, after waiting for its place. The SDK
builds and posts; its retries and redirects are off, time-outs are set, no proxy comes from the environment,
and the raw answer is read leniently: the SDK's own models raise after the contract has gone out when one
field is unusual. Measured on dropbox-sign 2.0.0 and urllib3 2.8.0; outcome classes from the vendor's
OpenAPI documents; 2026-11-22.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from connectors.dropbox_sign.records import Account, parse_account, parse_request
from connectors.dropbox_sign.sending import SendRequest, Sent, TemplateRequest
from connectors.dropbox_sign.statuses import DROPBOX_SIGN
from connectors.http.errors import RejectedError, UnreadableAnswerError
from connectors.http.exchange import Answer, OnCall
from connectors.http.sdk_calls import SdkCall


class _NamedFile(io.BytesIO):
    """Bytes with a file name: the SDK names plain bytes `files[0]`, without the extension the vendor goes
    by."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


class ContractSender:
    """Sends signature requests and sets the account's callback URL.

    Every method raises a `connectors.http.errors.ConnectorError`: `applied` "no" means that nothing was sent,
    "maybe" that the vendor must be looked at before anything is repeated. Thread-safe. The first use loads
    the SDK (1 to 2 s).
    """

    def __init__(
        self,
        api_key: str,
        base_url: str = "https://api.hellosign.com/v3",
        *,
        timeout_s: tuple[float, float] = (10.0, 90.0),
        total_s: float = 180.0,
        proxy: str | None = None,
        on_call: OnCall | None = None,
    ) -> None:
        """timeout_s: (connect, read) in seconds; total_s: limit for reading a whole answer; proxy: explicit
        only."""
        if not api_key:
            raise ValueError("Dropbox Sign needs an API key")
        import dropbox_sign as sdk

        self._sdk: Any = sdk
        configuration = sdk.Configuration(host=base_url.rstrip("/"), username=api_key, retries=False)
        configuration.proxy = proxy  # also switches off HTTP(S)_PROXY from the environment
        client = sdk.ApiClient(configuration)
        self._requests: Any = sdk.apis.SignatureRequestApi(client)
        self._accounts: Any = sdk.apis.AccountApi(client)
        self._timeout_s = (float(timeout_s[0]), float(timeout_s[1]))
        self._calls = SdkCall(DROPBOX_SIGN, total_s=total_s, on_call=on_call)

    def send(self, request: SendRequest) -> Sent:
        """Send our own PDF for signature, once."""
        models = self._sdk.models
        body = self._built(
            lambda: models.SignatureRequestSendRequest(
                title=request.title,
                subject=request.subject,
                message=request.message,
                signers=[
                    models.SubSignatureRequestSigner(name=s.name, email_address=s.email, order=s.order)
                    for s in request.signers
                ],
                cc_email_addresses=list(request.cc) or None,
                files=[_NamedFile(request.pdf, request.filename)],
                metadata=dict(request.metadata),
                test_mode=request.test_mode,
                expires_at=request.expires_at,
                allow_decline=request.allow_decline,
                use_text_tags=request.use_text_tags,
                hide_text_tags=request.hide_text_tags,
                client_id=request.client_id,
            ),
            "send",
        )
        return self._sent("send", self._requests.signature_request_send_without_preload_content, body)

    def send_with_template(self, request: TemplateRequest) -> Sent:
        """Send a template for signature, once."""
        models = self._sdk.models
        body = self._built(
            lambda: models.SignatureRequestSendWithTemplateRequest(
                template_ids=[request.template_id],
                title=request.title,
                subject=request.subject,
                message=request.message,
                signers=[
                    models.SubSignatureRequestTemplateSigner(role=s.role, name=s.name, email_address=s.email)
                    for s in request.signers
                ],
                ccs=[models.SubCC(role=role, email_address=at) for role, at in request.ccs.items()] or None,
                custom_fields=[
                    models.SubCustomField(name=name, value=value) for name, value in request.fields.items()
                ]
                or None,
                metadata=dict(request.metadata),
                test_mode=request.test_mode,
                allow_decline=request.allow_decline,
                client_id=request.client_id,
            ),
            "send_with_template",
        )
        post = self._requests.signature_request_send_with_template_without_preload_content
        return self._sent("send_with_template", post, body)

    def set_account_callback(self, url: str) -> Account:
        """Set the URL that account callbacks go to (https only on the real service). Safe to repeat."""
        body = self._sdk.models.AccountUpdateRequest(callback_url=url)
        answer = self._calls.run(
            "set_account_callback",
            lambda: self._accounts.account_update_without_preload_content(
                body, _request_timeout=self._timeout_s
            ),
            write=True,
        )
        return _account(answer)

    def _built(self, build: Callable[[], Any], operation: str) -> Any:
        try:
            return build()
        except ValueError:  # pydantic quotes the values in its message: names and addresses
            raise RejectedError(
                "dropbox_sign", operation, detail="the SDK refuses a field of the request"
            ) from None

    def _sent(self, operation: str, post: Callable[..., Any], body: Any) -> Sent:
        answer = self._calls.run(operation, lambda: post(body, _request_timeout=self._timeout_s), write=True)
        try:
            taken = parse_request(answer.json())
        except UnreadableAnswerError as error:
            # It was accepted, but without an id we can hold on to.
            answer.not_understood(error.detail)
        return Sent(taken.id, taken.warnings, taken.expires_at, answer.status)


def _account(answer: Answer) -> Account:
    try:
        return parse_account(answer.json())
    except UnreadableAnswerError as error:
        answer.not_understood(error.detail)
