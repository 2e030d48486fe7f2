#!/usr/bin/env bash
# Everything that must hold: format, lint, types, import contracts, tests.
#
#   bash tests/run.sh            all but the tests marked gpu or slow
#   bash tests/run.sh --all      the slow ones too
#   bash tests/run.sh -k name    further words go to pytest
#
# Makes .venv and installs what it needs by itself (bash, git and Python >= 3.11 are enough).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/venv.sh
make_venv xrv,dicom,parquet,workflow,test
export PATH="$VENV/bin:$PATH"

marks="not gpu and not slow"
if [ "${1:-}" = "--all" ]; then
  marks="not gpu"
  shift
fi

echo "== format and lint"
ruff format --check --quiet .
ruff check --quiet .
echo "== types"
mypy --no-error-summary
echo "== import contracts"
lint-imports --no-cache | tail -n 4
echo "== tests"
# A process a core, each with one thread: two processes with two threads each would slow one another tenfold.
export OMP_NUM_THREADS=1
python -m pytest -m "$marks" --numprocesses auto --dist loadfile --durations=10 "$@"
