# SPDX-License-Identifier: Apache-2.0
"""Images of a running simulation, from a thread of their own."""

import queue

import pytest

from arx_x5_sim.tasks.push.task import place
from arx_x5_sim.world.frame_loop import FrameLoop
from arx_x5_sim.world.simulation import Simulation


@pytest.fixture
def simulation(model):
    simulation = Simulation(model, place, seed=5)
    simulation.start()
    yield simulation
    simulation.stop()


@pytest.fixture
def make_loop(simulation):
    loops = []

    def make(on_frame, on_error=lambda error: None):
        loops.append(FrameLoop(simulation, 64, 48, 50.0, on_frame, on_error))
        return loops[-1]

    yield make
    for loop in loops:
        loop.stop()


def test_frames_follow_the_world_and_end(make_loop):
    for _ in range(2):
        frames = queue.Queue()
        loop = make_loop(frames.put)
        loop.start()
        first, second = frames.get(timeout=10.0), frames.get(timeout=10.0)
        loop.stop()
        assert first.image.shape == (48, 64, 3)
        assert first.image.std() > 5.0
        assert first.stamp_s < second.stamp_s
        assert second.world.seed == 5


def test_an_error_ends_the_loop_and_is_told(make_loop):
    errors = queue.Queue()

    def fail(frame):
        raise ValueError("no more paper")

    make_loop(fail, errors.put).start()
    assert str(errors.get(timeout=10.0)) == "no more paper"
