#!/usr/bin/env bash
# Everything that needs a CUDA device, part by part:
#
#   bash benchmarks/gpu.sh OUT [PART...]
#
# PARTs, by default all in this order:
#   tests       the tests marked gpu: no waiting in a step, resume, compiled and bfloat16 steps, too little memory
#   cls         train-cls against a plain float32 loop at 224 px (benchmarks/cls.py)
#   synthesize  images a second against the usual script at 256 px (benchmarks/synthesize.py)
#   edit        the relevance matrix against one image a call (benchmarks/edit.py)
#   clip        finetune-clip with a network of the size of ViT-B/32 on phantoms and every dataset directory of DATA
#   gan         `full` at 128 and 256 px: seconds per thousand images with and without torch.compile and bfloat16,
#               and of the grouped-convolution float32 form of the same network (benchmarks/gan.py)
#   train       train-gan with its defaults at 128 and 64 px for KIMG thousand images each, on every directory of
#               DATA, or on phantoms: curves.png and samples.png
#   flow        the same of `--arch flow` (FLOW_KIMG), and its speed and memory at 256 px on phantoms
#
# DATA: dataset directories (Kermany and NIH, prepared with --size 128), separated by spaces. OUT gets the run
# directories, figures.jsonl, and gpu.md, the section for docs/results/speed.md with device, versions and date.
# On a host that launches kernels slowly the first steps alone take half a minute a network (H200, 16 cores:
# a generator to edit 84 s, a CLIP to edit by 37 s, the tests 122 s): give two or three parts a call.
# A part that fails or runs out of time is named there and the next one goes on; the exit code is then 1.
# BUDGET_S (default 570) is the time of all parts together. DEVICE=cpu QUICK=1 tries the script itself on a
# machine without a GPU.
set -uo pipefail
[ $# -gt 0 ] || { echo "usage: bash benchmarks/gpu.sh OUT [PART...]" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
data=()
for folder in ${DATA:-}; do data+=("$(cd "$folder" && pwd)"); done
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=python3
device=${DEVICE:-cuda}
preset=full sizes="128 256" train_sizes="128 64" kimg=${KIMG:-8} flow_kimg=${FLOW_KIMG:-200} flow_size=256 budget=${BUDGET_S:-570}
cls="--arch densenet121 --size 224 --batch 64 --steps 40 --images 1000 --rounds 2" made="--images 2048 --rounds 2"
edit_size=128 matrix="--channels 48 --images 20" clip_model="ViT-B-32" clip_size=224 clip="--batch 256 --epochs 20"
if [ -n "${QUICK:-}" ]; then
  preset=tiny sizes="32" train_sizes="32" kimg=0.1 flow_kimg=0.1 flow_size=32
  cls="--arch small_cnn --size 32 --batch 16 --steps 4 --images 64 --rounds 1" made="--images 64 --size 32 --preset tiny --rounds 1"
  edit_size=32 matrix="--channels 8 --images 4" clip_model=tiny clip_size=64 clip="--steps 4"
fi
figures=$out/figures.jsonl
touch "$figures"
if [ "$device" = cuda ]; then
  "$python" -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "no CUDA device here")' || exit 1
fi
export PYTHONUNBUFFERED=1

failed=0
# part NAME SECONDS COMMAND...: run it within its time and what is left; note its end, whatever it is. What it prints
# on stdout goes into figures.jsonl as one line.
part() {
  local name=$1 limit=$2 start=$SECONDS code=0
  local left=$((budget - SECONDS))
  shift 2
  [ "$left" -lt "$limit" ] && limit=$left
  if [ "$limit" -le 5 ]; then
    code=124
  else
    echo "== $name (at most $limit s)" >&2
    timeout "$limit" "$@" >"$out/part.txt" || code=$?
    case "$1 $2" in *.py) "$python" -c 'import json, sys; [print(json.dumps(json.loads(x))) for x in sys.argv[1:]]' \
      "$(cat "$out/part.txt")" >>"$figures" || code=1 ;; esac
  fi
  [ "$code" -eq 0 ] || failed=1
  printf '{"part": "%s", "exit": %d, "seconds": %d}\n' "$name" "$code" $((SECONDS - start)) >>"$figures"
  return "$code"
}
run() { local name=$1 limit=$2; shift 2; part "$name" "$limit" "$python" -m cxrtool "$@" -q; }
# phantoms SIZE N: a dataset directory of them
phantoms() {
  [ -e "$out/phantoms-$1/dataset.json" ] ||
    run "phantoms at $1 px" 120 prepare --format phantom -o "$out/phantoms-$1" --n "$2" --size "$1" --seed 0
}

