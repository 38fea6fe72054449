"""What a recipe says of scoring and of the baseline."""

from dataclasses import dataclass

from tsn.snippets.crops import TESTING_CROPS

MAX_SNIPPETS, MAX_BATCH = 10_000, 1_000_000


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """Snippets per video, how each is cropped, and how many crops go through the net at most."""

    snippets: int
    crops: str
    batch: int

    def __post_init__(self) -> None:
        for name, most in (("snippets", MAX_SNIPPETS), ("batch", MAX_BATCH)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 1 to {most}")
        if self.crops not in TESTING_CROPS:
            raise ValueError(f"unknown crops {self.crops!r}; one of: {', '.join(TESTING_CROPS)}")


@dataclass(frozen=True, kw_only=True)
class BaselineConfig:
    """Snippets per video, the side that they are scaled to, and the regression's C.

    The side may be more than what is extracted: a backbone is at its best with the objects as large
    as it has learned them.
    """

    snippets: int
    input_size: int
    inverse_regularization: float

    def __post_init__(self) -> None:
        if self.snippets < 1 or self.input_size < 1:
            raise ValueError(
                f"snippets and input_size are at least 1, got {self.snippets}, {self.input_size}"
            )
        if not self.inverse_regularization > 0:
            raise ValueError(
                f"inverse_regularization is above 0, got {self.inverse_regularization}"
            )
