# SPDX-License-Identifier: Apache-2.0
"""`python -m uva_core.checkpoint convert | show`; the command itself is `official/importing/command.py`."""

import sys

from uva_core.official.importing.command import main

if __name__ == "__main__":
    sys.exit(main())
