# SPDX-License-Identifier: Apache-2.0
"""Move joints towards targets that may do anything, within limits that always hold.

A filter of third order follows the target; its output passes the limiter, on which safety rests. With each motion the
limiter keeps the *brake* that leads from there to rest (see `braking`), within the limits of acceleration and jerk. A
step is taken only if its own brake passes the checks: of speed, of the joints' positions, and the `PathCheck`. If it
does not, a step nearer to braking is tried, and in the end the joints follow the brake that passed before. So the
argument is by induction: the joints are on a path that was checked, and to follow it is always possible. Each step is a
mixture of the brake's and of a wanted one within the limits of acceleration and jerk; both keep these, and so do their
mixtures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from math import copysign, sqrt
from typing import NamedTuple

from arx_x5_driver.motion.braking import Brake, JointMotion, braking_time_s, farthest_positions, peak_velocity
from arx_x5_driver.motion.joint_bounds import JointBounds, SharedBounds

_ROUNDING = 1e-9  # a request this little over a limit is floating point, not a violation
_TOWARDS_BRAKING = (1.0, 0.75, 0.5, 0.25)  # shares of the wanted step that are tried, the rest being the brake
_THIRD = 1.0 / 3.0

HIGHEST_BANDWIDTH = 0.3
"""The highest bandwidth of the filter [rad per period] with which joints come to rest at a resting target, whatever
their limits. Above 0.87 the filter itself is unstable; in between, limits and missed periods can make joints swing
(seen from 0.4 on; at 0.3, none of 668 random configurations did)."""

POSITION = "position"
VELOCITY = "velocity"
SHARED_ACCELERATION = "shared acceleration"

PathCheck = Callable[[Sequence[float], Brake, float], "str | None"]
"""(present position, braking after a step, dt) -> the rule that refuses the step, None if none does."""


def _anywhere(_here: Sequence[float], _brake: Brake, _dt_s: float) -> None:
    return None


class Saturation(NamedTuple):
    """Which limits a step as fast as the target asks would have broken.

    Attributes:
        velocity: a joint's velocity, or the shared one.
        acceleration: a joint's acceleration.
        jerk: a joint's jerk.
        shared_acceleration: the shared acceleration.
        shared_jerk: the shared jerk.
        barred: the limit that the path after the step would break, so that a slower step or the brake was taken:
            `POSITION`, `VELOCITY`, `SHARED_ACCELERATION`, or what the `PathCheck` returned; None if there is none.
    """

    velocity: bool
    acceleration: bool
    jerk: bool
    shared_acceleration: bool
    shared_jerk: bool
    barred: str | None


class JointTracker:
    """The commanded motion of n joints, moved step by step."""

    def __init__(
        self,
        bounds: JointBounds,
        bandwidth_rad_s: float,
        may_go: PathCheck = _anywhere,
        shared: Sequence[SharedBounds] = (),
    ) -> None:
        """Stand at the allowed position nearest to zero; `reset` sets the true one.

        Args:
            bounds: what always holds.
            bandwidth_rad_s: of the filter; 2 / bandwidth is its delay.
            may_go: refuses steps; it must always allow joints to rest.
            shared: what always holds for all joints together.
        """
        self._shared = tuple(shared)
        self._limits = reduce(JointBounds.within, self._shared, bounds).rows()
        # Gains from error to velocity, acceleration, jerk: three equal poles at 1.5 times the bandwidth.
        self._gains = (0.5 * bandwidth_rad_s, 1.5 * bandwidth_rad_s, 4.5 * bandwidth_rad_s)
        self._may_go = may_go
        self.reset([min(max(0.0, low), high) for low, high, *_ in self._limits])

    @property
    def motion(self) -> JointMotion:
        """The present commanded motion."""
        return self._motion

    @property
    def delay_s(self) -> float:
        """Time by which the command lags behind a target at constant speed."""
        return 1.0 / self._gains[0]

    @property
    def moving(self) -> bool:
        """Whether the joints are commanded to move."""
        return not self._motion.at_rest

    def reset(self, position: Sequence[float]) -> None:
        """Stand still at a position `(n,)`. Where it is outside the bounds, joints may only move back in."""
        still = [0.0] * len(self._limits)
        self._motion = JointMotion(list(position), still, still)
        self._brake, self._braking_s = Brake(self._motion, 0.0), 0.0
        self._braked = 0  # how many of the shares in _TOWARDS_BRAKING were too much
        self._barred: str | None = None

    def follow(self, target: Sequence[float], dt_s: float) -> Saturation:
        """Take one step of `dt_s` towards a finite target `(n,)`."""
        by_error, by_velocity, by_acceleration = self._gains
        # Near the target the speed is proportional to the distance. From farther away it is one that half of the limits
        # of acceleration and jerk can bring to an end there: with a faster one joints overshoot again and again.
        speeds = []
        excess = 0.0
        for (low, high, velocity_max, acceleration_max, jerk_max), goal, x in zip(
            self._limits, target, self._motion.position, strict=True
        ):
            error = min(max(goal, low), high) - x
            distance = abs(error)
            speed = min(
                by_error * distance, sqrt(acceleration_max * distance), (0.5 * jerk_max * distance**2) ** _THIRD
            )
            excess = max(excess, speed / velocity_max)
            speeds.append(copysign(speed, error))
        for shared in self._shared:
            excess = max(excess, shared.of(speeds) / shared.velocity_max)
        slower = 1.0 / max(excess, 1.0)
        accelerations = []
        acceleration_limited = False
        for (_, _, _, acceleration_max, jerk_max), speed, v in zip(
            self._limits, speeds, self._motion.velocity, strict=True
        ):
            lack = slower * speed - v
            size = abs(lack)
            wanted = copysign(min(by_velocity * size, sqrt(jerk_max * size)), lack)
            limited = min(max(wanted, -acceleration_max), acceleration_max)
            accelerations.append(limited)
            acceleration_limited |= wanted != limited
        shared_acceleration = shared_jerk = False
        for shared in self._shared:
            pull = shared.of(accelerations)
            if pull > shared.acceleration_max:
                accelerations = [shared.acceleration_max / pull * wanted for wanted in accelerations]
                shared_acceleration = True
        share = min(by_acceleration * dt_s, 1.0)
        changes = []
        jerk_limited = False
        for (_, _, _, _, jerk_max), wanted, a in zip(
            self._limits, accelerations, self._motion.acceleration, strict=True
        ):
            change = share * (wanted - a)
            change_max = jerk_max * dt_s
            changes.append(min(max(change, -change_max), change_max))
            jerk_limited |= abs(change) > change_max + _ROUNDING
        for shared in self._shared:
            jolt, jolt_max = shared.of(changes), shared.jerk_max * dt_s
            if jolt > jolt_max:
                changes = [jolt_max / jolt * change for change in changes]
                shared_jerk = True
        barred = self._advance(changes, dt_s)
        return Saturation(
            velocity=excess > 1.0 + _ROUNDING,
            acceleration=acceleration_limited,
            jerk=jerk_limited,
            shared_acceleration=shared_acceleration,
            shared_jerk=shared_jerk,
            barred=barred,
        )

    def brake(self, dt_s: float) -> None:
        """Take one step of `dt_s` along the checked path to rest, and forget what was barred before."""
        self._braked, self._barred = 0, None
        self._follow_brake(dt_s)

    def _follow_brake(self, dt_s: float) -> None:
        self._braking_s += dt_s
        self._motion = self._brake.at(self._braking_s)

    def _advance(self, changes: list[float], dt_s: float) -> str | None:
        """Take the allowed step nearest to the wanted changes of acceleration; return what barred the wanted one."""
        joints = list(zip(*self._motion, changes, strict=True))
        wanted = JointMotion(
            [x + dt_s * (v + dt_s * (0.5 * a + change / 6.0)) for x, v, a, change in joints],
            [v + dt_s * (a + 0.5 * change) for _, v, a, change in joints],
            [a + change for _, _, a, change in joints],
        )
        # Paths stay barred for many periods: begin a little above the share that passed last time.
        self._braked = max(self._braked - 1, 0)
        if not self._braked:
            self._barred = None
        for share in _TOWARDS_BRAKING[self._braked :]:
            motion = wanted if share == 1.0 else self._brake.at(self._braking_s + dt_s).mixed(wanted, share)
            brake = self._brake_from(motion)
            problem = self._problem(brake, dt_s)
            if problem is None:
                self._motion, self._brake, self._braking_s = motion, brake, 0.0
                break
            self._braked += 1
            self._barred = problem
        else:
            self._follow_brake(dt_s)
        return self._barred

    def _brake_from(self, motion: JointMotion) -> Brake:
        times_s = [
            braking_time_s(v, a, acceleration_max, jerk_max)
            for (_, _, _, acceleration_max, jerk_max), v, a in zip(
                self._limits, motion.velocity, motion.acceleration, strict=True
            )
        ]
        for shared in self._shared:
            v, a = shared.of(motion.velocity), shared.of(motion.acceleration)
            times_s.append(braking_time_s(v, a, shared.acceleration_max, shared.jerk_max))
        return Brake(motion, max(times_s))

    def _problem(self, brake: Brake, dt_s: float) -> str | None:
        duration_s, present = brake.duration_s, self._motion.position
        for (low, high, velocity_max, _, _), here, x, v, a, reach in zip(
            self._limits, present, *brake.start, brake.reach, strict=True
        ):
            # Bounds that are fast to compute and nearly always enough come first.
            speed = abs(v) + 4.0 / 27.0 * duration_s * abs(a)
            if speed > velocity_max and abs(peak_velocity(v, a, duration_s)) > velocity_max:
                return VELOCITY
            if abs(x - here) > velocity_max * dt_s:
                return VELOCITY
            # Within the bounds, or no further outside than the joint is now.
            low, high = min(low, here), max(high, here)
            if x - reach < low or x + reach > high:
                back, forth = farthest_positions(v, a, duration_s)
                if x + back < low or x + forth > high:
                    return POSITION
        for shared in self._shared:
            v, a = shared.of(brake.start.velocity), shared.of(brake.start.acceleration)
            if a > shared.acceleration_max + _ROUNDING:
                return SHARED_ACCELERATION
            if peak_velocity(v, a, duration_s) > shared.velocity_max:
                return VELOCITY
        return self._may_go(present, brake, dt_s)
