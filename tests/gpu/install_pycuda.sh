#!/usr/bin/env bash
# install_pycuda.sh VENV: pycuda in an environment, without cuRAND, which cgt does not use. It takes
# minutes, and needs g++ and cuda.h of the CUDA toolkit: CUDA_ROOT, or /usr/local/cuda as on JetPack,
# whose nvcc is not on the PATH.
set -euo pipefail
venv=$(realpath "$1")
root=$(realpath "$(dirname "$0")/../..")
cuda=${CUDA_ROOT:-/usr/local/cuda}
"$venv/bin/python" -m pip show --quiet pycuda 2> /dev/null && exit 0
if [ ! -f "$cuda/include/cuda.h" ] || ! command -v g++ > /dev/null; then
    echo "pycuda needs g++ and the CUDA toolkit: there is no $cuda/include/cuda.h (set CUDA_ROOT)," \
        "or no g++" >&2
    exit 3
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pip=("$venv/bin/python" -m pip)
"${pip[@]}" download --quiet --disable-pip-version-check --no-deps --no-binary pycuda \
    -c "$root/constraints.txt" -d "$work" pycuda
tar -xzf "$work"/pycuda-*.tar.gz -C "$work"
rm "$work"/*.tar.gz
echo "CUDA_ENABLE_CURAND = False" > "$(echo "$work"/pycuda-*)/siteconf.py"
CUDA_ROOT=$cuda CPATH=$cuda/include${CPATH:+:$CPATH} \
    LIBRARY_PATH=${LIBRARY_PATH:+$LIBRARY_PATH:}$cuda/lib64/stubs CFLAGS="-O0 -w" CXXFLAGS="-O0 -w" \
    "${pip[@]}" install --quiet --disable-pip-version-check -c "$root/constraints.txt" \
    "$work"/pycuda-* > "$work.log" 2>&1 || { tail -20 "$work.log"; exit 1; }
