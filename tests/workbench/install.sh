#!/usr/bin/env bash
# install.sh NODE DIR [CODE_SERVER_VERSION]: a real VS Code workbench for the tests and for `make code`.
# NODE is a folder with bin/node, bin/npm and include (see extension/scripts/node.sh). DIR gets code-server, which is
# VS Code with its extension host as a server; the workbench is then opened in a browser. Needs g++ and make for two
# small modules. Nothing is done when DIR already holds what is asked for.
set -euo pipefail
NODE=$(cd "$1" && pwd)
DIR=$(mkdir -p "$2" && cd "$2" && pwd)
VERSION=${3:-4.139.1}
export PATH="$NODE/bin:$PATH" npm_config_nodedir="$NODE"
NPM=(npm --no-audit --no-fund --loglevel=error)
STAMP="$DIR/.stamp"
WANT="code-server $VERSION recipe 3"
if [ "$(cat "$STAMP" 2>/dev/null)" = "$WANT" ]; then exit 0; fi
command -v g++ >/dev/null && command -v make >/dev/null || {
  echo "The workbench needs a C++ compiler once. On Debian and Ubuntu: apt-get install g++ make" >&2
  exit 1
}
echo "Installing VS Code for the tests (code-server $VERSION) into $DIR"
rm -rf "$DIR/server" "$STAMP"
mkdir -p "$DIR/server"
cd "$DIR/server"
echo '{"name":"trickster-workbench","private":true}' > package.json
"${NPM[@]}" install "code-server@$VERSION" --ignore-scripts
VSCODE="$DIR/server/node_modules/code-server/lib/vscode"
cd "$VSCODE"
"${NPM[@]}" install --omit=dev --ignore-scripts
(cd extensions && "${NPM[@]}" install --omit=dev --ignore-scripts >/dev/null)
# What must be compiled: without spdlog no log file is written and every output channel stays empty; without the
# watchdog, which has two names, an extension host complains.
for module in @vscode/spdlog @vscode/native-watchdog native-watchdog; do
  if [ -d "node_modules/$module" ]; then "${NPM[@]}" rebuild "$module" >/dev/null; fi
done
test -f node_modules/@vscode/spdlog/build/Release/spdlog.node
# Not wanted in tests, and a third of the size.
rm -rf extensions/copilot extensions/mermaid-markdown-features extensions/microsoft-authentication \
  node_modules/@github/copilot-sdk* node_modules/@microsoft/mxc-sdk
# Older versions fetch their search program from elsewhere after the installation; a package has the same one.
if [ -d "$VSCODE/node_modules/@vscode/ripgrep" ] && [ ! -e "$VSCODE/node_modules/@vscode/ripgrep/bin/rg" ]; then
  cd "$DIR/server"
  "${NPM[@]}" install @vscode/ripgrep-universal@1.18.0 --ignore-scripts
  RG=node_modules/@vscode/ripgrep-universal/bin/$(node -p 'process.platform + "-" + process.arch')/rg
  mkdir -p "$VSCODE/node_modules/@vscode/ripgrep/bin"
  cp "$RG" "$VSCODE/node_modules/@vscode/ripgrep/bin/rg"
  chmod +x "$VSCODE/node_modules/@vscode/ripgrep/bin/rg"
fi
# Older versions hash passwords with a module that has no ready-made build.
cd "$DIR/server"
if [ -d node_modules/argon2 ] && ! node -e 'require("argon2")' 2>/dev/null; then
  "${NPM[@]}" rebuild argon2 >/dev/null
fi
node node_modules/code-server/out/node/entry.js --version >/dev/null
echo "$WANT" > "$STAMP"
