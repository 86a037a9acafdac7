# SPDX-License-Identifier: Apache-2.0
"""Install arx_x5_driver as an ament_python package."""

from setuptools import find_packages, setup

package_name = "arx_x5_driver"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy", "arx5-interface"],
    extras_require={"test": ["pytest"]},
    entry_points={"console_scripts": [f"driver = {package_name}.main:main"]},
    zip_safe=True,
    maintainer="UVA ROS 2 maintainers",
    maintainer_email="maintainers@example.com",
    description="Driver of the ARX X5: executes chunks of end effector poses in true time, safely, at 200 Hz.",
    license="Apache-2.0",
)
