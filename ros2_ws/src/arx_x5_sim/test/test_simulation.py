# SPDX-License-Identifier: Apache-2.0
"""A world in real time, used by several threads at once. The tolerances are for busy machines."""

import threading
import time

import numpy as np
import pytest

from arx_x5_driver.arm import ArmCommand
from arx_x5_sim.tasks.push.task import place
from arx_x5_sim.world.mujoco_arm import MujocoArm
from arx_x5_sim.world.simulation import CATCH_UP_S, Simulation
from arx_x5_sim.world.world import World


@pytest.fixture
def simulation(model):
    simulation = Simulation(model, place, seed=1)
    simulation.start()
    yield simulation
    simulation.stop()


@pytest.fixture
def arm(simulation):
    return MujocoArm(simulation)


def wait_for(condition, timeout_s=10.0):
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"nothing happened within {timeout_s} s"
        time.sleep(0.005)


def start_of(model, seed):
    world = World(model)
    world.reset(seed, place)
    return world.arm_reading().position


def test_time_passes_as_it_does_outside(model, simulation):
    view = World(model)
    begin_s = simulation.copy_to(view)
    begin_world_s, begin_lost_s = view.time_s, simulation.lost_s
    time.sleep(0.5)
    end_s = simulation.copy_to(view)
    assert 0.4 < end_s - begin_s < 0.7
    assert time.monotonic() - end_s < 0.2
    lost_s = simulation.lost_s - begin_lost_s
    assert view.time_s - begin_world_s + lost_s == pytest.approx(end_s - begin_s, abs=1e-6)


def test_a_long_hiccup_is_not_caught_up_with(model, simulation):
    view = World(model)
    simulation.copy_to(view)
    begin_world_s, begin_s = view.time_s, time.monotonic()
    simulation.change(lambda world: time.sleep(0.5))
    wait_for(lambda: simulation.lost_s > 0.0)
    assert simulation.lost_s > 0.3
    simulation.copy_to(view)
    outside_s = time.monotonic() - begin_s
    assert view.time_s - begin_world_s < outside_s - 0.5 + 2 * CATCH_UP_S + 0.1


def test_resets_while_others_read_copy_and_command(model, simulation, arm):
    stop, errors = threading.Event(), []

    def repeat(action):
        try:
            while not stop.is_set():
                action()
                time.sleep(0.001)
        except Exception as error:
            errors.append(error)

    view = World(model)
    state = arm.read()
    actions = [
        lambda: arm.command(ArmCommand(state.position, np.zeros(6), 0.02)),
        lambda: simulation.copy_to(view),
        arm.read,
    ]
    threads = [threading.Thread(target=repeat, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for seed in range(10):
        simulation.reset(seed)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    simulation.copy_to(view)
    assert view.seed == 9


def test_the_arm_stays_where_a_reset_puts_it(model, simulation, arm):
    arm.command(ArmCommand(start_of(model, 1) + 0.2, np.zeros(6), 0.05))
    wait_for(lambda: abs(arm.read().position[0] - start_of(model, 1)[0]) > 0.1)
    simulation.reset(2)
    for _ in range(20):
        assert np.abs(arm.read().position - start_of(model, 2)).max() < 2e-3
        time.sleep(0.02)


def test_readings_are_stamped_and_new(model, arm):
    first = arm.read()
    assert np.abs(first.position - start_of(model, 1)).max() < 2e-3
    assert first.velocity.shape == first.effort.shape == (6,)
    assert 0.0 <= time.monotonic() - first.stamp_s < 0.2
    wait_for(lambda: arm.read().stamp_s > first.stamp_s)


def test_the_arm_follows_commands(arm):
    goal = arm.read().position + np.array([0.1, -0.1, 0.1, -0.1, 0.1, 0.1])
    arm.command(ArmCommand(goal, np.zeros(6), 0.06))
    wait_for(lambda: np.abs(arm.read().position - goal).max() < 5e-3)
    wait_for(lambda: abs(arm.read().gripper_width - 0.06) < 1e-3)


def test_idle_means_that_nobody_commands(simulation, arm):
    assert simulation.wait_until_idle(timeout_s=0.0)
    state = arm.read()
    arm.command(ArmCommand(state.position, np.zeros(6), state.gripper_width))
    assert not simulation.wait_until_idle(timeout_s=0.0)
    assert simulation.wait_until_idle(timeout_s=5.0)
