# SPDX-License-Identifier: Apache-2.0
"""Who may import whom: packages, the sub-packages inside them, and no import cycle.

A sub-package here is a folder or a file directly below a package; `VOCABULARY` are those that all others may use.
"""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "ros2_ws" / "src"

PACKAGES = {
    "uva_core": set(),
    "uva_node_utils": set(),
    "uva_policy_node": {"uva_core", "uva_node_utils"},
    "arx_x5_driver": {"uva_node_utils"},
    "arx_x5_sim": {"uva_node_utils", "arx_x5_driver"},  # the world holds an arm of the driver
    "uva_replay": {"uva_core", "uva_node_utils"},
    "uva_bringup": {"uva_core", "uva_node_utils", "uva_replay"},
    "uva_experiments": {
        "uva_core",
        "uva_node_utils",
        "arx_x5_driver",
        "arx_x5_sim",
        "uva_replay",
        "uva_bringup",
    },
}

VOCABULARY = {
    "uva_core": {"modes", "poses", "images", "actions", "devices", "normalizer", "serialization", "presets"},
    "arx_x5_driver": {"array", "arm", "chunk"},
    "arx_x5_sim": set(),
}
# Each sub-package and those that it may import, beside the vocabulary.
CONFIG = {"config", "network", "diffusion", "observation"}
POLICY = CONFIG | {"checkpoint", "policy"}
SUBPACKAGES = {
    "uva_core": {
        "network": set(),
        "diffusion": set(),
        "observation": set(),
        "config": {"network", "diffusion", "observation"},
        "checkpoint": {"official"},  # its command alone
        "policy": CONFIG | {"checkpoint"},
        "data": {"network", "observation"},
        "training": POLICY | {"data"},
        "official": POLICY | {"data", "training"},
        "benchmark": POLICY,
    },
    "arx_x5_driver": {
        "geometry": set(),
        "rules": {"geometry"},
        "motion": {"geometry", "rules"},
        "control": {"geometry", "rules", "motion"},
        "arms": {"geometry", "control"},  # its process asks for real time, as the loop does
        "arm_selection": {"arms", "parameters"},
        "parameters": {"arms", "geometry", "rules", "motion", "control"},
        "messages": {"geometry", "rules", "control"},
        "chunk_inbox": {"messages", "rules", "control"},
        "node": {"arms", "arm_selection", "geometry", "rules", "control", "parameters", "messages", "chunk_inbox"},
        "main": {"node", "control"},
    },
    "arx_x5_sim": {
        "world": set(),
        "tasks": {"world"},
        "collection": {"world", "tasks"},
        "messages": {"world", "tasks"},
        "parameters": {"world"},
        "camera_node": {"world", "tasks", "messages", "parameters"},
        "main": {"world", "tasks", "camera_node"},
    },
}


def modules(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    folder = SOURCE / package
    found = {}
    for path in sorted((folder / package).rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


EVERY = {name: path for package in PACKAGES for name, path in modules(package).items()}


def imports(path: Path) -> set[str]:
    """Modules of this workspace that a file imports, anywhere but for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ignored = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            ignored.update(id(inner) for inner in ast.walk(node))
    names = set()
    for node in ast.walk(tree):
        if id(node) in ignored:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                names.add(whole if whole in EVERY else node.module)
    return names & EVERY.keys()


IMPORTS = {name: imports(path) for name, path in EVERY.items()}


def subpackage(module: str) -> str:
    """The folder or file directly below the package in which a module is; the package itself has none."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def test_every_package_of_the_workspace_has_a_rule():
    assert {path.parent.name for path in SOURCE.glob("*/setup.py")} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_lies_below_them(package):
    foreign = {
        f"{name} imports {other}"
        for name, others in IMPORTS.items()
        if name.split(".")[0] == package
        for other in others
        if other.split(".")[0] not in PACKAGES[package] | {package}
    }
    assert foreign == set()


@pytest.mark.parametrize("package", SUBPACKAGES)
def test_subpackages_import_only_what_lies_below_them(package):
    rules, vocabulary = SUBPACKAGES[package], VOCABULARY[package] | {""}
    wrong = set()
    for name, others in IMPORTS.items():
        if name.split(".")[0] != package:
            continue
        here = subpackage(name)
        allowed = vocabulary | ({here} if here in vocabulary else rules[here] | {here})
        wrong |= {
            f"{name} imports {other}"
            for other in others
            if other.split(".")[0] == package and subpackage(other) not in allowed
        }
    assert wrong == set()


def test_only_the_checkpoints_command_knows_the_official_code():
    users = {name for name, others in IMPORTS.items() if any(o.startswith("uva_core.official") for o in others)}
    outside = {name for name in users if not name.startswith("uva_core.official")}
    assert outside == {"uva_core.checkpoint.__main__"}


def test_there_is_no_import_cycle():
    # Raises, and names the cycle.
    TopologicalSorter(IMPORTS).prepare()


@pytest.mark.parametrize("package", PACKAGES)
def test_folders_say_what_they_are_for_and_are_not_crowded(package):
    for folder in {path.parent for path in modules(package).values()}:
        init = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
        assert len((ast.get_docstring(init) or "").split()) >= 4, f"{folder} does not say what it is for"
        files = [path for path in folder.glob("*.py") if path.name not in ("__init__.py", "__main__.py")]
        assert len(files) <= 13, f"{folder} holds {len(files)} files"


@pytest.mark.parametrize("name", EVERY)
def test_long_files_say_why(name):
    text = EVERY[name].read_text(encoding="utf-8")
    if text.count("\n") > 300:
        assert "one file" in (ast.get_docstring(ast.parse(text)) or ""), f"{name} is long and does not say why"
