# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several tests share; compiling the model and opening OpenGL once is enough."""

from collections.abc import Iterator

import mujoco
import pytest

from arx_x5_sim.tasks.push.scene import build_push_model
from arx_x5_sim.world.camera import Camera
from arx_x5_sim.world.world import World


@pytest.fixture(scope="session")
def model() -> mujoco.MjModel:
    return build_push_model()


@pytest.fixture
def world(model: mujoco.MjModel) -> World:
    return World(model)


@pytest.fixture(scope="session")
def camera(model: mujoco.MjModel) -> Iterator[Camera]:
    camera = Camera(model)
    yield camera
    camera.close()
