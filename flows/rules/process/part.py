"""What all parts of the process file have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Sentence = Annotated[str, Field(min_length=3, max_length=300)]
Label = Annotated[str, Field(min_length=1, max_length=100)]


class Part(BaseModel):
    """Does not change once it is read, and knows no keys but its own; what is said under a key helps editors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
