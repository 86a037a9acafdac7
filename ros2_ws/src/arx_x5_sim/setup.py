# SPDX-License-Identifier: Apache-2.0
"""Install arx_x5_sim as an ament_python package."""

from setuptools import find_packages, setup

package_name = "arx_x5_sim"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy", "scipy", "mujoco", "arx5-interface", "zarr", "numcodecs", "tqdm"],
    extras_require={"test": ["pytest"]},
    entry_points={"console_scripts": [f"sim = {package_name}.main:main"]},
    zip_safe=True,
    maintainer="UVA ROS 2 maintainers",
    maintainer_email="maintainers@example.com",
    description="A small MuJoCo world of the ARX X5: arm, table, camera, tasks, scripted expert, data sets",
    license="Apache-2.0",
)
