# SPDX-License-Identifier: Apache-2.0
"""What ends the demo early."""


class DemoError(RuntimeError):
    """The stack was not healthy; the message is one line for the user."""
