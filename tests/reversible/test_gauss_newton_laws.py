"""The laws of Gauss-Newton in function space, on the network's own logits."""

import numpy as np
import pytest

from ntkng.flow_operators import identity_metric_margin
from ntkng.reversible import gauss_newton_path


def targets(model, x, seed=4):
    return np.eye(model.classes)[np.random.default_rng(seed).integers(model.classes, size=len(x))]


def errors(draw, objective, rates, law, classes=3):
    """Relative deviation of the residual from `law(residual_0, logits_0, y, t, alpha)` at `L_b t = 1`."""
    model, weights, x = draw(std=0.1, classes=classes)
    y, found = targets(model, x), []
    for effective in rates:
        steps = round(1 / effective)
        path = np.asarray(gauss_newton_path(model, weights, x, y, objective, effective / model.blocks, steps))
        means = path if objective == "mse" else softmax(path)
        expected = law(means[0] - y, path[0], y, effective * np.arange(steps + 1))
        found.append(np.linalg.norm(means[-1] - y - expected[-1]) / np.linalg.norm(expected[-1]))
    return np.array(found)


def softmax(f):
    e = np.exp(f - f.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def exponential(residual, logits, y, time):
    return np.exp(-time)[:, None, None] * residual


def discrete(residual, logits, y, time):
    return (1 - time[1]) ** np.arange(len(time))[:, None, None] * residual


def two_class_identity(residual, logits, y, time):
    """The margin of two logits moves twice as fast as a single logit: `m' = 2 alpha / (1 + e^m)`."""
    sign = 2 * y - 1
    margin = (sign * logits).sum(1)
    m = identity_metric_margin(margin[None], time[:, None], 2.0)
    return -sign[None] / (1 + np.exp(m))[..., None]


@pytest.mark.parametrize(
    ("objective", "law", "classes", "rates"),
    [
        ("mse", discrete, 3, (0.04, 0.01)),
        ("mse", exponential, 3, (0.04, 0.01)),
        ("cross-entropy-exact", exponential, 3, (0.01, 0.0025)),
        ("cross-entropy", two_class_identity, 2, (0.04, 0.01)),
    ],
)
def test_law_is_exact_to_first_order(draw, objective, law, classes, rates):
    found = errors(draw, objective, rates, law, classes)
    assert found[1] < 1.5 * rates[1]
    assert found[0] / found[1] == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize(("objective", "classes"), [("mse", 3), ("cross-entropy-exact", 3), ("cross-entropy", 2)])
def test_wrong_rate_or_metric_is_noticed(draw, objective, classes):
    """5 % more rate leaves an error that does not vanish with eta; so does the law of the other metric."""
    right = {"mse": discrete, "cross-entropy-exact": exponential, "cross-entropy": two_class_identity}[objective]

    def faster(residual, logits, y, time):
        return right(residual, logits, y, 1.05 * time)

    wrong = exponential if objective == "cross-entropy" else None
    assert errors(draw, objective, (0.0025,), faster, classes)[0] > 0.01
    if wrong is not None:
        assert errors(draw, objective, (0.0025,), wrong, classes)[0] > 0.01


def test_bad_arguments(draw):
    model, weights, x = draw()
    with pytest.raises(ValueError, match="steps=0"):
        gauss_newton_path(model, weights, x, targets(model, x), "mse", 0.1, 0)
