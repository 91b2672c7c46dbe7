"""What the process file says about stalled deals: follow-up belongs to a stage, it never is one."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator


class FollowUp(BaseModel):
    """What happens when exit criteria stay unmet: after so many days, and again each time so many have passed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    after_days: Annotated[int, Field(ge=1, le=365)]
    """Days in the stage with a criterion unmet before anything is done; then again after as many."""
    veto_days: Annotated[int, Field(ge=0, le=90)] = 2
    """Nothing is done when the deal had activity in this many days; 0: always done."""
    task: Annotated[str, Field(min_length=3, max_length=200)] | None = None
    """Title of a task for the deal's owner."""
    email: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")] | None = None
    """Name of an e-mail template (templates/email/NAME.yaml): a draft for the owner, or sent, as the settings say."""
    remind_signers: bool = False
    """Dropbox Sign reminds those who have not signed yet."""
    flag_after: Annotated[int, Field(ge=1, le=20)] | None = None
    """After so many follow-ups without one more criterion met it is listed for disqualification, and left alone."""

    @model_validator(mode="after")
    def _does_something(self) -> "FollowUp":
        if not (self.task or self.email or self.remind_signers or self.flag_after):
            raise ValueError("give at least one of: task, email, remind_signers: true, flag_after")
        return self
