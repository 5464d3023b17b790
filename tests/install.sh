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
daemon='' # dockerd, if we have started one

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
  .ci/step "Installing a bare Debian ($1)" debootstrap --variant=minbase "$1" "$work/$1"
  .ci/step "Installing $2 in it" chroot "$work/$1" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "$2" "$2-venv" ca-certificates netpbm
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
  local base id="pyfd-test-$$"
  docker info >/dev/null 2>&1 || start_daemon
  base=$(sed -n 's/^ARG PYTHON=//p' Dockerfile)
  if ! docker pull --quiet "$base" >/dev/null 2>&1; then
    echo "$base cannot be had: a bare Debian 12 with its Python takes its place"
    base=pyfd-test-base && import_base $base
  fi
  .ci/step "Building the image" env DOCKER_BUILDKIT=0 \
    docker build --network host --build-arg "PYTHON=$base" --tag pyfd-test .
  if docker run --rm --network none pyfd-test sh -c 'command -v cc || command -v gcc || command -v nasm'; then exit 1; fi
  docker run --detach --rm --name "$id" --network host --read-only --cap-drop ALL pyfd-test >/dev/null
  # shellcheck disable=SC2064
  trap "docker stop --time 2 $id >/dev/null; stop_daemon" EXIT
  wait_until "the service is healthy" healthy "$id"
  docker exec -i "$id" python - <tests/packaging/request.py
}

healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$1")" = healthy ]; }

wait_until() { # WHAT COMMAND...: for at most a minute
  local end=$((SECONDS + 60))
  until "${@:2}"; do
    if [ $SECONDS -ge $end ]; then echo "failed: $1" && exit 1; fi
    sleep 0.5
  done
}

import_base() { # NAME: with this machine's certificates, for pip, and what python:slim has
  system bookworm python3.11
  tar -C "$work/bookworm" --exclude ./try --exclude './var/cache/apt/*' --exclude './var/lib/apt/lists/*' --exclude './proc/*' --exclude './sys/*' --exclude './dev/*' -c . |
    docker import --change 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' - "$1-bare" >/dev/null
  mkdir -p "$work/context" && cp /etc/ssl/certs/ca-certificates.crt "$work/context"
  printf '%s\n' "FROM $1-bare" 'COPY ca-certificates.crt /etc/ssl/certs/' \
    'RUN ln -s python3 /usr/bin/python && apt-get update && apt-get install -y python3-dev --no-install-recommends' |
    DOCKER_BUILDKIT=0 docker build --network host --quiet --tag "$1" --file - "$work/context" >/dev/null
}

start_daemon() { # one of our own, without a bridge, which needs modules of the kernel
  export DOCKER_HOST=unix://$work/docker/socket
  mkdir -p "$work/docker"
  dockerd --data-root "$work/docker/data" --exec-root "$work/docker/exec" --pidfile "$work/docker/pid" \
    --host "$DOCKER_HOST" --bridge none --iptables=false --ip6tables=false \
    >"$work/docker/log" 2>&1 &
  daemon=$!
  trap stop_daemon EXIT
  wait_until "dockerd runs: see $work/docker/log" docker_runs
}

docker_runs() { docker info >/dev/null 2>&1; }

stop_daemon() {
  if [ -z "$daemon" ]; then return; fi
  kill "$daemon" && wait "$daemon" || true
  umount "$work"/docker/exec/netns/* 2>/dev/null || true # which dockerd leaves
}

main "$@"
