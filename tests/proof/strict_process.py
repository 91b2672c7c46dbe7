"""The process of the proof: the shipped one, but a deal that closes without proof is moved back, and a won one gets
a follow-on deal.
"""

from flows.rules.process.hand_over_plan import FollowOn
from flows.rules.process.sales_process import SalesProcess


def strict(process: SalesProcess) -> SalesProcess:
    """The same process whose closing stage reverts, and whose won deals get a follow-on deal in another pipeline."""
    stages = tuple(
        stage.model_copy(update={"mode": "revert"}) if "send_contract" in stage.on_enter else stage
        for stage in process.stages
    )
    then = FollowOn(pipeline="Account growth", stage="To be explored")
    hand_over = process.hand_over.model_copy(update={"follow_on": then})
    return process.model_copy(update={"stages": stages, "hand_over": hand_over})
