# SPDX-License-Identifier: Apache-2.0
"""How closely and how smoothly the driver follows chunks, against a driver that only takes their first steps.

`python -m uva_experiments.driver.tracking` runs both in simulated time; docs/tracking.md has the results.
"""
