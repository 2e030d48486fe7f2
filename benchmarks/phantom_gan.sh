#!/usr/bin/env bash
# The quality of `train-gan` where the truth is known: 5,000 phantoms at 32 px, judged by a teacher of
# other patients (see fidelity.py).
#
#   bash benchmarks/phantom_gan.sh WORK        KIMG=150 THREADS=2 by default: under 20 minutes of training
#
# Needs cxr and its python3 on the PATH. Prints the JSON of fidelity.py at the end.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
mkdir -p "$1"
cd "$1"
threads="${THREADS:-2}"

cxr prepare --format phantom --n 5000 --size 32 --seed 1 --split-by 0.96,0.02,0.02 -o data
cxr prepare --format phantom --n 9000 --size 32 --seed 2 -o others
cxr train-cls others --view frontal --arch small_cnn --steps 1200 --threads "$threads" -o teacher
cxr train-gan data --view frontal --preset tiny --kimg "${KIMG:-150}" --threads "$threads" -o gan
python3 "$here/fidelity.py" data gan teacher others
