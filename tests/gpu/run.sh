#!/usr/bin/env bash
# run.sh PYTHON VENV [MODEL ...]: the GPU check in an environment of its own, which sees TensorRT and
# PyTorch of the system (JetPack, a container). Without internet: PIP_NO_INDEX=1 and
# PIP_FIND_LINKS=FOLDER with the wheels.
set -euo pipefail
python=$1 venv=$2
shift 2
cd "$(dirname "$0")/../.."

cuda=$("$python" -c '
import ctypes
try:
    driver, count, version = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.c_int()
    driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    driver.cuDriverGetVersion(ctypes.byref(version))
    print(version.value // 1000 if count.value else "")
except OSError:
    pass')
if [ -z "$cuda" ]; then
    echo "gpu-check: nothing was checked: this machine has no NVIDIA GPU or no driver for it" >&2
    exit 3
fi
[ -x "$venv/bin/python" ] || "$python" -m venv --system-site-packages "$venv"
pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" -c constraints.txt '.[ort]'
if ! "$venv/bin/python" -c 'import tensorrt; tensorrt.__version__' 2> /dev/null; then
    # The default package is for CUDA 13, which older drivers do not run.
    "${pip[@]}" "$([ "$cuda" -ge 13 ] && echo tensorrt || echo tensorrt-cu12)"
fi
bash tests/gpu/install_pycuda.sh "$venv"
exec "$venv/bin/python" -m tests.gpu.gpu_check "$@"
