# SPDX-License-Identifier: Apache-2.0
"""Every package describes itself completely and truthfully.

colcon takes a package whose package.xml has a mistake for plain Python, without a word, and ROS then does
not find it.
"""

import ast
import re
import sys
from pathlib import Path

import pytest
from catkin_pkg.package import Package, parse_package

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = sorted(path.parent for path in ROOT.glob("*/src/*/package.xml"))
PYTHON_FOLDERS = [folder for folder in FOLDERS if (folder / "setup.py").exists()]

# What imports with these names is a ROS package of the same name.
ROS_PACKAGE = re.compile(
    r"(\w+_msgs|\w+_srvs|rclpy|\w+_interfaces|message_filters|cv_bridge|launch\w*|ament_index_python"
    r"|uva_\w+|arx_x5_\w+)"
)


def imported(module: Path) -> set[str]:
    """Names of the top-level modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names


def modules(folder: Path) -> list[Path]:
    """The modules of the Python package in a ROS package's folder."""
    return sorted((folder / folder.name).rglob("*.py"))


def by_name(folder: Path) -> str:
    return folder.name


@pytest.fixture
def package(folder: Path) -> Package:
    warnings: list[str] = []
    package = parse_package(str(folder), warnings=warnings)
    assert warnings == []
    return package


def test_all_packages_are_found():
    assert {"uva_msgs", "uva_node_utils", "message_filters", "cv_bridge"} <= {folder.name for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=by_name)
def test_package_xml_is_valid_and_the_same_everywhere(folder, package):
    package.validate()
    assert package.package_format == 3
    assert (package.name, package.version, package.licenses) == (folder.name, "0.1.0", ["Apache-2.0"])
    assert [(person.name, person.email) for person in package.maintainers] == [
        ("UVA ROS 2 maintainers", "maintainers@example.com")
    ]
    build_type = "ament_python" if folder in PYTHON_FOLDERS else "ament_cmake"
    assert package.get_build_type() == build_type


@pytest.mark.parametrize("folder", PYTHON_FOLDERS, ids=by_name)
def test_package_can_be_found_and_run_by_ros(folder):
    assert (folder / "resource" / folder.name).is_file()
    setup_py = (folder / "setup.py").read_text(encoding="utf-8")
    # Without it `colcon test` runs nothing and reports success.
    assert 'extras_require={"test": ["pytest"]}' in setup_py
    assert "share/ament_index/resource_index/packages" in setup_py
    # Without it executables are not where `ros2 run` looks.
    assert f"script_dir=$base/lib/{folder.name}" in (folder / "setup.cfg").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", PYTHON_FOLDERS, ids=by_name)
def test_every_import_of_a_ros_package_is_declared(folder, package):
    names = {name for module in modules(folder) for name in imported(module)} - {folder.name}
    declared = {dependency.name for dependency in package.exec_depends}
    assert {name for name in names if ROS_PACKAGE.fullmatch(name)} <= declared


@pytest.mark.parametrize(
    "folder", [folder for folder in FOLDERS if folder.is_relative_to(ROOT / "ros2_ws")], ids=by_name
)
def test_declared_packages_of_this_workspace_exist(folder, package):
    own = {dependency.name for dependency in package.exec_depends if re.match("uva_|arx_", dependency.name)}
    assert own <= {folder.name for folder in FOLDERS}


def test_mypy_skips_exactly_the_modules_that_import_ros():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (skipped,) = [o["module"] for o in settings["tool"]["mypy"]["overrides"] if o.get("ignore_errors")]
    # What is Python in this workspace is checked wherever it is imported.
    typed = {folder.name for folder in PYTHON_FOLDERS} | {"ament_index_python"}
    found = set()
    for folder in PYTHON_FOLDERS:
        for module in modules(folder):
            if any(ROS_PACKAGE.fullmatch(name) for name in imported(module) - typed):
                parts = module.relative_to(folder).with_suffix("").parts
                found.add(".".join(part for part in parts if part != "__init__"))
    assert sorted(found) == sorted(skipped)


@pytest.mark.parametrize("path", sorted(ROOT.glob("requirements/*.txt")), ids=lambda path: path.name)
def test_requirements_are_pinned_and_are_what_they_seem(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r'[\w.-]+(\[\w+\])?==[\w.]+(; python_version (>=|<) "3\.\d+")?', line), line
            # These names belong to other projects on PyPI.
            assert line.split("==")[0].lower().replace("_", "-") not in {
                "launch",
                "cv-bridge",
                "message-filters",
            }
