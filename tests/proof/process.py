"""The process of the proof: the shipped one, in which a deal that closes without proof is moved back."""

from flows.rules.sales_process import SalesProcess


def strict(process: SalesProcess) -> SalesProcess:
    """The same process whose closing stage reverts."""
    stages = tuple(
        stage.model_copy(update={"mode": "revert"}) if "send_contract" in stage.on_enter else stage
        for stage in process.stages
    )
    return process.model_copy(update={"stages": stages})
