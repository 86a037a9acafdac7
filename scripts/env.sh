# SPDX-License-Identifier: Apache-2.0
# Source this file (bash or zsh) to get a shell in which the nodes run. It is the only place that knows where
# ROS 2 comes from:
#   - /opt/ros/$ROS_DISTRO, or any one distribution in /opt/ros: that distribution and ros2_ws/install;
#   - otherwise, or with UVA_USE_WHEELS=1: the wheels in .venv, the stand-ins and ros2_ws/install, made by `make setup`.

if [ -n "${ZSH_VERSION:-}" ]; then
  eval '_uva_root=${${(%):-%x}:A:h:h}'
  _uva_shell=zsh
else
  _uva_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
  _uva_shell=bash
fi

# The scripts that ROS and colcon generate read unset variables.
case $- in *u*) _uva_nounset=1 ;; *) _uva_nounset= ;; esac
set +u

_uva_source_overlay() { # DIRECTORY: source a colcon install folder, if it has been built
  if [ -f "$1/local_setup.$_uva_shell" ]; then
    . "$1/local_setup.$_uva_shell"
  fi
}

_uva_distro=
if [ -z "${UVA_USE_WHEELS:-}" ] && [ -d /opt/ros ]; then
  if [ -n "${ROS_DISTRO:-}" ] && [ -f "/opt/ros/$ROS_DISTRO/setup.$_uva_shell" ]; then
    _uva_distro=$ROS_DISTRO
  else
    _uva_distro=$(find /opt/ros -mindepth 2 -maxdepth 2 -name "setup.$_uva_shell" | sort | tail -n 1)
    _uva_distro=$(basename "$(dirname "$_uva_distro")")
  fi
fi

if [ -n "$_uva_distro" ] && [ -f "/opt/ros/$_uva_distro/setup.$_uva_shell" ]; then
  . "/opt/ros/$_uva_distro/setup.$_uva_shell"
  _uva_source_overlay "$_uva_root/ros2_ws/install"
elif [ -f "$_uva_root/.venv/bin/activate" ]; then
  . "$_uva_root/.venv/bin/activate"
  export AMENT_PREFIX_PATH="$_uva_root/.venv"
  export CMAKE_PREFIX_PATH="$_uva_root/.venv"
  export LD_LIBRARY_PATH="$_uva_root/.venv/lib"
  for _uva_libs in "$_uva_root"/.venv/lib/python3.*/site-packages/ros_*.libs; do
    LD_LIBRARY_PATH="$LD_LIBRARY_PATH:$_uva_libs"
  done
  # With the library path set here the wheels need not start every Python twice to set it themselves.
  export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
  export ROS_DISTRO=kilted ROS_VERSION=2 ROS_PYTHON_VERSION=3
  unset PYTHONPATH
  # What would go to the home directory or /tmp otherwise. Model weights from a hub stay where the user keeps them.
  _uva_cache=$_uva_root/.cache
  export ROS_LOG_DIR="${ROS_LOG_DIR:-$_uva_cache/ros_log}"
  export COLCON_HOME="${COLCON_HOME:-$_uva_cache/colcon}"
  export MESA_SHADER_CACHE_DIR="${MESA_SHADER_CACHE_DIR:-$_uva_cache/mesa}"
  export MPLCONFIGDIR="${MPLCONFIGDIR:-$_uva_cache/matplotlib}"
  export PIP_CACHE_DIR="${PIP_CACHE_DIR:-$_uva_cache/pip}"
  export TORCHINDUCTOR_CACHE_DIR="${TORCHINDUCTOR_CACHE_DIR:-$_uva_cache/torchinductor}"
  _uva_source_overlay "$_uva_root/ros_standins/install"
  _uva_source_overlay "$_uva_root/ros2_ws/install"
else
  echo "env.sh: no ROS 2 in /opt/ros and no $_uva_root/.venv: run 'make setup' first" >&2
fi

if [ -n "$_uva_nounset" ]; then set -u; fi
unset -f _uva_source_overlay
unset _uva_root _uva_shell _uva_nounset _uva_distro _uva_libs _uva_cache
