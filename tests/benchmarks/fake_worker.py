"""A worker without any library: gradient descent in NumPy, and ways to fail."""

import os
import sys
import time

import numpy as np

from benchmarks.peers.worker import serve


class Step:
    def __init__(self, task, factor=1.0):
        self.task, self.factor, self.own = task, factor, []

    def reset(self):
        self.own = [weight.copy() for weight in self.task.weights]

    def step(self):
        print("chatter of a library")
        for weight in self.own:
            weight *= 1 - 0.1 * self.factor

    def weights(self):
        return self.own


class Slow(Step):
    def step(self):
        time.sleep(30)


class Dies(Step):
    def step(self):
        os._exit(9)


class Fails(Step):
    def step(self):
        raise MemoryError("Unable to allocate 4 TiB")


if __name__ == "__main__":
    assert np.__name__ in sys.modules
    methods = {"plain": Step, "slow": Slow, "dies": Dies, "fails": Fails}
    serve({**methods, "other": lambda task: Step(task, 2.0)})
