#!/usr/bin/env bash
# The chain on phantoms, trained longer than the quick start: generated images and edits to look at,
# and whether an edit changes what it names (heart width, measured).
#
#   bash benchmarks/phantom_chain.sh WORK        KIMG=100 N=4000 THREADS=2 by default
#
# Needs cxr and its python3 on the PATH. Prints the JSON of fidelity.py and of edit_effect.py at the end.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
mkdir -p "$1"
cd "$1"
kimg="${KIMG:-100}"
n="${N:-4000}"
threads="${THREADS:-2}"

cxr prepare --format phantom --n "$n" --size 32 -o raw
cxr extract-reports raw -o data
cxr train-cls data --view frontal --arch small_cnn --steps 800 --threads "$threads" -o teacher
cxr train-gan data --view frontal --preset tiny --kimg "$kimg" --threads "$threads" -o gan
cxr synthesize data --gan gan --view frontal --target-frac 0.15 \
  --classes "Pneumothorax,Consolidation" -o synth
cxr evaluate images synth --real data --view frontal --features teacher -o images
cxr finetune-clip data --view frontal --text rules --model tiny --size 64 --epochs 12 --select-by auroc --threads "$threads" -o clip
targets=(--target "enlarged heart" --target "pleural effusion" --n 64 --teacher teacher --threads "$threads")
cxr edit gan --clip clip "${targets[@]}" --method latent -o edits-latent
for sign in + -; do
  cxr edit gan --clip clip "${targets[@]}" --method global --sign $sign -o "edits-global$sign"
done
python3 "$here/fidelity.py" data gan teacher
python3 "$here/edit_effect.py" data edits-*
