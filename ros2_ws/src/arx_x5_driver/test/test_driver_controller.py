# SPDX-License-Identifier: Apache-2.0
"""States, requests, pauses and the watchdog of chunks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from arx_x5_driver.chunk import Chunk
from arx_x5_driver.control.state import RequestRefusedError, Snapshot, State
from arx_x5_driver.rules.chunk_gate import ChunkRejectedError
from arx_x5_driver.rules.rules import NOT_ENABLED

Make = Callable[..., Any]


def speed(rig: Any) -> float:
    return float(np.abs(rig.commands[-1][1].velocity).max())


def test_life_cycle(make_rig: Make) -> None:
    rig = make_rig()
    assert np.isnan(rig.snapshot().chunk_age_s)
    assert not counted(rig.snapshot())
    assert rig.controller.state is State.STOPPED
    assert "not enabled yet" in rig.snapshot().reason
    rig.run(0.1)
    assert not rig.commands
    rig.controller.enable(rig.now_s)
    assert rig.controller.state is State.HOLDING
    rig.run(0.1)
    rig.controller.deactivate()
    assert rig.controller.state is State.INACTIVE
    sent = len(rig.commands)
    rig.run(0.1)
    assert len(rig.commands) == sent
    rig.controller.cleanup()
    assert rig.controller.state is State.UNCONFIGURED


def counted(snapshot: Snapshot) -> dict[str, int]:
    return {rule: count for rule, count in snapshot.rule_counts.items() if count}


def run_into_motion(rig: Any, make_chunk: Make) -> None:
    """Enable the arm and move it at 10 cm/s."""
    rig.enable()
    chunk: Chunk = make_chunk(rig.now_s, rig.pose)
    moving = chunk.positions[0] + np.linspace(0.0, 0.16, 16)[:, np.newaxis] * [0.0, 1.0, 0.0]
    rig.controller.offer(replace(chunk, positions=moving), rig.now_s)
    rig.run(0.3)
    assert speed(rig) > 0.3


def test_activation_does_not_take_up_an_old_motion(make_rig: Make, make_chunk: Make) -> None:
    rig = make_rig()
    run_into_motion(rig, make_chunk)
    rig.controller.deactivate()  # the arm hangs: nobody ticks any more
    rig.arm = type(rig.arm)(rig.arm.read().position + 0.3, 0.01, 0.02, clock=lambda: rig.now_s)
    rig.now_s += 0.02
    rig.controller.activate()
    sent = len(rig.commands)
    rig.run(0.5)
    assert len(rig.commands) == sent


def test_enabling_holds_where_the_arm_is_measured(make_rig: Make) -> None:
    rig = make_rig()
    before = rig.arm.read()
    rig.enable()
    rig.run(0.5)
    after = rig.arm.read()
    np.testing.assert_allclose(after.position, before.position)
    assert after.gripper_width == before.gripper_width


def test_chunk_is_reached_in_true_time(make_rig: Make, make_chunk: Make) -> None:
    rig = make_rig(action_latency_s=0.02)
    rig.enable()
    chunk: Chunk = make_chunk(rig.now_s, rig.pose)
    rig.controller.offer(chunk, rig.now_s)
    for step in (7, 11, 15):
        rig.run(chunk.times_s[step] - rig.now_s)
        assert np.linalg.norm(rig.pose.position - chunk.positions[step]) < 1e-3
        assert rig.arm.read().gripper_width == pytest.approx(chunk.widths[step], abs=1e-3)
    assert rig.snapshot().chunk_sequence == 1


def test_late_steps_are_dropped(make_rig: Make, make_chunk: Make) -> None:
    rig = make_rig()
    rig.enable()
    chunk: Chunk = make_chunk(rig.now_s, rig.pose)
    rig.controller.offer(replace(chunk, stamp_s=chunk.stamp_s - 0.5, times_s=chunk.times_s - 0.5), rig.now_s)
    assert rig.snapshot().steps_dropped == 5
    rig.run(1.5)
    assert rig.snapshot().steps_executed == 11
    assert rig.snapshot().steps_dropped == 5


def test_hold_follows_the_last_step_within_300_ms(make_rig: Make, make_chunk: Make) -> None:
    rig = make_rig()
    rig.enable()
    chunk: Chunk = make_chunk(rig.now_s, rig.pose)
    # The target still moves fast at its end, as if the policy died in the middle of a motion.
    moving = chunk.positions[0] + np.linspace(0.0, 0.25, 16)[:, np.newaxis] * [0.0, 1.0, 0.0]
    rig.controller.offer(replace(chunk, positions=moving), rig.now_s)
    rig.run(chunk.times_s[-1] - rig.now_s - 0.01)
    assert rig.controller.state is State.ACTIVE
    assert speed(rig) > 0.2
    rig.run(0.3)
    assert rig.controller.state is State.HOLDING
    assert "the last step of chunk 1 is over" in rig.snapshot().reason
    assert speed(rig) == 0.0
    held = rig.commands[-1][1].position
    rig.run(1.0)
    assert rig.commands[-1][0] == pytest.approx(rig.now_s)
    np.testing.assert_array_equal(rig.commands[-1][1].position, held)


def test_hold_names_the_rejection_that_starved_it(make_rig: Make, make_chunk: Make) -> None:
    rig = make_rig()
    rig.enable()
    rig.controller.offer(make_chunk(rig.now_s, rig.pose), rig.now_s)
    with pytest.raises(ChunkRejectedError):
        rig.controller.offer(make_chunk(rig.now_s, rig.pose, 2, widths=np.full(16, np.nan)), rig.now_s)
    rig.run(2.0)
    assert "(rejected: not_finite:" in rig.snapshot().reason


def test_stop_brakes_then_sends_nothing_and_latches(make_rig: Make, make_chunk: Make) -> None:
    rig = make_rig()
    rig.enable()
    rig.controller.offer(make_chunk(rig.now_s, rig.pose), rig.now_s)
    rig.run(0.5)
    rig.controller.stop("stop was called")
    rig.run(0.3)
    assert speed(rig) == 0.0
    sent = len(rig.commands)
    with pytest.raises(ChunkRejectedError) as rejection:
        rig.controller.offer(make_chunk(rig.now_s, rig.pose, sequence=2), rig.now_s)
    assert rejection.value.rule == NOT_ENABLED
    rig.run(5.0)
    assert rig.controller.state is State.STOPPED
    assert rig.snapshot().reason == "stop was called"
    assert len(rig.commands) == sent
    rig.controller.enable(rig.now_s)
    rig.controller.offer(make_chunk(rig.now_s, rig.pose, sequence=3), rig.now_s)
    assert rig.controller.state is State.ACTIVE


def test_enable_after_the_arm_was_put_elsewhere_starts_from_there(make_rig: Make) -> None:
    """What a simulation's reset does: stop, place the arm anew, enable."""
    rig = make_rig()
    rig.enable()
    rig.controller.stop("reset")
    rig.run(0.3)
    rig.arm = type(rig.arm)(rig.arm.read().position + 0.3, 0.01, 0.02, clock=lambda: rig.now_s)
    rig.run(0.5)
    rig.controller.enable(rig.now_s)
    rig.run(0.1)
    np.testing.assert_allclose(rig.commands[-1][1].position, rig.arm.read().position)


