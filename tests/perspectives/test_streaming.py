import numpy as np
import pytest
from scipy.special import expit

from ntkng.perspectives import StreamingLogistic


def test_fisher_is_the_average_over_inputs():
    stream = StreamingLogistic(np.array([0.6, -0.8, 0.3]))
    x = np.random.default_rng(0).normal(size=(400_000, 3))
    slope = expit(x @ stream.optimum) * expit(-x @ stream.optimum)
    np.testing.assert_allclose(stream.fisher, (x * slope[:, None]).T @ x / len(x), atol=2e-3)


def test_natural_gradient_is_efficient():
    stream, k, offset = StreamingLogistic(np.array([0.6, -0.8, 0.3])), 400, 20
    risk = stream.simulate(offset, [k], runs=3000, rng=np.random.default_rng(0))[:, 0]
    assert risk.mean() * 2 * (k + offset) / 3 == pytest.approx(1, abs=0.1)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="non-zero"):
        StreamingLogistic(np.zeros(3))
    with pytest.raises(ValueError, match="offset"):
        StreamingLogistic(np.ones(3)).simulate(0.0, [1], runs=2, rng=np.random.default_rng(0))
