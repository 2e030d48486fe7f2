#!/usr/bin/env bash
# Everything that needs a CUDA device, in one call of a few minutes:
#   bash benchmarks/gpu.sh [OUT]
# Trains on phantoms through the command line, then times the networks beside their grouped-convolution
# form. Prints one JSON line a network; OUT (default: a new folder under /tmp) keeps the run directories.
# Nothing here has been run on a GPU yet: figures measured with it go to benchmarks/RESULTS.md with
# device, versions and date.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=python3
out=${1:-$(mktemp -d)}
"$python" -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else "no CUDA device here")'

"$python" -m cxrtool prepare --format phantom -o "$out/data" --size 128 --seed 0
for size in 32 64 128; do
  "$python" -m cxrtool train-gan "$out/data" -o "$out/gan-$size" --size "$size" --kimg 20 \
    --device cuda
  "$python" - "$out/gan-$size" <<'PYTHON'
import json, statistics, sys
rows = [json.loads(line) for line in open(f"{sys.argv[1]}/metrics.jsonl")]
later = [row["sec_per_kimg"] for row in rows[len(rows) // 2 :]]
print(json.dumps({"run": sys.argv[1], "sec_per_kimg": statistics.median(later)}))
PYTHON
done
for size in 64 128 256; do
  "$python" benchmarks/gan.py --device cuda --preset full --size "$size" --rounds 3
done
