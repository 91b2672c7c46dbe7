"""Which of HubSpot's stages a process means: by id, by label, or by the key that they have in the process in force."""

from collections.abc import Mapping
from dataclasses import dataclass

from flows.rules.process.sales_process import SalesProcess


@dataclass(frozen=True)
class StageMap:
    """HubSpot's stage ids -> keys of a process. `by_key`: stages found by their key alone; `missing`: not found.

    `fits`: there is an open stage among them, so that there are moves to judge.
    """

    keys: Mapping[str, str]
    by_key: tuple[str, ...]
    missing: tuple[str, ...]
    fits: bool


def map_stages(process: SalesProcess, labels: Mapping[str, str], keys: Mapping[str, str]) -> StageMap:
    """`labels`: HubSpot's stages, id -> label; `keys`: the same stages by key of the process in force, key -> id."""
    by_label = {label: stage_id for stage_id, label in labels.items()}
    found: dict[str, str] = {}
    for stage in process.stages:
        name = stage.hubspot_name
        stage_id = name if name in labels else by_label.get(name)
        if stage_id is not None:
            found.setdefault(stage_id, stage.key)
    named = set(found.values())
    by_key = [key for key in process.keys if key not in named and keys.get(key, "") not in {"", *found}]
    found |= {keys[key]: key for key in by_key}
    missing = tuple(key for key in process.keys if key not in found.values())
    fits = any(process.stage(key).closed is None for key in found.values())
    return StageMap(found, tuple(by_key), missing, fits)
