"""A synthetic problem of any input dimension, with a known teacher."""

from __future__ import annotations

import numpy as np

from ntkng.data.dataset import Split
from ntkng.data.sphere import Radius, on_sphere
from ntkng.validation import nonnegative, positive_integer


def gaussian_teacher(
    samples: int,
    test_samples: int = 0,
    *,
    dimension: int = 784,
    outputs: int = 1,
    noise: float = 0.0,
    radius: Radius | None = "sqrt",
    seed: int = 0,
) -> Split:
    """Gaussian inputs, and targets from a fixed random teacher that is half linear, half quadratic.

    `x ~ N(0, I)`, projected on the sphere of radius `sqrt(d)` (see `on_sphere`), and for every output `c`

        y_c(x) = (z_1 + (z_2^2 - 1) / sqrt(2)) / sqrt(2) + noise * e,    z_i = w_ci . x / sqrt(d),   w_ci, e ~ N(0, 1),

    so targets have mean 0 and variance about 1 whatever the dimension. (The teacher sees inputs scaled to `|x| = sqrt(d)`
    also where `radius` is another one.)

    Args:
        samples: N.
        test_samples: N', may be 0.
        dimension: `d = M_0`; with `d >= N` every input Gram has full rank, as undamped K-FAC needs.
        outputs: C.
        noise: standard deviation of the noise on the training and test targets.
        radius: of the inputs; `None` leaves them Gaussian.
        seed: of teacher, inputs and noise; one seed gives the same training data whatever `test_samples` is.

    Raises:
        ValueError: a size that is not positive, or negative noise.
    """
    samples = positive_integer("samples", samples)
    dimension, outputs = positive_integer("dimension", dimension), positive_integer("outputs", outputs)
    test_samples = test_samples if test_samples == 0 else positive_integer("test_samples", test_samples)
    nonnegative("noise", noise)
    teacher, train, test = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3))
    directions = teacher.normal(size=(2, outputs, dimension))

    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        gaussian = rng.normal(size=(count, dimension))
        linear, curved = directions @ on_sphere(gaussian).T / np.sqrt(dimension)
        targets = (linear + (curved**2 - 1) / np.sqrt(2)).T / np.sqrt(2)
        inputs = gaussian if radius is None else on_sphere(gaussian, radius)
        return inputs, targets + noise * rng.normal(size=targets.shape)

    x, y = draw(train, samples)
    return Split(x, y, None, None) if test_samples == 0 else Split(x, y, *draw(test, test_samples))
