# SPDX-License-Identifier: Apache-2.0
"""The five jobs of a trained model. Engines, planning, training, data and the official code may import it."""
