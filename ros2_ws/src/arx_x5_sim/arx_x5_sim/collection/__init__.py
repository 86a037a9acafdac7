# SPDX-License-Identifier: Apache-2.0
"""Episodes recorded as data sets to train on. Imports `tasks` and `world`; `uva_experiments` may import it."""
