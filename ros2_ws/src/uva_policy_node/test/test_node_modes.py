# SPDX-License-Identifier: Apache-2.0
"""What the node publishes in each mask mode, and how modes and instructions change."""

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Pose

from uva_msgs.msg import ActionChunk
from uva_node_utils.time import stamp_to_seconds

pytestmark = pytest.mark.system


def test_chunks_carry_the_stamp_of_the_newest_image_and_say_what_they_are(make_rig):
    rig = make_rig()
    rig.wait(lambda: len(rig.received["chunk"]) >= 3)
    chunks = rig.received["chunk"]
    now = rig.client.get_clock().now().nanoseconds * 1e-9
    for chunk in chunks:
        assert len(chunk.poses) == len(chunk.gripper_width) == len(chunk.time_from_start) == 16
        assert chunk.header.frame_id == "base_link"
        assert chunk.mask_mode == "policy"
        assert 0 < now - stamp_to_seconds(chunk.header.stamp) < 5.0
    assert [c.sequence for c in chunks] == list(range(len(chunks)))
    assert not rig.received["image"]


def test_video_mode_publishes_frames_stamped_with_the_time_they_predict_and_moves_nothing(make_rig):
    rig = make_rig(mask_mode="video")
    rig.wait(lambda: len(rig.received["image"]) >= 4 and rig.received["strip"])
    stamps = [stamp_to_seconds(m.header.stamp) for m in rig.received["image"][:4]]
    newest = stamp_to_seconds(rig.received["strip"][0].header.stamp)
    assert [round(s - newest, 3) for s in stamps] == [0.1, 0.2, 0.3, 0.4]
    assert not rig.received["chunk"]


def test_all_five_modes_run_one_after_another_by_service_and_parameter(make_rig):
    rig = make_rig(candidates=2, rate_hz=10.0)
    sequences: list[int] = []
    for change, mode, expected in (
        (None, "policy", {"chunk"}),
        (rig.set_mode, "video", {"image", "strip"}),
        (rig.set_parameter, "forward_dynamics", {"image", "strip"}),
        (rig.set_mode, "inverse_dynamics", {"estimate"}),
        (rig.set_parameter, "policy_planner", {"chunk", "candidates", "image", "strip", "divergence"}),
        (rig.set_mode, "policy", {"chunk"}),
    ):
        if change == rig.set_mode:
            assert change(mode).success
        elif change == rig.set_parameter:
            assert change("mask_mode", mode).successful
        came = rig.published(*expected)
        assert set(came) == expected
        assert {chunk.mask_mode for name in ("chunk", "estimate") for chunk in came.get(name, [])} <= {mode}
        assert rig.node.get_parameter("mask_mode").value == mode
        sequences += [chunk.sequence for chunk in came.get("chunk", [])]
        if mode == "policy_planner":
            candidates = {array.chunks[0].sequence: array for array in came["candidates"]}
            pairs = [(c, candidates[c.sequence]) for c in came["chunk"] if c.sequence in candidates]
            assert pairs
            for chosen, array in pairs:
                assert len(array.chunks) == 2 and not array.scores
                assert array.chunks[0] == chosen and array.chunks[1].poses != chosen.poses
            assert all(0 < message.data <= 1 for message in came["divergence"])
        if mode == "inverse_dynamics":
            now_s = rig.client.get_clock().now().nanoseconds * 1e-9
            assert now_s - stamp_to_seconds(came["estimate"][-1].header.stamp) > 0.4
    assert sequences == sorted(set(sequences))
    assert rig.value("mask_mode") == "policy"


def test_an_unknown_mode_is_refused_with_those_there_are(make_rig):
    rig = make_rig()
    text = "unknown mask mode 'dream'; choose one of: policy, video, forward_dynamics, inverse_dynamics, policy_planner"
    response, result = rig.set_mode("dream"), rig.set_parameter("mask_mode", "dream")
    assert (response.success, response.message) == (result.successful, result.reason) == (False, text)
    assert not rig.set_parameter("rate_hz", 1.0).successful  # fixed when the node starts
    assert rig.node.get_parameter("mask_mode").value == "policy"


def test_a_chunk_that_is_being_worked_on_during_a_switch_moves_nothing(make_rig, monkeypatch):
    rig = make_rig()
    rig.wait(lambda: rig.received["chunk"])
    begun, go_on = rig.slow_down(monkeypatch)
    rig.wait(begun.is_set)
    rig.spin(0.1)
    count = len(rig.received["chunk"])
    assert rig.set_mode("video").success
    go_on.set()
    rig.wait(lambda: rig.received["image"])
    assert len(rig.received["chunk"]) == count


def test_a_planner_that_chooses_is_left_the_choice(make_rig):
    rig = make_rig(mask_mode="policy_planner", planner=True)
    assert set(rig.published("candidates")) == {"candidates", "image", "strip"}


def test_forward_dynamics_predicts_from_the_chunk_it_is_given(make_rig, checkpoint):
    rig = make_rig(mask_mode="forward_dynamics")
    rig.wait(lambda: rig.received["image"])
    assert rig.value("actions") == "the policy's own"

    def expect_prediction(steps: int, actions: str) -> None:
        chunk = ActionChunk(poses=[Pose()] * steps, gripper_width=[0.0] * steps)
        chunk.header.frame_id = "base_link"
        rig.queries.publish(chunk)
        rig.wait(lambda: rig.value("actions") == actions)

    expect_prediction(16, "given")
    expect_prediction(15, "given")  # refused: another number of steps than the model's
    rig.spin(0.2)
    assert rig.value("actions") == "given"
    expect_prediction(0, "the policy's own")
    assert not rig.received["chunk"]


def test_instructions_of_a_model_with_language_may_change_while_it_runs(make_rig, checkpoint):
    rig = make_rig(checkpoint.replace("all.", "language."))
    rig.wait_for_status(DiagnosticStatus.WARN, "needs an instruction: 'push'; 'pull'")
    assert not rig.received["chunk"]
    refused = rig.set_instruction("throw")
    assert (refused.success, refused.message) == (False, "unknown instruction 'throw'; known: 'push'; 'pull'")
    assert rig.set_instruction("push").success
    assert set(rig.published("chunk")) == {"chunk"}
    assert rig.set_parameter("instruction", "pull").successful
    assert rig.published("chunk")
    assert rig.value("instruction") == "pull"


def test_a_model_without_language_takes_no_instruction(make_rig):
    rig = make_rig()
    refused = rig.set_instruction("push")
    assert not refused.success
    assert "follows no instructions" in refused.message
