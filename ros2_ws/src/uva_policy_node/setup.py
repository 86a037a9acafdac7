# SPDX-License-Identifier: Apache-2.0
"""Install uva_policy_node as an ament_python package."""

from setuptools import find_packages, setup

package_name = "uva_policy_node"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy", "torch"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="UVA ROS 2 maintainers",
    maintainer_email="maintainers@example.com",
    description="Synchronised camera images and arm states in, chunks, predicted frames or estimated actions out.",
    license="Apache-2.0",
    entry_points={"console_scripts": ["policy = uva_policy_node.main:main"]},
)
