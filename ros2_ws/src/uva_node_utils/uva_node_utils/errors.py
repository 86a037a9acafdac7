# SPDX-License-Identifier: Apache-2.0
"""Errors that end a node with one clear line."""


class StartupError(RuntimeError):
    """The node cannot start, for a reason that its user can correct. The message has name and value."""


class ParameterError(StartupError):
    """A parameter is unknown, has the wrong type, or lies outside what is allowed."""
