# SPDX-License-Identifier: Apache-2.0
"""Time that one control period takes in the controller: `python -m uva_experiments.driver.control_period`.

Chunks at 5 Hz lead through the workspace, along the table and into it, so that limits act as on a robot. The arm is an
ideal one, without ROS and without a bus: `x5/status` has the time of the whole loop.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np

from arx_x5_driver.arm import ArmState
from arx_x5_driver.array import Array
from arx_x5_driver.chunk import Chunk
from arx_x5_driver.control.controller import Controller
from arx_x5_driver.geometry.kinematics import SdkKinematics
from arx_x5_driver.geometry.se3 import Pose
from arx_x5_driver.parameters import DriverParameters

_START = np.array([0.0, 0.92, 0.80, -0.96, 0.0, 0.0])  # 5 cm above the table, looking down
_STEPS = 16
_STEP_S = 0.1
_CHUNK_PERIOD_S = 0.2
_REACH_M = (0.1, 0.2, 0.06)  # of the path forward, to the sides and down into the table
_LAP_S = 8.0


def period_times_s(duration_s: float, seed: int = 0) -> Array:
    """Return the processor time of each of the periods `(N,)` in this much simulated time."""
    settings = DriverParameters()
    kinematics = SdkKinematics(settings.arm_model)
    controller = Controller(settings.controller_config(), kinematics)
    controller.configure()
    controller.activate()
    chunks = _chunks(kinematics.forward(_START), np.random.default_rng(seed))
    joints = _START
    period_s = 1.0 / settings.rate_hz
    times_s = []
    next_chunk_s = 0.1
    for tick in range(round(duration_s / period_s)):
        now_s = tick * period_s
        measured = ArmState(now_s, joints, np.zeros(6), np.zeros(6), 0.04, 0.0, 0.0)
        begin_s = time.thread_time()
        command = controller.tick(now_s, measured)
        times_s.append(time.thread_time() - begin_s)
        joints = joints if command is None else command.position
        if tick == 1:
            controller.enable(now_s)
        if now_s >= next_chunk_s:
            controller.offer(next(chunks), now_s)
            next_chunk_s += _CHUNK_PERIOD_S
    return np.array(times_s[round(1.0 / period_s) :])


def _chunks(start: Pose, random: np.random.Generator) -> Iterator[Chunk]:
    """Yield one chunk every period from 0.1 s on: a path that dives into the table, with a policy's noise."""
    index = 0
    while True:
        stamp_s = 0.1 + _CHUNK_PERIOD_S * index
        times_s = stamp_s + _STEP_S * np.arange(1.0, _STEPS + 1.0, dtype=np.float64)
        phase = 2.0 * np.pi * times_s[:, np.newaxis] / _LAP_S
        path = np.hstack((1.0 - np.cos(2.0 * phase), np.sin(phase), np.cos(phase) - 1.0)) * _REACH_M
        yield Chunk(
            sequence=index,
            frame="base_link",
            stamp_s=stamp_s,
            times_s=times_s,
            positions=start.position + path + random.normal(0.0, 0.002, (_STEPS, 3)),
            quaternions=np.tile(start.quaternion, (_STEPS, 1)),
            widths=np.full(_STEPS, 0.04),
        )
        index += 1


def main() -> None:
    """Print percentiles of the time of a period."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="simulated time, default %(default)s")
    times_ms = 1e3 * period_times_s(parser.parse_args().seconds)
    p50, p99 = np.percentile(times_ms, (50, 99))
    print(f"{len(times_ms)} control periods: p50 {p50:.2f} ms, p99 {p99:.2f} ms, longest {times_ms.max():.2f} ms")


if __name__ == "__main__":
    main()
