#!/usr/bin/env bash
# Install pyfd where others would, and use it there.
#
#   tests/install.sh wheel WHEEL    in bare Debian systems, and with each Python from 3.10 to 3.14
#   tests/install.sh docker         as the Dockerfile says; a file is sent to its service
#
# The Makefile's targets install what this needs. build/install keeps the systems, which are
# made with debootstrap and used with chroot, and have no compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/build/install
PYTHON=${PYTHON:-python3} # of this machine, with pip

main() {
  mkdir -p "$work"
  case ${1:-}:$# in
    wheel:2) try_wheel "$2" ;;
    docker:1) try_docker ;;
    *) sed -n '/^#   /s/^# *//p' "$0" && exit 2 ;;
  esac
}

system() { # SUITE PYTHON: make a bare Debian with a Python, but without what compiles
  [ ! -e "$work/$1.done" ] || return 0
  rm -rf "${work:?}/$1"
  .ci/step "Installing a bare Debian ($1)" debootstrap --variant=minbase \
    --include="$2,$2-venv,ca-certificates,netpbm" "$1" "$work/$1"
  touch "$work/$1.done"
}

# ---- the wheel ----

try_wheel() { # WHEEL
  local suite python
  while read -r suite python; do
    system "$suite" "$python"
    if chroot "$work/$suite" sh -c 'command -v cc || command -v gcc || command -v make'; then exit 1; fi
    rm -rf "$work/$suite/try"
    gather "${python#python}" "$1" "$work/$suite/try"
    chroot "$work/$suite" env -i PATH=/usr/bin:/bin sh -ec "$USE" sh "$python" /try
  done <<<$'bookworm python3.11\ntrixie python3.13\nsid python3.14'
  for python in python3.10 python3.12; do # which no Debian has
    if found=$(find_python "$python" | tail -n 1); then
      rm -rf "$work/try"
      gather "${python#python}" "$1" "$work/try"
      env -i PATH=/usr/bin:/bin sh -ec "$USE" sh "$found" "$work/try"
    else
      echo "$python: not tried, because it is not here"
    fi
  done
}

# shellcheck disable=SC2016
USE='"$1" -m venv "$2/venv"
"$2/venv/bin/pip" install --quiet --disable-pip-version-check --no-index --find-links "$2/wheels" "pyfd-jpeg[cli]"
cd "$2" && venv/bin/python installed.py'

gather() { # VERSION WHEEL FOLDER: the wheel, what it depends on, and the test
  local platforms=(manylinux1 manylinux2010 manylinux2014 manylinux_2_17 manylinux_2_24 manylinux_2_27 manylinux_2_28)
  mkdir -p "$3"
  "$PYTHON" -m pip download -qq --disable-pip-version-check --dest "$3/wheels" --only-binary=:all: \
    --python-version "$1" $(printf -- "--platform %s_$(uname -m) " "${platforms[@]}") "$2[cli]"
  cp tests/packaging/installed.py "$3"
}

find_python() { # NAME: of pyenv, whose commands in PATH work for some versions only, or from PATH
  ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/"$1" 2>/dev/null | grep . || command -v "$1"
}

# ---- the container ----

try_docker() {
  echo todo
}

main "$@"
