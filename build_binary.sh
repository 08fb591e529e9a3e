#!/bin/sh
# Builds what people without Python run, and runs it: it must answer as the checkout does. In dist/:
#   calicoctl                                one file, which unpacks itself each time
#   calicoctl-<version>-linux-<machine>.tar.gz  one directory, which starts sooner
#   calicoctl-<version>.cdx.json, SHA256SUMS    what is in them (CycloneDX), and their digests
# Equal sources give equal files: `build_binary.sh --again` builds elsewhere once more and compares,
# `build_binary.sh --compare` does only that, with what dist/ has already.
set -eu
cd "$(dirname "$0")"

PYINSTALLER=pyinstaller==6.22.3
SETUPTOOLS=setuptools==84.2.1
LARGEST=25000000
CHECKOUT=$PWD
ENVIRONMENT=$CHECKOUT/.venv-binary
PYTHON=$ENVIRONMENT/bin/python
# The day that all files inside are of, and an order of sets that is always the same.
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-1767225600}" PYTHONHASHSEED=0 LC_ALL=C

die() { echo "build_binary: $*" >&2; exit 1; }

require_tools() {
    for program in objdump strip; do
        command -v $program >/dev/null || die "there is no $program; try: apt install binutils"
    done
    python3 -c 'import ctypes, sys; ctypes.CDLL("libpython%d.%d.so.1.0" % sys.version_info[:2])' \
        2>/dev/null ||
        die "this Python has no shared library; try: apt install libpython3-dev"
}

make_environment() {
    stamp=$({ python3 --version; pwd; echo "$PYINSTALLER $SETUPTOOLS"; cat requirements.txt; } | sha256sum)
    [ "$(cat "$ENVIRONMENT/stamp" 2>/dev/null)" != "$stamp" ] || return 0
    rm -rf "$ENVIRONMENT"
    python3 -m venv "$ENVIRONMENT"
    "$ENVIRONMENT/bin/pip" install -q --disable-pip-version-check "$PYINSTALLER" "$SETUPTOOLS" \
        -r requirements.txt
    echo "$stamp" >"$ENVIRONMENT/stamp"
}

# In the folder that we are in: build/ and dist/ are made anew.
freeze() {
    rm -rf build dist
    mkdir -p build dist
    "$PYTHON" -c 'import pathlib, sys
from calico_ctl.docker_api import build_context
sys.stdout.buffer.write(build_context.packed(pathlib.Path()))' >build/context.tar.gz
    cp packaging/freeze.py build/calicoctl.spec
    "$PYTHON" -m PyInstaller --noconfirm --clean --log-level WARN \
        --workpath build/work --distpath dist build/calicoctl.spec
}

pack() {
    version=$("$PYTHON" calicoctl.py version)
    directory=calicoctl-$version-linux-$(uname -m)
    mv dist/directory "build/$directory"
    cp LICENSE "build/$directory/"
    find "build/$directory" -type f ! -name calicoctl -exec chmod 644 {} +
    tar -C build --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --mode=u=rwX,go=rX -cf - "$directory" | gzip -9n >"dist/$directory.tar.gz"
    "$PYTHON" scripts/sbom.py "build/$directory" >"dist/calicoctl-$version.cdx.json"
    (cd dist && sha256sum -- calicoctl* >SHA256SUMS)
}

answer() {
    if "$@" 2>&1; then echo "exit code 0"; else echo "exit code $?"; fi
}

# Without PATH, so that nothing of this machine's Python is found.
compare() {
    for arguments in version --help 'help profile' 'completion bash' 'pool show --output=bad'; do
        # shellcheck disable=SC2086  # words
        expected=$(answer "$PYTHON" calicoctl.py $arguments)
        # shellcheck disable=SC2086
        found=$(answer env -i LC_ALL=C "$1" $arguments)
        [ "$found" = "$expected" ] ||
            die "$1 $arguments does not answer as the checkout does: $found"
    done
}

build_again() {
    elsewhere=$(mktemp -d /var/tmp/calicoctl-again.XXXXXX)
    trap 'rm -rf "$elsewhere"' EXIT
    trap 'exit 130' INT TERM
    tar -cf - --exclude=__pycache__ --exclude=host-ca.crt calico_ctl calico_node packaging \
        calicoctl.py requirements.txt LICENSE scripts | tar -xf - -C "$elsewhere"
    cd "$elsewhere"
    freeze
    pack
    cmp dist/SHA256SUMS "$CHECKOUT/dist/SHA256SUMS" || die "two builds of the same sources differ"
    echo "built twice, and both are equal"
}

build() {
    freeze
    pack
    compare dist/calicoctl
    compare "build/$directory/calicoctl"
    [ "$(stat -c %s dist/calicoctl)" -le $LARGEST ] || die "dist/calicoctl is over $LARGEST bytes"
    ls -l dist
}

require_tools
make_environment
case ${1:-} in
'') build ;;
--again) build; build_again ;;
--compare) build_again ;;
*) die "there is no option $1" ;;
esac
