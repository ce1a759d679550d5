"""One line of the page "Where the numbers were tried": a kind of input, its range, an independent truth, the largest error."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Row:
    """What was tried.

    `kind` and `inputs` say on what, `truth` how the right value was found without the library's own code, `error` the largest
    error that was seen (relative unless `inputs` says otherwise), `bound` what it must stay below.
    """

    kind: str
    inputs: str
    truth: str
    error: float
    bound: float

    def holds(self) -> bool:
        """NaN does not hold."""
        return bool(np.isfinite(self.error) and self.error <= self.bound)
