# Shared by the scripts beside it: where we are, how to say what is being done, how to make a virtual environment.
# Source it; it changes to the repository's root.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# The Python to build with: $PYTHON, else the first on the path that is 3.11 or newer.
find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.11 python3.12 python3.13 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    fail "Python 3.11 or newer is needed and none was found. Install one, or name it: PYTHON=/path/to/python $0"
}

# apt_install PACKAGE... : install what is missing where we are root and apt exists; else say what to install.
# Nothing that comes this way is strictly needed to start; `modelwright doctor` tells what is lost without it.
apt_install() {
    local missing=() package
    for package in "$@"; do
        dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        say "apt-get install ${missing[*]}"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    else
        say "please install: ${missing[*]} (going on without)"
    fi
}

# environment FOLDER STAMP-FILE... -- PIP-ARGUMENTS... : a virtual environment with just that in it.
# Does nothing when it was made from the same files and arguments before.
environment() {
    local folder=$1 files=() stamp python
    shift
    while [ "$1" != "--" ]; do
        files+=("$1")
        shift
    done
    shift
    python=$(find_python)
    stamp=$(cat "${files[@]}" | { cat; printf '%s\n' "$python" "$*"; } | cksum)
    [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ] && return
    say "making $folder with $python"
    if ! "$python" -m venv "$folder"; then
        apt_install python3-venv
        rm -rf "$folder"
        "$python" -m venv "$folder"
    fi
    local arguments
    while [ $# -gt 0 ]; do
        arguments=()
        while [ $# -gt 0 ] && [ "$1" != "--" ]; do
            arguments+=("$1")
            shift
        done
        [ $# -gt 0 ] && shift
        say "pip install ${arguments[*]}"
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "${arguments[@]}"
    done
    printf '%s' "$stamp" >"$folder/.stamp"
}

# The three environments. Modelwright's own; one for each major version of the official SDK.
install_modelwright() {
    apt_install bubblewrap util-linux git
    environment .venv pyproject.toml constraints/modelwright.txt -- \
        --constraint constraints/modelwright.txt --editable '.[dev]'
}

# A browser for the tests of Studio; without one they are skipped and say so.
install_browser() {
    apt_install chromium
}

install_sdk2() {
    environment .venvs/sdk2 examples/pose-yolov8/requirements.txt constraints/sdk2.txt -- \
        --constraint constraints/sdk2.txt --requirement examples/pose-yolov8/requirements.txt awscli sagemaker-studio-image-build
}

# torch first and alone: version 3 of the SDK takes any torch, and the newest brings gigabytes of CUDA.
install_sdk3() {
    environment .venvs/sdk3 constraints/sdk3.txt -- torch==2.13.0 -- --constraint constraints/sdk3.txt sagemaker==3.27.0
}
