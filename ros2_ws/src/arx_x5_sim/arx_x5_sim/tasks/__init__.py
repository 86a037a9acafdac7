# SPDX-License-Identifier: Apache-2.0
"""What is done in a world, a folder for each task. Imports `world`; node, collection and experiments may import it.

A task has `scene.py`, which adds its objects to the model, and `task.py`, which places them and says when it is solved.
"""
