#!/usr/bin/env bash
# Build pyfd for Linux on arm64, and run it there: in a Debian 12 for arm64, under qemu.
#
#   tests/arm64.sh digests                 the requantizer, and the digests of tests/digests.json
#   tests/arm64.sh tests [ARGUMENT...]     tests/codec, with pytest's arguments
#   tests/arm64.sh instructions OPERATION FILE...    as counted by benchmarks/instructions.c
#
# The Makefile's targets install what this needs. Only what is built for arm64 is emulated:
# the compiler, cmake and pip are this machine's. build/arm64 keeps what can be used again.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD
work=$here/build/arm64
root=$work/root  # the emulated system
copy=$root/pyfd  # this folder, without what was built in it for x86-64
PYTHON=${PYTHON:-python3}  # of this machine, with the developers' requirements

main() {
  case ${1:-} in
    digests | tests | instructions) ;;
    *) sed -n '/^#   /s/^# *//p' "$0" && exit 2 ;;
  esac
  mkdir -p "$work"
  once root unpack_root
  once compiler unpack_compiler
  versions=$(cksum <requirements-dev.txt | cut -d" " -f1)
  once "wheels-$versions" install_wheels numpy cffi setuptools pytest hypothesis pillow simplejpeg
  build
  case $1 in
    digests)
      check_requantizer
      python -m pytest -q -p no:cacheprovider tests/codec/test_digests.py
      ;;
    tests)
      once "more-wheels-$versions" install_wheels piexif opencv-python-headless pytest-xdist
      record_jpeglib
      check_requantizer
      run_tests "${@:2}"
      ;;
    instructions) count_instructions "${@:2}" ;;
  esac
}

once() { # NAME COMMAND...: run the command if it has not been run yet
  if [ -e "$work/$1.done" ]; then return; fi
  echo "arm64: ${1%-[0-9]*}"
  "${@:2}"
  touch "$work/$1.done"
}

# ---- what is emulated ----

