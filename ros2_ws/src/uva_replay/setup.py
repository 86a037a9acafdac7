# SPDX-License-Identifier: Apache-2.0
"""Install uva_replay as an ament_python package."""

from setuptools import find_packages, setup

package_name = "uva_replay"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy", "pillow", "rosbags", "imageio-ffmpeg"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="UVA ROS 2 maintainers",
    maintainer_email="maintainers@example.com",
    description="Recordings of the stack: written, read, compared with what the model predicts, and drawn.",
    license="Apache-2.0",
)
