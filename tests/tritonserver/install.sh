#!/usr/bin/env bash
# install.sh VENV: a real Triton server in VENV/triton, an environment of its own. About a minute.
#
# The binary is that of nvidia-pytriton (Triton 2.51, with the Python backend alone). Its backend
# runs models by a stub with Python in it, one for each version, which takes packages from where the
# first python3 on PATH has them (PYTHONPATH is ignored) and is from before NumPy 2.
set -euo pipefail
venv=$(realpath "$1")
root=$(realpath "$(dirname "$0")/../..")
home=$venv/triton
python=$home/bin/python
[ -x "$python" ] || "$venv/bin/python" -m venv "$home"
pip() { "$python" -m pip install --quiet --disable-pip-version-check "$@"; }
pip -c <(grep -vE '^(numpy|opencv)' "$root/constraints.txt") nvidia-pytriton==0.7.0 'numpy<2' \
    opencv-python-headless==4.11.0.86 av openvino click rich
pip --no-deps --force-reinstall "$root"

packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
rm -rf "$home/server"
cp -r "$packages/pytriton/tritonserver" "$home/server"
cp "$home/server/python_backend_stubs/$version/triton_python_backend_stub" "$home/server/backends/python/"
cat > "$home/tritonserver" << END
#!/usr/bin/env bash
export LD_LIBRARY_PATH=$packages/nvidia_pytriton.libs PATH=$home/bin:\$PATH
exec $home/server/bin/tritonserver --backend-directory=$home/server/backends "\$@"
END
chmod +x "$home/tritonserver"
if LD_LIBRARY_PATH=$packages/nvidia_pytriton.libs \
    ldd "$home/server/backends/python/triton_python_backend_stub" | grep "not found"; then
    echo "apt-get install libpython$version"
    exit 1
fi
