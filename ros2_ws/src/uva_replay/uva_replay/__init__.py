# SPDX-License-Identifier: Apache-2.0
"""Recordings of the stack: written, read, compared with the model, and drawn. Demo and experiments may import it."""
