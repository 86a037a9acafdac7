# SPDX-License-Identifier: Apache-2.0
from uva_core.modes import MaskMode
from uva_core.training.recipes import UvaRecipe


def test_every_mode_is_in_every_batch_after_the_video_stage():
    recipe = UvaRecipe(video_only_steps=5, windows={"policy": 2, "video": 1, "inverse_dynamics": 0})
    assert recipe.modes(5) == [MaskMode.POLICY, MaskMode.POLICY, MaskMode.VIDEO]
    assert recipe.modes(4) == [MaskMode.VIDEO, MaskMode.FORWARD_DYNAMICS, MaskMode.VIDEO]
    assert recipe.trained_modes == ("policy", "video")
