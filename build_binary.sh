#!/bin/sh
# Builds dist/calicoctl, one file that needs no Python, and runs it once: it must answer as the
# checkout does. It carries what the node image is built from, so that it can build it too.
set -eu
cd "$(dirname "$0")"

PYINSTALLER=pyinstaller==6.22.3
ENVIRONMENT=.venv-binary

stamp=$({ python3 --version; pwd; echo "$PYINSTALLER"; cat requirements.txt; } | sha256sum)
if [ "$(cat "$ENVIRONMENT/stamp" 2>/dev/null)" != "$stamp" ]; then
    rm -rf "$ENVIRONMENT"
    python3 -m venv "$ENVIRONMENT"
    "$ENVIRONMENT/bin/pip" install -q --disable-pip-version-check "$PYINSTALLER" -r requirements.txt
    echo "$stamp" >"$ENVIRONMENT/stamp"
fi

# Only what the image needs: no bytecode, no CA bundle of this machine.
rm -rf build/context
mkdir -p build/context
tar -cf - --exclude=__pycache__ --exclude=host-ca.crt \
    calico_ctl calico_node calicoctl.py requirements.txt LICENSE | tar -xf - -C build/context

context=$PWD/build/context
"$ENVIRONMENT/bin/pyinstaller" --onefile --noconfirm --clean --log-level WARN --name calicoctl \
    --specpath build --workpath build/work --distpath dist \
    --add-data "$context/calico_ctl:calico_ctl" \
    --add-data "$context/calico_node:calico_node" \
    --add-data "$context/calicoctl.py:." \
    --add-data "$context/requirements.txt:." \
    --add-data "$context/LICENSE:." \
    --collect-submodules calico_ctl \
    calicoctl.py

for arguments in version --help 'help profile'; do
    expected=$("$ENVIRONMENT/bin/python" calicoctl.py $arguments)
    found=$(dist/calicoctl $arguments)
    [ "$found" = "$expected" ] || {
        echo "dist/calicoctl $arguments does not answer as the checkout does:" >&2
        echo "$found" >&2
        exit 1
    }
done
ls -l dist/calicoctl
