#!/usr/bin/env bash
# The whole chain on simulated radiographs ("phantoms"), from a copy of the repository: installs cxr into .venv, then
# `cxr demo`.
#
#   bash examples/quickstart.sh [FOLDER]     default: quickstart-work in the repository
#
# Run it twice: the second time everything is up to date.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/examples/venv.sh"
make_venv
"$VENV/bin/cxr" demo -o "${1:-$root/quickstart-work}"
echo "To have cxr on the path:  source $VENV/bin/activate" >&2
