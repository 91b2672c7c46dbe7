"""Bodies of HubSpot's own `/_sandbox` controls."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LimitsIn(_Strict):
    """Rate limits (real time) and the lag of the search index (virtual seconds). Absent: unchanged."""

    burst: int | None = Field(None, ge=1)
    search_per_s: int | None = Field(None, ge=1)
    daily: int | None = Field(None, ge=0)
    associations: int | None = Field(None, ge=1)
    search_lag_s: float | None = Field(None, ge=0)


class SubscriptionIn(_Strict):
    """One webhook subscription."""

    subscriptionType: str
    propertyName: str | None = None


class WebhooksIn(_Strict):
    """Where webhooks go and what they are about. No target: none are sent."""

    target_url: str | None
    subscriptions: list[SubscriptionIn] | None = None
    client_secret: str | None = None
    signature_clock: Literal["real", "virtual"] = "real"


class ConditionIn(_Strict):
    """When a record has these values, those properties must be set (2026-09)."""

    object_type: str
    when: dict[str, str]
    require: list[str]


class RulesIn(_Strict):
    """What an administrator set, and undocumented choices of this stand-in. Absent: unchanged."""

    required: dict[str, list[str]] | None = None
    conditional: list[ConditionIn] | None = None
    echo_trace_ids: bool | None = None
    missing_scopes: list[str] | None = None
    merge_makes_new_record: bool | None = None


class AssociationIn(_Strict):
    """A link to make: by type ids, by label, or unlabelled."""

    to_type: str
    to_id: str
    types: list[int] | None = None
    label: str | None = None
    remove: bool = False


class RepIn(_Strict):
    """What a person does in the user interface."""

    object_type: str
    id: str | None = None
    properties: dict[str, Any] = {}
    associations: list[AssociationIn] = []
    user_id: int = 50_220_101
    create: bool = False
    archive: bool = False


class SeedIn(_Strict):
    """Records to put in at once. `key` names one for links of later ones: `to_id` `"@key"`."""

    class Row(_Strict):
        """One record."""

        object_type: str
        properties: dict[str, Any]
        key: str | None = None
        associations: list[AssociationIn] = []
        created_ms: int | None = None

    records: list[Row]
    indexed: bool = True
    webhooks: bool = False
