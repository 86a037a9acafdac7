# SPDX-License-Identifier: Apache-2.0
"""Install uva_experiments as an ament_python package."""

from setuptools import find_packages, setup

package_name = "uva_experiments"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "matplotlib", "mujoco", "numpy", "scipy", "torch", "tqdm"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="UVA ROS 2 maintainers",
    maintainer_email="maintainers@example.com",
    description="Experiments with numbers: pushing in closed loop, dynamics, the driver under faults and on a path.",
    license="Apache-2.0",
)
