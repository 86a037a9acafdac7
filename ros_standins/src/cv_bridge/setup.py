# SPDX-License-Identifier: Apache-2.0
"""Package cv_bridge (stand-in)."""

from setuptools import setup

setup(
    name="cv_bridge",
    version="0.1.0",
    packages=["cv_bridge"],
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/cv_bridge"]),
        ("share/cv_bridge", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="UVA ROS 2 maintainers",
    maintainer_email="maintainers@example.com",
    description="Pip-only stand-in for cv_bridge: Image messages to and from OpenCV arrays.",
    license="Apache-2.0",
)
