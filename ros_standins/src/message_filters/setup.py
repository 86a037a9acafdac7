# SPDX-License-Identifier: Apache-2.0
"""Package message_filters (stand-in)."""

from setuptools import setup

setup(
    name="message_filters",
    version="0.1.0",
    packages=["message_filters"],
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/message_filters"]),
        ("share/message_filters", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="UVA ROS 2 maintainers",
    maintainer_email="maintainers@example.com",
    description="Pip-only stand-in for message_filters: the names the nodes use, with the same semantics.",
    license="Apache-2.0",
)
