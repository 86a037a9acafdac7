# SPDX-License-Identifier: Apache-2.0
"""Configuration, activation and their opposites, and models that cannot be used."""

import time

import pytest
from rclpy.lifecycle import TransitionCallbackReturn

from uva_node_utils.lifecycle import StartupError

pytestmark = pytest.mark.system


@pytest.mark.parametrize(
    ("model", "text"),
    [("", "parameter 'model' is empty"), ("/nowhere/uva.safetensors", "no checkpoint at /nowhere/uva.safetensors")],
)
def test_a_checkpoint_that_is_not_there_ends_in_one_line(make_rig, model, text):
    rig = make_rig(model)
    with pytest.raises(StartupError, match=text):
        rig.node.autostart()


def test_it_works_again_after_cleanup_and_a_second_configuration(make_rig):
    rig = make_rig()
    rig.wait(lambda: rig.received["chunk"])
    rig.node.wind_down()
    last = rig.received["chunk"][-1].sequence
    for transition in (rig.node.trigger_configure, rig.node.trigger_activate):
        assert transition() == TransitionCallbackReturn.SUCCESS
    rig.wait(lambda: rig.received["chunk"][-1].sequence > last)
    sequences = [c.sequence for c in rig.received["chunk"]]
    assert sequences == sorted(set(sequences))


def test_nothing_is_published_after_a_shutdown_while_active(make_rig):
    rig = make_rig()
    rig.wait(lambda: rig.received["chunk"])
    assert rig.node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS
    assert rig.node.state_name == "finalized"
    rig.spin(0.3)  # what was sent before may still arrive
    count = len(rig.received["chunk"])
    rig.spin(0.5)
    assert len(rig.received["chunk"]) == count


def test_a_deactivation_does_not_wait_for_an_inference_and_throws_it_away(make_rig, monkeypatch):
    rig = make_rig()
    rig.wait(lambda: rig.received["chunk"])
    begun, go_on = rig.slow_down(monkeypatch)
    rig.wait(begun.is_set)
    rig.spin(0.3)
    count = len(rig.received["chunk"])
    started_s = time.monotonic()
    assert rig.node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert time.monotonic() - started_s < 0.5
    assert rig.node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert rig.node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    go_on.set()
    rig.spin(0.5)
    assert len(rig.received["chunk"]) == count
    rig.node.autostart()
    rig.wait(lambda: len(rig.received["chunk"]) > count)


def test_a_model_that_never_learnt_actions_moves_no_arm(make_rig, checkpoint):
    model = checkpoint.replace("all.", "video.")
    with pytest.raises(StartupError, match="never trained in mask mode 'policy', only in: video; its actions would"):
        make_rig(model, autostart=False).node.autostart()
    rig = make_rig(model, mask_mode="video")
    rig.wait(lambda: rig.received["image"])
    response = rig.set_mode("policy")
    assert not response.success
    assert "never trained in mask mode 'policy'" in response.message
    rig.spin(0.5)
    assert not rig.received["chunk"]


@pytest.mark.parametrize(("parameter", "value"), [("denoising_steps", 1), ("video_iterations", 256)])
def test_a_parameter_that_does_not_suit_the_model_ends_in_one_line(make_rig, parameter, value):
    rig = make_rig(autostart=False, **{parameter: value})
    with pytest.raises(StartupError, match=parameter):
        rig.node.autostart()
