#!/usr/bin/env bash
# Makes the locks anew from pyproject.toml: every package that a fresh checkout installs, each with the sums of its files.
# Needs uv on the path. What is newest today is what the locks say afterwards: run `make test` before keeping them.
#
#   training.txt  what trains and what serves      dev.txt     that, and what checks and tests
#   server.txt    what the packaged extension carries, for the oldest Python
#   uv.txt        what fetches the right build of PyTorch on Linux
#
# PyTorch is not among them: it comes in a build for each kind of processor and graphics card, from more places than
# one, so that no list of sums fits all. Its version is fixed by torch.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
apart='^(torch|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)=='

compile() {
  uv pip compile --quiet --no-header --no-annotate --generate-hashes "$@"
}
without_torch() {
  # A package is one line and the indented lines of its sums.
  awk -v apart="$apart" '/^[^ #-]/ { skip = $0 ~ apart } !skip'
}
compile pyproject.toml --extra server --universal --python-version 3.10 -c requirements/torch.txt |
  without_torch > requirements/training.txt
compile pyproject.toml --extra server --extra dev --universal --python-version 3.10 \
  -c requirements/training.txt -c requirements/torch.txt | without_torch > requirements/dev.txt
grep -oE '"(pygls|lsprotocol|PyYAML)[=><][^"]+"' pyproject.toml | tr -d '"' |
  compile - --python-version 3.10 -c requirements/training.txt > requirements/server.txt
echo uv | compile - --universal --python-version 3.10 > requirements/uv.txt