@pytest.mark.parametrize(("velocity", "refused"), [(0.05, False), (-0.2, True), (np.nan, True)])
def test_enable_is_refused_while_a_joint_moves(make_rig: Make, velocity: float, refused: bool) -> None:
    rig = make_rig()
    rig.frozen = replace(rig.arm.read(), velocity=np.array([0.0, 0.0, 0.0, velocity, 0.0, 0.0]))
    rig.run(0.005)
    if refused:
        with pytest.raises(RequestRefusedError, match="joint4 is measured to move at"):
            rig.controller.enable(rig.now_s)
    else:
        rig.controller.enable(rig.now_s)


def test_enable_is_refused_with_a_joint_outside_its_limits(make_rig: Make) -> None:
    rig = make_rig()
    rig.arm = type(rig.arm)(np.array([0.0, -0.2, 0.0, 0.0, 0.0, 0.0]), 0.0, 0.0, clock=lambda: rig.now_s)
    rig.run(0.02)
    with pytest.raises(RequestRefusedError, match="joint2 is measured at -0.200 rad, outside its limits"):
        rig.controller.enable(rig.now_s)


def test_a_joint_slightly_outside_its_limits_is_not_pulled_in_by_enabling(make_rig: Make, make_chunk: Make) -> None:
    rig = make_rig()
    outside = np.array([0.0, -0.09, 0.5, 0.0, 0.0, 0.0])
    rig.arm = type(rig.arm)(outside, 0.0, 0.0, clock=lambda: rig.now_s)
    rig.enable()
    rig.run(0.1)
    assert all((command.position == outside).all() for _, command in rig.commands)
    rig.controller.offer(
        make_chunk(rig.now_s, rig.kinematics.forward(np.array([0.0, 0.3, 0.5, 0.0, 0.0, 0.0]))), rig.now_s
    )
    rig.run(1.5)
    track = np.array([command.position for _, command in rig.commands])
    assert track[:, 1].min() == -0.09
    assert track[-1, 1] > 0.2
    assert np.abs(np.diff(track, axis=0)).max() <= 5.5 * 0.4 * 0.005 + 1e-9


