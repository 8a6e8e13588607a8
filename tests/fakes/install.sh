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

if ! "$venv/bin/python" -m pip show --quiet pycuda 2> /dev/null; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    "$venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary pycuda \
        -c "$here/../../constraints.txt" -d "$work" pycuda
    tar -xzf "$work"/pycuda-*.tar.gz -C "$work"
    rm "$work"/*.tar.gz
    echo "CUDA_ENABLE_CURAND = False" > "$(echo "$work"/pycuda-*)/siteconf.py"
    CUDA_ROOT=$cuda CPATH=$cuda/include LIBRARY_PATH=$venv/simulated \
        CFLAGS="-O0 -w" CXXFLAGS="-O0 -w" "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        -c "$here/../../constraints.txt" "$work"/pycuda-* > "$venv/simulated/build.log" 2>&1 \
        || { tail -20 "$venv/simulated/build.log"; exit 1; }
fi

# Python loads with all symbols bound: those that libcuda.c lacks return CUDA_ERROR_NOT_SUPPORTED.
driver=$(echo "$venv"/lib/python*/site-packages/pycuda/_driver*.so)
nm -D --undefined-only "$driver" | awk '$2 ~ /^cu[A-Z]/ {
    print "__attribute__((weak)) int " $2 "(void) { return 801; }" }' > "$venv/simulated/rest.c"
compile "$here/libcuda.c" "$venv/simulated/rest.c"
