#!/usr/bin/env bash
# Everything of train-gan that needs a CUDA device, in one call of under ten minutes:
#
#   bash benchmarks/gpu.sh [OUT [DATASET...]]
#
# 1. `full` at 128 and 256 px: seconds per thousand images with and without torch.compile and bfloat16, and
#    of the grouped-convolution float32 form of the same network (benchmarks/gan.py).
# 2. The tests marked gpu: no waiting in a step, resume, compiled and bfloat16 steps, too little memory.
# 3. `train-gan DATASET` with its defaults at 128 and 64 px for KIMG thousand images each, on every dataset
#    directory given (Kermany and NIH, prepared with --size 128), or on phantoms: curves.png and samples.png.
#
# OUT (default: a new folder under /tmp) gets the run directories, figures.jsonl, and gpu.md, the section for
# benchmarks/RESULTS.md with device, versions and date. A part that fails or runs out of time is named there
# and the next one goes on; the exit code is then 1. BUDGET_S (default 570) is the time of all parts together.
# DEVICE=cpu PRESET=tiny SIZES="32 64" KIMG=0.1 tries the script itself on a machine without a GPU.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=python3
device=${DEVICE:-cuda}
preset=${PRESET:-full}
sizes=${SIZES:-128 256}
train_sizes=${TRAIN_SIZES:-128 64}
kimg=${KIMG:-8}
budget=${BUDGET_S:-570}
out=${1:-$(mktemp -d)}
shift
mkdir -p "$out"
figures=$out/figures.jsonl
: >"$figures"
if [ "$device" = cuda ]; then
  "$python" -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "no CUDA device here")' || exit 1
fi
export PYTHONUNBUFFERED=1

failed=0
# part NAME SECONDS COMMAND...: run it within its time and what is left; note its end, whatever it is.
part() {
  local name=$1 limit=$2 start=$SECONDS code=0
  local left=$((budget - SECONDS))
  shift 2
  [ "$left" -lt "$limit" ] && limit=$left
  if [ "$limit" -le 5 ]; then
    code=124
  else
    echo "== $name (at most $limit s)" >&2
    timeout "$limit" "$@" || code=$?
  fi
  [ "$code" -eq 0 ] || failed=1
  printf '{"part": "%s", "exit": %d, "seconds": %d}\n' "$name" "$code" $((SECONDS - start)) >>"$figures"
  return "$code"
}

for size in $sizes; do
  part "speed at $size px" 220 "$python" benchmarks/gan.py --device "$device" --preset "$preset" \
    --size "$size" --rounds "${ROUNDS:-3}" --most-seconds 100 >>"$figures"
done
part "tests marked gpu" 150 "$python" -m pytest -m gpu tests/gpu >&2

if [ $# -eq 0 ]; then
  part "phantoms" 60 "$python" -m cxrtool prepare --format phantom -q -o "$out/phantoms" --n "${N:-3000}" \
    --size 128 --seed 0 >&2 && set -- "$out/phantoms"
fi
for data in "$@"; do
  for size in $train_sizes; do
    run=$out/$(basename "$data")-$size
    part "train-gan $(basename "$data") at $size px" 150 "$python" -m cxrtool train-gan "$data" -o "$run" \
      --size "$size" --kimg "$kimg" --snapshot-kimg "$("$python" -c "print(max(0.02, $kimg / 5))")" \
      --device "$device" >&2
  done
done
"$python" benchmarks/gpu_report.py "$out" >"$out/gpu.md" || failed=1
cat "$out/gpu.md"
exit "$failed"
