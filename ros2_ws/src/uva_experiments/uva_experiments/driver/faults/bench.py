# SPDX-License-Identifier: Apache-2.0
"""The processes of a scenario: a driver with a loopback arm, a scripted policy, and what keeps the processors busy."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from arx_x5_driver.geometry.kinematics import SdkKinematics
from arx_x5_driver.parameters import DriverParameters
from uva_bringup.command import find_executable
from uva_bringup.supervisor import Command, Supervisor
from uva_experiments.driver.faults.commands import Limits, Use, use_of
from uva_experiments.driver.faults.witness import Witness

START_RAD = [0.0, 0.92, 0.80, -0.96, 0.0, 0.0]  # 5.5 cm above the table: the policy's figure goes below the clearance
START_WIDTH_M = 0.04
_START_S = 40.0


class Bench:
    """Start and end processes; all of them end with the context."""

    def __init__(self, witness: Witness, log: Path) -> None:
        """Append the processes' output to the file `log`."""
        self.witness = witness
        self._log = log.open("a")
        self._parameters = DriverParameters()
        self._kinematics = SdkKinematics(self._parameters.arm_model)
        self._running: dict[str, Supervisor] = {}

    def __enter__(self) -> Bench:
        """Return this object; nothing runs yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes."""
        self.end_all()
        self._log.close()

    def start_driver(self, enabled: bool = True, joints: Sequence[float] = START_RAD, **parameters: object) -> None:
        """Start a driver whose loopback arm stands somewhere, and wait until it answers."""
        values = {
            "arm": "loopback",
            "loopback_position_rad": list(map(float, joints)),
            "loopback_gripper_width_m": START_WIDTH_M,
            "enable_on_activate": str(enabled).lower(),
            # The scripted policy does not see the arm: after a stop its next chunk begins elsewhere.
            "rule_start_jump": "clip",
            **parameters,
        }
        words = [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
        first = len(self.witness.statuses)
        self.start("driver", [str(find_executable("arx_x5_driver", "driver")), "--ros-args", *words])
        started = ("holding", "active") if enabled else ("stopped",)
        self.witness.wait(
            lambda: any(status.state in started for status in self.witness.statuses[first:]), _START_S, "the driver"
        )

    def start_policy(self) -> None:
        """Start a scripted policy around the pose at which drivers start."""
        pose = self._kinematics.forward(np.array(START_RAD))
        numbers = [f"{number:.9f}" for number in (*pose.position, *pose.quaternion)]
        self.start("policy", [sys.executable, "-m", "uva_experiments.driver.faults.scripted", *numbers])

    def start(self, name: str, argv: Sequence[str]) -> None:
        """Start any process."""
        self.start_all(name, [Command(name, argv)])

    def start_all(self, name: str, commands: Sequence[Command]) -> None:
        """Start processes that belong together."""
        supervisor = Supervisor(commands, lambda label, line: print(f"[{label}] {line}", file=self._log, flush=True))
        supervisor.start()
        self._running[name] = supervisor

    def end(self, name: str) -> None:
        """Ask a process to end, and wait for it."""
        self._running.pop(name).stop()

    def end_all(self) -> None:
        """Ask all processes to end, and wait for them."""
        for name in list(self._running):
            self.end(name)

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a process."""
        os.kill(self._running[name].pids[name], number)

    @contextmanager
    def busy_processors(self) -> Iterator[None]:
        """Keep every processor busy."""
        names = [f"hog{number}" for number in range(os.cpu_count() or 1)]
        with ExitStack() as stack:
            for name in names:
                self.start(name, [sys.executable, "-I", "-S", "-c", "while True: pass"])
                stack.callback(self.end, name)
            yield

    def use(self, since_s: float, shortest_s: float) -> Use:
        """Return how much of the limits the commands since a time used; see `use_of`."""
        commands = [command for command in self.witness.commands if command.stamp_s >= since_s]
        return use_of(commands, self._limits(), lambda joints: self._kinematics.frames(joints)[-1], shortest_s)

    def settle(self, duration_s: float = 1.5) -> float:
        """Wait until chunks are executed, and a while longer; return the time."""
        self.witness.wait_for("active", self.witness.now_s, _START_S)
        self.witness.wait(self.witness.follows_chunks, _START_S, "the chunks that the driver takes")
        time.sleep(duration_s)
        return self.witness.now_s

    def _limits(self) -> Limits:
        parameters = self._parameters
        motion = parameters.controller_config().motion
        bounds, rules = motion.bounds(), motion.cartesian
        return Limits(
            position_min=bounds.position_min,
            position_max=bounds.position_max,
            velocity=bounds.velocity_max,
            acceleration=bounds.acceleration_max,
            jerk=bounds.jerk_max,
            box_min=rules.workspace_min,
            box_max=rules.workspace_max,
            floor_m=rules.floor_m,
            keypoints=rules.keypoints,
            tool_m_s=rules.speed_m_s,
            tool_rad_s=rules.speed_rad_s,
        )
