# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arx_x5_driver.geometry.urdf import read_links

URDF = """<robot name="arm">
  <link name="base"/>
  <link name="upper">
    <inertial>
      <origin xyz="0.1 0 0"/><mass value="2.5"/>
      <inertia ixx="1" ixy="4" ixz="5" iyy="2" iyz="6" izz="3"/>
    </inertial>
  </link>
  <joint name="shoulder" type="revolute">
    <origin xyz="0 0 0.2" rpy="0 0 1.5707963267948966"/>
    <parent link="base"/><child link="upper"/><axis xyz="0 1 0"/>
  </joint>
  <joint name="wrist" type="fixed"><parent link="upper"/><child link="tool"/></joint>
</robot>"""


@pytest.fixture
def urdf(tmp_path: Path) -> Path:
    path = tmp_path / "arm.urdf"
    path.write_text(URDF)
    return path


def test_links_come_with_the_joints_that_carry_them(urdf: Path) -> None:
    upper, tool = read_links(urdf)
    assert (upper.name, upper.parent, upper.joint_name, upper.joint_type) == ("upper", "base", "shoulder", "revolute")
    np.testing.assert_allclose(upper.origin, [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0.2], [0, 0, 0, 1]], atol=1e-15)
    assert upper.axis.tolist() == [0.0, 1.0, 0.0]
    assert upper.inertial is not None
    assert upper.inertial.mass_kg == 2.5
    assert upper.inertial.centre_m.tolist() == [0.1, 0.0, 0.0]
    assert upper.inertial.full_inertia.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert tool.inertial is None
    assert (tool.origin == np.eye(4)).all()


def test_a_joint_without_a_parent_is_named(urdf: Path) -> None:
    urdf.write_text(URDF.replace('<parent link="upper"/>', ""))
    with pytest.raises(ValueError, match="<joint name='wrist'> has no <parent>"):
        read_links(urdf)
