#!/usr/bin/env bash
# The text strategies in one comparison, over seeds: does a CLIP read what its texts say, and does one
# that was trained on the texts of other patients read nothing?
#
#   bash benchmarks/text_strategies.sh WORK       SEEDS="0 1 2 3 4" N=6000 EPOCHS=12 BATCH=64 THREADS=2 by default
#
# STRATEGIES: of the eight strategies only these. Needs cxr on the PATH. Ends with WORK/strategies/report.html.
set -euo pipefail
mkdir -p "$1"
cd "$1"
threads="${THREADS:-2}"
strategies="${STRATEGIES:-rules rules-v2 impression findings generated inverted random original}"

cxr prepare --format phantom --n "${N:-6000}" --size 32 --seed 4 --split-by 0.7,0.05,0.25 -o raw
cxr extract-reports raw --texts rules,rules-v2,impression,findings,generated,inverted,random -o data
runs=()
for text in $strategies; do
  for seed in ${SEEDS:-0 1 2 3 4}; do
    training=(--epochs "${EPOCHS:-12}" --batch "${BATCH:-64}")
    if [ "$text" = original ]; then training=(); fi
    cxr finetune-clip data --view frontal --text "$text" --model tiny --size 64 --seed "$seed" \
      "${training[@]}" --threads "$threads" -o "clip-$text-$seed"
    runs+=("clip-$text-$seed")
  done
done
cxr evaluate clip "${runs[@]}" --data data --threads "$threads" -o strategies
