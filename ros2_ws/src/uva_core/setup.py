# SPDX-License-Identifier: Apache-2.0
"""Install uva_core as an ament_python package."""

from setuptools import find_packages, setup

package_name = "uva_core"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"], f"{package_name}.presets": ["*.yaml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=[
        "setuptools",
        "accelerate",
        "diffusers",
        "einops",
        "numpy",
        "pyyaml",
        "safetensors",
        "scipy",
        "torch",
        "tqdm",
        "zarr",
    ],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="UVA ROS 2 maintainers",
    maintainer_email="maintainers@example.com",
    description="The Unified Video Action model: network, training, data and inference in PyTorch.",
    license="Apache-2.0",
)
