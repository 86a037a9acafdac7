# SPDX-License-Identifier: Apache-2.0
"""Everything that is used of the SDK is in the SDK that is installed, as it is used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from arx_x5_driver.arms import sdk
from arx_x5_driver.geometry.limits import LIMITS

PACKAGE = Path(sdk.__file__).parents[1]
SOURCES = (PACKAGE / "arms/sdk.py").read_text() + (PACKAGE / "geometry/kinematics.py").read_text()

SIGNATURES = {
    "Arx5JointController": {
        "__init__": "(arg0: RobotConfig, arg1: ControllerConfig, arg2: str) -> None",
        "get_timestamp": "() -> float",
        "get_joint_state": "() -> JointState",
        "get_controller_config": "() -> ControllerConfig",
        "set_joint_cmd": "(arg0: JointState) -> None",
        "set_gain": "(arg0: Gain) -> None",
        "set_to_damping": "() -> None",
    },
    "RobotConfigFactory": {"get_instance": "() -> RobotConfigFactory", "get_config": "(arg0: str) -> RobotConfig"},
    "ControllerConfigFactory": {
        "get_instance": "() -> ControllerConfigFactory",
        "get_config": "(arg0: str, arg1: int) -> ControllerConfig",
    },
    "JointState": {
        "__init__": "(arg0: array, arg1: array, arg2: array, arg3: float) -> None",
        "pos": "() -> array",
        "vel": "() -> array",
        "torque": "() -> array",
    },
    "Gain": {"__init__": "(arg0: array, arg1: array, arg2: float, arg3: float) -> None"},
    "Arx5Solver": {
        "__init__": "(arg0: str, arg1: int, arg2: array, arg3: array, arg4: str, arg5: str, arg6: array) -> None",
        "forward_kinematics": "(arg0: array) -> array",
        "inverse_kinematics": "(arg0: array, arg1: array) -> tuple[int, array]",
    },
}


ATTRIBUTES = {
    "JointState": ["timestamp", "gripper_pos", "gripper_vel", "gripper_torque"],
    "RobotConfig": [
        "joint_dof", "urdf_path", "joint_pos_min", "joint_pos_max", "base_link_name", "eef_link_name",
        "gravity_vector", "gripper_open_readout", "gripper_width",
    ],
    "ControllerConfig": [
        "default_kp", "default_kd", "default_gripper_kp", "default_gripper_kd", "shutdown_to_passive",
    ],
}  # fmt: skip


def plain(signature: str) -> str:
    """A pybind signature without the object itself, module names, and what its versions call numbers and arrays."""
    for pattern, replacement in (
        (r"typing\.Annotated\[numpy\.typing\.(ArrayLike|NDArray\[numpy\.float64\]).*?\"\]", "array"),
        (r"numpy\.ndarray\[.*?\]\]?", "array"),
        (r"typing\.SupportsInt( \| typing\.SupportsIndex)?", "int"),
        (r"typing\.SupportsFloat( \| typing\.SupportsIndex)?", "float"),
        (r"(\w+(\.|::))+", ""),
        (r"self: \w+(, )?", ""),
    ):
        signature = re.sub(pattern, replacement, signature)
    return signature


@pytest.mark.parametrize(("name", "method"), [(name, method) for name in SIGNATURES for method in SIGNATURES[name]])
def test_sdk_has_what_is_called(name: str, method: str) -> None:
    """With this signature, in the SDK that is installed."""
    module = pytest.importorskip("arx5_interface")
    lines = getattr(getattr(module, name), method).__doc__.splitlines()
    found = {plain(line[line.index("(") :]) for line in lines if f"{method}(" in line}
    assert SIGNATURES[name][method] in found


@pytest.mark.parametrize("model", LIMITS)
def test_sdk_configs_have_what_is_used(model: str) -> None:
    module = pytest.importorskip("arx5_interface")
    robot = module.RobotConfigFactory.get_instance().get_config(model)
    controller = module.ControllerConfigFactory.get_instance().get_config("joint_controller", robot.joint_dof)
    examples = {"RobotConfig": robot, "ControllerConfig": controller, "JointState": module.JointState(6)}
    for name, attributes in ATTRIBUTES.items():
        for attribute in attributes:
            assert hasattr(examples[name], attribute), (name, attribute)
    assert robot.joint_dof == 6
    assert Path(robot.urdf_path).is_file()
    assert controller.default_kp.shape == controller.default_kd.shape == (6,)
    assert (controller.default_kp > 0.0).all()


def bindings(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """What a node gives names to, and the value."""
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
        yield node.target, node.value
    elif isinstance(node, (ast.For, ast.comprehension)):
        yield node.target, node.iter
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        yield node.optional_vars, node.context_expr


def is_any(annotation: ast.expr | None) -> bool:
    return annotation is not None and "Any" in ast.unparse(annotation)


def sdk_uses(source: str) -> set[str]:
    """Names of all that is taken of the SDK's objects, however they are reached.

    The SDK has no types: its objects are what is annotated `Any`, what is called or taken of one, and what that is
    assigned to.
    """
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    shared = {function.name for function in functions if is_any(function.returns)}
    uses: set[str] = set()

    def is_sdk(node: ast.AST | None, names: set[str]) -> bool:
        if isinstance(node, ast.Name):
            return node.id in names | shared
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self":
            return node.attr in shared
        if isinstance(node, (ast.Attribute, ast.Subscript, ast.NamedExpr)):
            return is_sdk(node.value, names)
        if isinstance(node, ast.Call):
            return is_sdk(node.func, names)
        if isinstance(node, (ast.IfExp, ast.BoolOp, ast.Tuple)):
            return any(is_sdk(child, names) for child in ast.iter_child_nodes(node))
        return False

    def look_through(function: ast.FunctionDef) -> None:
        arguments = (*function.args.args, *function.args.kwonlyargs)
        names = {argument.arg for argument in arguments if is_any(argument.annotation)}
        for node in (*ast.walk(function), *ast.walk(function)):  # some names are used above where they are given
            for target, value in bindings(node):
                if is_sdk(value, names) or is_any(getattr(node, "annotation", None)):
                    parts = list(ast.walk(target))
                    names.update(part.id for part in parts if isinstance(part, ast.Name) and part.id != "self")
                    shared.update(part.attr for part in parts if isinstance(part, ast.Attribute))
            if isinstance(node, ast.Attribute) and is_sdk(node.value, names):
                uses.add(node.attr)

    found = -1
    while found != len(shared) + len(uses):
        found = len(shared) + len(uses)
        for function in functions:
            look_through(function)
    return uses


OF_ARRAYS = {"tolist"}


def test_nothing_else_of_the_sdk_is_used() -> None:
    """The lists above are complete: the sources use all that they name, and no more."""
    known = {name for methods in SIGNATURES.values() for name in methods}
    known |= {name for attributes in ATTRIBUTES.values() for name in attributes}
    used = sdk_uses(SOURCES)
    assert used - known - set(SIGNATURES) - OF_ARRAYS == set()
    assert known - used - {"__init__"} == set()


def test_no_way_to_the_sdk_is_overlooked() -> None:
    more = (
        "def more(self, of_sdk: Any, ours: ArmState) -> None:\n"
        "    self._connected().chained(self._sdk.Argument(ours.mine))\n"
        "    self._sdk.RobotConfigFactory.get_instance().after_a_call('X5').of_its_result = 1\n"
        "    first, second = self._configs()\n"
        "    later = second if ours.mine else None\n"
        "    self._kept = later.branch\n"
        "    of_sdk[0].element\n"
        "    [each.looped for each in first.several]\n"
        "def elsewhere(self) -> None:\n"
        "    np.array(self._kept.kept()).mine_too\n"
    )
    found = sdk_uses(SOURCES + more) - sdk_uses(SOURCES)
    assert found == {
        "chained", "Argument", "after_a_call", "of_its_result", "branch", "element", "looped", "several", "kept"
    }  # fmt: skip
