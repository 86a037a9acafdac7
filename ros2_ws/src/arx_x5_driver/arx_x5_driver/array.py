# SPDX-License-Identifier: Apache-2.0
"""The one type of the driver's arrays: shapes and units stand in the docstrings of those who use it."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
