"""Infinite-width kernels written out in fifty digits: the truth for inputs whose angles are small."""

import mpmath as mp
import numpy as np

DIGITS = 50


def number(value):
    return mp.mpf(float(value))


def rectified(q1, q2, k, slopes):
    """`E[phi(u) phi(v)]` and `E[phi'(u) phi'(v)]` of `a min(u, 0) + b max(u, 0)`."""
    a, b = map(number, slopes)
    if q1 * q2 == 0:
        return (a * a + b * b) / 2 * k, ((a + b) / 2) ** 2
    sine = mp.sqrt(max(q1 * q2 - k * k, 0))
    angle = mp.atan2(sine, k)
    slope = (a * a + b * b) / 2 - (a - b) ** 2 * angle / (2 * mp.pi)
    return slope * k + (a - b) ** 2 * sine / (2 * mp.pi), slope


@mp.workdps(DIGITS)
def mlp(x1, x2, depth, slopes, sigma_w, sigma_b):
    """NNGP and NTK of a multilayer perceptron, `[n1, n2]` each."""
    weight, bias = number(sigma_w) ** 2, number(sigma_b) ** 2
    scale = (number(slopes[0]) ** 2 + number(slopes[1]) ** 2) / 2

    def pair(u, v):
        u, v = list(map(number, u)), list(map(number, v))
        q1, q2, k = (weight * mp.fdot(s, t) / len(s) + bias for s, t in ((u, u), (v, v), (u, v)))
        ntk = k
        for _ in range(depth - 1):
            inner, slope = rectified(q1, q2, k, slopes)
            k = weight * inner + bias
            q1, q2 = (weight * scale * q + bias for q in (q1, q2))
            ntk = weight * slope * ntk + k
        return k, ntk

    return arrays(pair, x1, x2)


@mp.workdps(DIGITS)
def sequence_network(x1, x2, sigma_w, sigma_b):
    """Of conv - ReLU - conv - ReLU - flatten - dense - ReLU - dense on `[n, positions, channels]`, filters of 3, zero padding."""
    weight, bias = number(sigma_w) ** 2, number(sigma_b) ** 2
    positions = range(x1.shape[1])

    def filtered(k):
        near = lambda s, t, d: k[s + d, t + d] if s + d in positions and t + d in positions else 0  # noqa: E731
        return {(s, t): weight * mp.fsum(near(s, t, d) for d in (-1, 0, 1)) / 3 for s, t in k}

    def gram(u, v):
        return {(s, t): mp.fdot(map(number, u[s]), map(number, v[t])) / len(u[s]) for s in positions for t in positions}

    def conv(kernels):
        return [{at: value + bias for at, value in filtered(k).items()} for k in kernels]

    def pair(u, v):
        left, right, k = conv([gram(u, u), gram(v, v), gram(u, v)])
        ntk = dict(k)
        for is_last in (False, True):
            after = {(s, t): rectified(left[s, s], right[t, t], k[s, t], (0, 1)) for s, t in k}
            own = [{(s, t): rectified(q[s, s], q[t, t], q[s, t], (0, 1))[0] for s, t in q} for q in (left, right)]
            ntk = {at: slope * ntk[at] for at, (_, slope) in after.items()}
            k = {at: inner for at, (inner, _) in after.items()}
            if not is_last:
                left, right, k = conv([*own, k])
                passed = filtered(ntk)
                ntk = {at: passed[at] + k[at] for at in k}
        mean = lambda q: mp.fsum(q[s, s] for s in positions) / len(positions)  # noqa: E731
        q1, q2, k, ntk = mean(own[0]), mean(own[1]), mean(k), mean(ntk)
        q1, q2, k, ntk = weight * q1 + bias, weight * q2 + bias, weight * k + bias, weight * ntk
        inner, slope = rectified(q1, q2, k, (0, 1))
        nngp = weight * inner + bias
        return nngp, weight * slope * (ntk + k) + nngp

    return arrays(pair, x1, x2)


@mp.workdps(DIGITS)
def arrays(pair, x1, x2):
    """NNGP and NTK from those of each pair of inputs."""
    found = [[pair(u, v) for v in x2] for u in x1]
    return tuple(np.array([[float(entry[part]) for entry in row] for row in found]) for part in (0, 1))
