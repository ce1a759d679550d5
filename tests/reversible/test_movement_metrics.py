import numpy as np
import pytest

from ntkng.reversible import kernel_cosine, linear_cka, percent_loss_change, probe_cosine

RNG = np.random.default_rng(0)


def test_percent_loss_change():
    np.testing.assert_allclose(percent_loss_change([2.0, 4.0], [1.0, 5.0]), [-50, 25])


def test_linear_cka():
    x, y = RNG.standard_normal((30, 6)), RNG.standard_normal((30, 4))
    rotation = np.linalg.qr(RNG.standard_normal((6, 6)))[0]
    assert linear_cka(x, 3 * x @ rotation + 5) == pytest.approx(1, abs=1e-12)
    centring = np.eye(30) - 1 / 30
    k, l = centring @ x @ x.T @ centring, centring @ y @ y.T @ centring
    expected = np.trace(k @ l) / np.sqrt(np.trace(k @ k) * np.trace(l @ l))  # the kernel form
    assert linear_cka(x, y) == pytest.approx(expected, rel=1e-12)
    assert linear_cka(x + 10, y) == pytest.approx(expected, rel=1e-9)  # centred


def test_single_probes_scatter_about_the_frobenius_alignment():
    a = RNG.standard_normal((80, 80))
    k = a @ a.T
    k_2 = k + 0.3 * np.diag(RNG.uniform(0, 80, 80))
    probes = RNG.standard_normal((2000, 80))
    values = [probe_cosine(k, k_2, v) for v in probes]
    assert np.mean(values) == pytest.approx(kernel_cosine(k, k_2), abs=3e-3)
    assert np.std(values) > 1e-3
    # the mean of K v over probes is K times the mean probe: still one probe
    mean = probes.mean(0)
    u, w = (probes @ k).mean(0), (probes @ k_2).mean(0)
    assert u @ w / np.linalg.norm(u) / np.linalg.norm(w) == pytest.approx(probe_cosine(k, k_2, mean), rel=1e-12)


def test_bad_input():
    with pytest.raises(ValueError, match="same samples"):
        linear_cka(np.ones((3, 2)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="constant"):
        linear_cka(np.ones((3, 2)), RNG.standard_normal((3, 2)))
    with pytest.raises(ValueError, match="one shape"):
        kernel_cosine(np.eye(3), np.eye(4))
