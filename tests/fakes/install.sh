#!/usr/bin/env bash
# install.sh VENV: the real pycuda, built to run over the simulated driver of libcuda.c. About a
# minute; needs gcc and the CUDA toolkit's headers, in CUDA_ROOT or /usr/local/cuda.
set -euo pipefail
venv=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
cuda=${CUDA_ROOT:-/usr/local/cuda}
if [ ! -f "$cuda/include/cuda.h" ]; then
    echo "no CUDA toolkit in $cuda: the TensorRT engine is not tested on the simulated device"
    exit 0
fi
library=$venv/simulated/libcuda.so
mkdir -p "$venv/simulated"
compile() { gcc -shared -fPIC -O1 -Wall -Werror -pthread -Wl,-soname,libcuda.so.1 "$@" -o "$library"; }
compile "$here/libcuda.c"

CUDA_ROOT=$cuda LIBRARY_PATH=$venv/simulated bash "$here/../gpu/install_pycuda.sh" "$venv"

# Python loads with all symbols bound: those that libcuda.c lacks return CUDA_ERROR_NOT_SUPPORTED.
driver=$(echo "$venv"/lib/python*/site-packages/pycuda/_driver*.so)
nm -D --undefined-only "$driver" | awk '$2 ~ /^cu[A-Z]/ {
    print "__attribute__((weak)) int " $2 "(void) { return 801; }" }' > "$venv/simulated/rest.c"
compile "$here/libcuda.c" "$venv/simulated/rest.c"
