# SPDX-License-Identifier: Apache-2.0
"""Parameter files name only parameters that their nodes have, with values that they allow."""

import importlib
from pathlib import Path

import pytest
import yaml

from uva_node_utils.specs import parameter_specs

CONFIG = Path(__file__).parents[1] / "config"
PARAMETERS = {
    "/**/arx_x5_driver": ("arx_x5_driver.parameters", "DriverParameters"),
    "/**/sim_camera": ("arx_x5_sim.parameters", "SimCameraParameters"),
    "/**/uva_policy_node": ("uva_policy_node.parameters", "PolicyParameters"),
}
SECTIONS = [
    (file.name, node, content["ros__parameters"])
    for file in sorted(CONFIG.glob("*.yaml"))
    for node, content in yaml.safe_load(file.read_text()).items()
]


@pytest.mark.parametrize(("file", "node", "values"), SECTIONS, ids=[f"{file}:{node}" for file, node, _ in SECTIONS])
def test_values_fit_the_node(file, node, values):
    module, name = PARAMETERS[node]
    parameters = getattr(importlib.import_module(module), name)
    specs = {spec.name: spec for spec in parameter_specs(parameters)}
    assert set(values) <= set(specs)
    assert {key: problem for key, value in values.items() if (problem := specs[key].problem(value))} == {}
