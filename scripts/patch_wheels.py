# SPDX-License-Identifier: Apache-2.0
"""Point the ROS 2 wheels' CMake files at this Python.

The wheels were built in a manylinux container, and their exported targets carry its include directories. Run
with the Python of the virtual environment; running it again changes nothing.
"""

import re
import sys
import sysconfig
from pathlib import Path

import numpy

BUILD_TIME_PATHS = {
    re.compile(r"/opt/python/cp3\d+-cp3\d+/include/python3\.\d+"): sysconfig.get_path("include"),
    re.compile(r"/opt/python/cp3\d+-cp3\d+/lib/python3\.\d+/site-packages/numpy/_core/include"): numpy.get_include(),
}


def patch(prefix: Path) -> int:
    """Rewrite every CMake file under `prefix`/share that needs it, and return how many did."""
    patched = 0
    for path in sorted(prefix.glob("share/**/*.cmake")):
        before = path.read_text(encoding="utf-8")
        after = before
        for build_time_path, here in BUILD_TIME_PATHS.items():
            after = build_time_path.sub(lambda _, here=here: here, after)
        if after != before:
            path.write_text(after, encoding="utf-8")
            patched += 1
    return patched


if __name__ == "__main__":
    print(f"patched {patch(Path(sys.prefix))} CMake files")