tests() { part "tests marked gpu" 150 bash -c "'$python' -m pytest -m gpu tests/gpu -p no:cacheprovider >&2"; }
cls() {
  part "train-cls against a plain loop" 240 "$python" benchmarks/cls.py $cls --workers 8 --device "$device"
}
synthesize() { part "synthesize" 200 "$python" benchmarks/synthesize.py --device "$device" $made; }
edit() {
  phantoms "$edit_size" "${N:-1200}"
  run "a generator to edit" 150 train-gan "$out/phantoms-$edit_size" -o "$out/edit-gan" --size "$edit_size" \
    --preset "$preset" --kimg 0.2 --compile off --device "$device"
  run "a CLIP to edit by" 90 finetune-clip "$out/phantoms-$edit_size" -o "$out/edit-clip" --text labels \
    --model "$clip_model" --size "$clip_size" --steps 10 --device "$device"
  part "relevance matrix" 180 "$python" benchmarks/edit.py "$out/edit-gan" "$out/edit-clip" $matrix --device "$device"
}
clip() {
  local folder text
  phantoms 128 "${N:-1200}"
  for folder in "$out/phantoms-128" ${data[@]+"${data[@]}"}; do
    text=labels # prompts composed from them; report texts where extract-reports has read them
    head -n 1 "$folder/manifest.csv" | grep -qw rules && text=rules
    run "finetune-clip $(basename "$folder")" 120 finetune-clip "$folder" -o "$out/clip-$(basename "$folder")" \
      --text "$text" --model "$clip_model" --size "$clip_size" $clip --device "$device"
  done
}
gan() {
  local size
  for size in $sizes; do
    part "speed at $size px" 220 "$python" benchmarks/gan.py --device "$device" --preset "$preset" \
      --size "$size" --rounds "${ROUNDS:-3}" --most-seconds 100
  done
}
# trainings KIMG OPTION...: train-gan on all data at all sizes
trainings() {
  local folder size kimg=$1 name
  shift
  name=${2:+-$2}
  if [ ${#data[@]} -eq 0 ]; then
    phantoms 128 "${N:-1200}"
    data=("$out/phantoms-128")
  fi
  for folder in "${data[@]}"; do
    for size in $train_sizes; do
      run "train-gan $(basename "$folder") at $size px $*" 150 train-gan "$folder" "$@" \
        -o "$out/$(basename "$folder")-$size$name" --size "$size" --kimg "$kimg" \
        --snapshot-kimg "$("$python" -c "print(max(0.02, $kimg / 5))")" --device "$device"
    done
  done
}
train() { trainings "$kimg"; }
flow() {
  trainings "$flow_kimg" --arch flow
  phantoms "$flow_size" "${N:-1200}"
  run "a flow at $flow_size px" 150 train-gan "$out/phantoms-$flow_size" -o "$out/flow-$flow_size" --arch flow \
    --size "$flow_size" --kimg "$flow_kimg" --device "$device"
}

for name in "${@:-tests cls synthesize edit clip gan train flow}"; do
  for one in $name; do "$one"; done
done
rm -f "$out/part.txt"
"$python" benchmarks/gpu_report.py "$out" >"$out/gpu.md" || failed=1
cat "$out/gpu.md"
exit "$failed"
