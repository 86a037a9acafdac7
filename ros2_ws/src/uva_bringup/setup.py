# SPDX-License-Identifier: Apache-2.0
"""Install the package with launch files, parameters and weights, which live at the top of the repository."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "uva_bringup"


def shared(folder: str) -> list[tuple[str, list[str]]]:
    """Return data_files for all files below a folder, with its sub-folders kept."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".pyc")
    return [(f"share/{NAME}/{path.parent}", [str(path)]) for path in files]


setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={NAME: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *shared("launch"),
        *shared("config"),
        *shared("models"),
    ],
    zip_safe=True,
    maintainer="UVA ROS 2 maintainers",
    maintainer_email="maintainers@example.com",
    description="Describes and starts the UVA stack: launch files, parameters, runner and demo.",
    license="Apache-2.0",
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "run = uva_bringup.run:main",
            "demo = uva_bringup.demo.__main__:main",
        ]
    },
)
