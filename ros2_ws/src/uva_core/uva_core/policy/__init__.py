# SPDX-License-Identifier: Apache-2.0
"""The five jobs of a trained model. Training, official code and whoever uses a model may import it."""
