"""What the process file says about won deals: who looks after the buyer from then on, what there is to do, and whether
a follow-on deal is opened.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(min_length=1, max_length=100)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class HandOverTask(_Part):
    """A task that a won deal brings along."""

    task: Annotated[str, Field(min_length=3, max_length=200)]
    """Title of the task."""
    due_days: Annotated[int, Field(ge=0, le=730)] = 1
    """Days after the deal was won."""
    who: Literal["account_manager", "seller"] = "account_manager"
    """Whose task it is; the seller is the deal's owner."""


class FollowOn(_Part):
    """The next deal with a buyer who has just bought: cross-sell or up-sell, opened with the same contacts and company.

    Where neither pipeline nor stage is named, it starts in the first stage of this file.
    """

    pipeline: Name | None = None
    """Another HubSpot deal pipeline, by id or label."""
    stage: Name | None = None
    """The stage of that pipeline, by id or label."""
    close_days: Annotated[int, Field(ge=1, le=1095)] = 90
    """Its expected close: days after the first deal was won."""

    @model_validator(mode="after")
    def _both(self) -> "FollowOn":
        if (self.pipeline is None) != (self.stage is None):
            raise ValueError(
                "give pipeline and stage, or neither: then it starts in the first stage of this file"
            )
        return self


class HandOver(_Part):
    """What a won deal brings along, once, where its stage says `on_enter: [hand_over]`: a debrief on the deal, these
    tasks, and a follow-on deal if there is to be one.
    """

    account_manager: Literal["same_owner"] | Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")] = (
        "same_owner"
    )
    """The deal's owner, or a colleague's e-mail address in HubSpot."""
    tasks: Annotated[tuple[HandOverTask, ...], Field(max_length=10)] = ()
    follow_on: FollowOn | None = None
