#!/usr/bin/env bash
# tests/device/acceptance.sh OUT: everything that only a GPU can show, on one NVIDIA GPU with CUDA, in at most 8 minutes.
#
# Steps run in the order of their worth, each within a time limit of its own, and write JSON into OUT as they go: what
# fails or is cut short does not keep the rest from running. PYTHON names a Python with torch and the packages of
# `pip install -e .[dev,bench]`; NANOGPT a checkout of nanoGPT, without which nothing is compared with it;
# TRICKSTER_CORPUS_DIR a folder with tinyshakespeare.txt where nothing can be downloaded. On a CPU,
# `TRICKSTER_DEVICE=cpu tests/device/acceptance.sh OUT` runs the same code with tiny sizes: a rehearsal, no measurement.
set -u
[ $# -eq 1 ] || { echo "usage: tests/device/acceptance.sh OUT" >&2; exit 2; }
mkdir -p "$1" && out=$(cd "$1" && pwd) || exit 2
cd "$(dirname "$0")/../.." || exit 2
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
total=${ACCEPTANCE_SECONDS:-480}
export TRICKSTER_CACHE_DIR=${TRICKSTER_CACHE_DIR:-$(mktemp -d)} PYTHONUNBUFFERED=1

# step NAME LIMIT COMMAND...: at most LIMIT seconds, and no more than are left of all.
step() {
	local name=$1 limit=$2 left=$((total - SECONDS)) began=$SECONDS code
	shift 2
	[ "$left" -lt "$limit" ] && limit=$left
	if [ "$limit" -lt 5 ]; then
		code=skipped
	else
		timeout --kill-after=5 "$limit" "$@" >"$out/$name.log" 2>&1
		code=$?
	fi
	printf '{"step": "%s", "code": "%s", "seconds": %d}\n' "$name" "$code" $((SECONDS - began)) | tee -a "$out/steps.jsonl"
}

: >"$out/steps.jsonl"
rm -f "$out/suite.jsonl"
step facts 30 "$python" -m tests.device.steps facts "$out"
OMP_NUM_THREADS=${OMP_NUM_THREADS:-8} TRICKSTER_ACCEPTANCE_OUT=$out/suite.jsonl step suite 140 "$python" -m pytest -q -m cuda tests/device
step speed 120 "$python" -m tests.device.steps speed "$out"
step races 100 "$python" -m tests.device.steps races "$out"
step options 110 "$python" -m tests.device.steps options "$out"
step profile 45 "$python" -m tests.device.steps profile "$out"
step trainer 50 "$python" -m tests.device.steps trainer "$out"
step predictions 40 "$python" -m tests.device.steps predictions "$out"
step sampling 30 "$python" -m tests.device.steps sampling "$out"
if command -v nsys >/dev/null; then
	step nsys 30 nsys profile --force-overwrite true -o "$out/nsys" "$python" -m tests.device.steps sampling "$out"
fi
step best 400 "$python" -m tests.device.steps best "$out"
"$python" -m tests.device.summary "$out"