# The first stage of debootstrap only unpacks, natively. The second stage would configure the
# packages, which takes ten minutes under emulation, and which nothing here needs.
unpack_root() {
  rm -rf "$root" "$work"/*wheels*.done
  debootstrap --foreign --arch=arm64 --variant=minbase --include=python3,libpython3-dev \
    bookworm "$root" >"$work/debootstrap.log"
  local package
  for package in $(<"$root/debootstrap/base"); do
    dpkg-deb --fsys-tarfile "$root/var/cache/apt/archives/${package}_"*.deb |
      tar -x -C "$root" --keep-directory-symlink
  done
  rm -f "$root/proc" && mkdir "$root/proc" # it was a link to this machine's
}

emulated() { QEMU_LD_PREFIX=$root qemu-aarch64-static "$@"; }

python() { (cd "$copy" && emulated "$root/usr/bin/python3" "$@"); }

install_wheels() { # NAME...: the versions are those of the developers' requirements
  local name wanted=()
  for name in "$@"; do
    wanted+=("$(grep -h "^$name==" requirements-dev.txt || echo "$name")")
  done
  "$PYTHON" -m pip install -q --no-warn-script-location --upgrade --only-binary=:all: --python-version 3.11 \
    --platform manylinux2014_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 \
    --target "$root/usr/local/lib/python3.11/dist-packages" "${wanted[@]}"
}

# ---- cross-compilation ----

# Debian's cross compilers cannot be installed beside gcc-multilib, so this one is unpacked.
unpack_compiler() {
  local version
  version=$(apt-cache depends gcc-aarch64-linux-gnu | sed -n 's/.*: gcc-\([0-9]*\)-aarch64.*/\1/p')
  rm -rf "$work/compiler" && mkdir "$work/compiler"
  (cd "$work/compiler" && apt-get -q -o APT::Sandbox::User=root download \
    "gcc-$version-aarch64-linux-gnu" "cpp-$version-aarch64-linux-gnu" "libgcc-$version-dev-arm64-cross")
  for package in "$work"/compiler/*.deb; do dpkg-deb -x "$package" "$work/compiler"; done
  ln -s "$work/compiler/usr/bin/aarch64-linux-gnu-gcc-$version" "$work/compiler/gcc"
  printf 'set(CMAKE_SYSTEM_NAME Linux)\nset(CMAKE_SYSTEM_PROCESSOR aarch64)\n' >"$work/arm64.cmake"
}

crossing() { # COMMAND...: run it with the tools for arm64 in the places of this machine's
  PATH=/usr/aarch64-linux-gnu/bin:$PATH CMAKE_TOOLCHAIN_FILE=$work/arm64.cmake \
    CC="$work/compiler/gcc --sysroot=$root -I$root/usr/include/python3.11" "$@"
}

# pyfd's own build is emulated; the compiler that it calls is not.
build() {
  rm -rf "$work/built"
  [ ! -d "$copy/build" ] || mv "$copy/build" "$work/built"
  rm -rf "$copy"
  "$PYTHON" -c "from pathlib import Path; from tests.packaging.sources import copy_sources; copy_sources(Path('$copy'))"
  [ ! -d "$work/built" ] || mv "$work/built" "$copy/build"
  mkdir -p "$copy/build"
  cp build/*.orig.tar.gz "$copy/build"
  crossing python setup.py -q build_ext --inplace >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log" && exit 1; }
}

compile() { # SOURCE LIBRARY [OPTION...]: make build/arm64/NAME of a C program
  local native=$copy/pyfd/native
  crossing sh -c '$CC "$@"' sh -O2 -static "$1" "${@:3}" "$native/lib/$2" -o "$work/$(basename "$1" .c)"
}

# ---- the tests ----

# jpeglib has no wheel for arm64, and its source package lacks headers. So what it reads is
# recorded here. With CI set, Hypothesis draws the same examples there.
record_jpeglib() {
  rm -rf "$copy/build/jpeglib"
  mkdir "$copy/build/jpeglib"
  CI=true PYFD_JPEGLIB=$copy/build/jpeglib PYTHONPATH=$here "$PYTHON" -m pytest -q -p no:cacheprovider \
    $(grep -l read_with_jpeglib tests/codec/*.py)
}

check_requantizer() {
  compile tests/packaging/requantizer.c libjpeg-pyfd.a -I"$copy/pyfd/native/include/libjpeg"
  emulated "$work/requantizer" 16 1
}

# Of tests/codec, these cannot run there: torch has no wheel for arm64 without CUDA, the system
# has no compiler (which would be slow), and qemu does not limit the memory of a process.
ELSEWHERE=(
  --ignore=tests/codec/test_reading.py
  --ignore=tests/codec/test_changing_input.py --ignore=tests/codec/test_two_builds.py
  --ignore=tests/codec/test_yuv.py
  --deselect=tests/codec/test_limits.py::test_without_memory_it_is_a_memory_error
)

run_tests() { # ARGUMENT...
  local arguments=(-p no:cacheprovider "${ELSEWHERE[@]}" tests/codec "$@")
  export CI=true PYFD_JPEGLIB=build/jpeglib
  if enable_binfmt; then
    echo "arm64: tests/codec in the emulated system, by binfmt_misc, without ${ELSEWHERE[*]#--*=}"
    # shellcheck disable=SC2016
    unshare --mount --propagation private sh -ec '
      mount -t proc proc "$0/proc"
      mount --rbind /dev "$0/dev"
      exec chroot "$0" env -C /pyfd HOME=/root PATH=/usr/bin:/bin python3 -m pytest "$@"' \
      "$root" "${arguments[@]}"
  else
    echo "arm64: tests/codec by qemu-aarch64 -L, because binfmt_misc cannot be mounted," \
      "without ${ELSEWHERE[*]#--*=}"
    printf '#!/bin/sh\nexec qemu-aarch64-static -L %s %s/usr/bin/python3 "$@"\n' "$root" "$root" >"$work/python"
    chmod +x "$work/python"
    python -c "import sys, pytest; sys.executable = '$work/python'; sys.exit(pytest.main(sys.argv[1:]))" \
      "${arguments[@]}"
  fi
}

enable_binfmt() { # let the kernel start programs for arm64, in an emulated system, too
  local folder=/proc/sys/fs/binfmt_misc
  [ -e $folder/register ] || mount -t binfmt_misc binfmt_misc $folder 2>/dev/null || return 1
  [ -e $folder/qemu-aarch64 ] || cat /usr/lib/binfmt.d/qemu-aarch64.conf >$folder/register 2>/dev/null
}

# qemu logs each instruction with the function that it belongs to.
count_instructions() { # OPERATION FILE...
  compile benchmarks/instructions.c libpyfd.a -I"$copy/pyfd/native/include"
  emulated -singlestep -d exec,nochain -D /dev/stdout "$work/instructions" "$@" | awk '
    $NF == "measured" { on = 1 } $NF == "main" { on = 0 } on { found[$NF]++; all++ }
    END { for (name in found) print found[name], name; print all, "in all" }' | sort -rn | head -n 16
}

main "$@"