def test_time_that_does_not_advance_does_nothing(make_rig: Make, make_chunk: Make) -> None:
    rig = make_rig()
    rig.enable()
    rig.controller.offer(make_chunk(rig.now_s, rig.pose), rig.now_s)
    rig.run(0.3)
    assert rig.controller.tick(rig.now_s, rig.arm.read()) is None
    assert rig.controller.tick(rig.now_s - 5.0, rig.arm.read()) is None


def test_a_pause_of_the_loop_causes_no_jump(make_rig: Make, make_chunk: Make) -> None:
    rig = make_rig()
    rig.enable()
    rig.controller.offer(make_chunk(rig.now_s, rig.pose), rig.now_s)
    rig.run(0.3)
    before = rig.commands[-1][1]
    rig.now_s += 0.5
    rig.run(0.005)
    after = rig.commands[-1][1]
    assert np.abs(after.position - before.position).max() < 0.01 * 5.5 * 0.4 + 1e-9


@pytest.mark.parametrize("pause_s", [0.1, 0.5])
def test_after_a_pause_in_which_the_arm_stood_still_it_starts_from_rest(
    make_rig: Make, make_chunk: Make, pause_s: float
) -> None:
    rig = make_rig()
    run_into_motion(rig, make_chunk)
    before = rig.commands[-1][1]
    rig.now_s += pause_s - 0.005
    rig.run(0.005)
    after = rig.commands[-1][1]
    assert rig.controller.state is State.ACTIVE
    assert np.abs(after.velocity).max() <= 0.5 * 600.0 * 0.01**2 + 1e-9
    assert np.abs(after.position - before.position).max() <= 600.0 * 0.01**3 / 6 + 1e-9
    rig.run(0.3)
    assert speed(rig) > 0.3


def test_a_short_delay_of_the_loop_does_not_stop_the_motion(make_rig: Make, make_chunk: Make) -> None:
    rig = make_rig()
    run_into_motion(rig, make_chunk)
    rig.now_s += 0.07
    rig.run(0.005)
    assert speed(rig) > 0.3


def test_a_stopped_arm_is_told_to_stand_after_a_pause_in_its_braking(make_rig: Make, make_chunk: Make) -> None:
    rig = make_rig()
    run_into_motion(rig, make_chunk)
    rig.controller.stop("stop was called")
    rig.run(0.01)
    rig.now_s += 0.2
    rig.run(0.01)
    assert rig.commands[-1][0] == pytest.approx(rig.now_s - 0.005)
    assert not rig.commands[-1][1].moves


@pytest.mark.parametrize(("action", "state"), [("reject", State.HOLDING), ("stop", State.STOPPED)])
def test_a_policy_that_falls_silent_is_not_followed_for_long(
    make_rig: Make, make_chunk: Make, action: str, state: State
) -> None:
    rig = make_rig(chunk_timeout_s=0.5, rule_chunk_timeout=action)
    run_into_motion(rig, make_chunk)
    rig.run(0.19)
    assert rig.controller.state is State.ACTIVE
    rig.run(0.02)
    assert rig.controller.state is state
    assert rig.snapshot().reason == "no valid chunk followed chunk 1 within 0.5 s"
    rig.run(0.3)
    assert speed(rig) == 0.0
    assert counted(rig.snapshot()) == {"chunk_timeout": 1}
    snapshot = rig.snapshot()
    assert snapshot.steps_executed + snapshot.steps_dropped + snapshot.steps_superseded == 16
    assert snapshot.steps_superseded > 5


def test_chunks_may_be_followed_to_their_ends(make_rig: Make, make_chunk: Make) -> None:
    rig = make_rig(chunk_timeout_s=0.0)
    rig.enable()
    chunk: Chunk = make_chunk(rig.now_s, rig.pose)
    rig.controller.offer(replace(chunk, times_s=rig.now_s + 0.3 * np.arange(1, 17)), rig.now_s)
    rig.run(4.7)
    assert rig.controller.state is State.ACTIVE


def test_faults_of_the_arm_count_once_each(make_rig: Make) -> None:
    rig = make_rig()
    rig.controller.fault("the arm failed", "arm_error")
    rig.controller.fault("the arm failed", "arm_error")
    assert counted(rig.snapshot()) == {"arm_error": 1}
    rig.enable()
    rig.controller.fault("the arm failed", "arm_error")
    assert counted(rig.snapshot()) == {"arm_error": 2}
