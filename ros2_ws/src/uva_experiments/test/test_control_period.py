# SPDX-License-Identifier: Apache-2.0
"""The time of a control period is measured without the first second."""

import numpy as np
import pytest

pytest.importorskip("arx5_interface")

from uva_experiments.driver.control_period import period_times_s


def test_every_period_after_the_first_second_is_timed():
    times_s = period_times_s(duration_s=1.5)
    assert times_s.shape == (100,)
    assert (times_s > 0.0).all()
    assert np.median(times_s) < 0.005, "a period has 5 ms"
