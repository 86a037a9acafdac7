# SPDX-License-Identifier: Apache-2.0
"""The fixed camera in front of the table."""

from __future__ import annotations

import os
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from arx_x5_sim.world.scene import CAMERA_FOVY_DEG, CAMERA_NAME
from arx_x5_sim.world.world import World

Image = NDArray[np.uint8]

GEOMS_MAX = 200


class RenderingUnavailableError(RuntimeError):
    """No OpenGL context can be made on this machine."""


class Camera:
    """Render any world of one model. Owns an OpenGL context: use and close it in the thread that made it."""

    def __init__(self, model: mujoco.MjModel, width: int = 128, height: int = 128) -> None:
        """Open an off-screen OpenGL context for images of `width` by `height` pixels.

        Raises:
            RenderingUnavailableError: OpenGL cannot be initialised; the message names the packages that may be missing.
        """
        self.width = width
        self.height = height
        self._model = model
        try:
            self._gl = _open_gl(width, height)
            self._gl.make_current()
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        except Exception as error:  # PyOpenGL and MuJoCo raise whatever the missing library happens to cause
            raise RenderingUnavailableError(
                "cannot open an OpenGL context for rendering without a display: install the Debian packages "
                f"libegl1 libgl1-mesa-dri ({type(error).__name__}: {error})"
            ) from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=GEOMS_MAX)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[flag] = False
        self._option = mujoco.MjvOption()
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._view.fixedcamid = model.camera(CAMERA_NAME).id

    def render(self, world: World) -> Image:
        """Return what the camera sees of `world`, (height, width, 3) RGB."""
        self._gl.make_current()
        mujoco.mjv_updateScene(
            self._model,
            world.data,
            self._option,
            None,
            self._view,
            mujoco.mjtCatBit.mjCAT_ALL.value,
            self._scene,
        )
        viewport = mujoco.MjrRect(0, 0, self.width, self.height)
        mujoco.mjr_render(viewport, self._scene, self._context)
        bottom_up = np.empty((self.height, self.width, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(bottom_up, None, viewport, self._context)
        return np.ascontiguousarray(bottom_up[::-1])

    def close(self) -> None:
        """Free the OpenGL context."""
        self._gl.make_current()
        self._context.free()
        self._gl.free()


def focal_length_px(height: int) -> float:
    """Return the focal length [px] of an image of `height` rows. Pixels are square, the view is undistorted."""
    return float(0.5 * height / np.tan(0.5 * np.deg2rad(CAMERA_FOVY_DEG)))


def _open_gl(width: int, height: int) -> Any:
    """Open EGL, unless MUJOCO_GL names something else.

    MuJoCo chooses when it is first imported, and its default needs a display.
    """
    if os.environ.get("MUJOCO_GL", "egl").lower() == "egl":
        from mujoco.egl import GLContext
    else:
        from mujoco.gl_context import GLContext
    return GLContext(width, height)
