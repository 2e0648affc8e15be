#!/usr/bin/env bash
# browser.sh: prints the path of a Chromium or Chrome. Installs Debian's package as root where there is none; else says
# what to install and fails, so that the tests never pass by being left out.
set -euo pipefail
for candidate in "${CHROMIUM:-}" chromium chromium-browser google-chrome-stable google-chrome; do
  if [ -n "$candidate" ] && command -v "$candidate" >/dev/null; then command -v "$candidate"; exit 0; fi
done
for candidate in "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" "/Applications/Chromium.app/Contents/MacOS/Chromium"; do
  if [ -x "$candidate" ]; then echo "$candidate"; exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >&2
  command -v chromium
  exit 0
fi
echo "The tests in a real VS Code need a browser. Install Chromium (Debian and Ubuntu: apt-get install chromium)" >&2
echo "or Chrome, or name one: CHROMIUM=/path/to/it make test" >&2
exit 1
