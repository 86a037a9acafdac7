# SPDX-License-Identifier: Apache-2.0
"""Errors that end a node with one clear line."""


class StartupError(RuntimeError):
    """The node cannot start, for a reason its user can mend. The message says what, with name and value."""


class ParameterError(StartupError):
    """A parameter is unknown, has the wrong type, or lies outside what is allowed."""
