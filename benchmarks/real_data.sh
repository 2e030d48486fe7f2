#!/usr/bin/env bash
# Quality on real input, with the commands as a user would give them.
#
#   bash benchmarks/real_data.sh DATA WORK [reports] [kermany] [nih]
#
# Parts, by default all: reports, kermany, nih. DATA holds what the project does not: kermany_pneumonia/labels.csv
# (chest X-rays of Kermany et al. 2018, a row an image, with the label Viral Pneumonia), nih_cxr14/labels.csv (a part
# of NIH ChestX-ray14) and reports/openi_reference.csv (labels by the column uid; the Open-i reports themselves are
# read from the torchxrayvision wheel). Give it again to go on where it stopped. Needs cxr and its python3 on the
# PATH. KIMG (40), STEPS (400) and THREADS (2) by environment.
set -euo pipefail
data="$(cd "$1" && pwd)"
mkdir -p "$2"
cd "$2"
shift 2
kimg="${KIMG:-40}"
threads="${THREADS:-2}"
steps="${STEPS:-400}"

reports() {
  local wheel
  wheel="$(python3 -c 'import importlib.util, pathlib; print(pathlib.Path(importlib.util.find_spec("torchxrayvision").origin).parent)')"
  cxr extract-reports "$wheel/data/NLMCXR_reports.tgz" -o openi
  cxr evaluate labels openi --reference "$data/reports/openi_reference.csv" --key uid \
    --uncertain-as 0 --blank-as skip -o openi-scores
}

# chain NAME TARGETS SHARE PREPARE_OPTIONS...
chain() {
  local name="$1" targets="$2" share="$3"
  shift 3
  cxr prepare "$@" --size 64 -o "$name"
  cxr train-gan "$name" --size 64 --preset tiny --kimg "$kimg" --threads "$threads" -o "$name-gan"
  cxr synthesize "$name" --gan "$name-gan" --target-frac "$share" --classes "$targets" -o "$name-synth"
  local arm
  for arm in none duplicate gan; do
    if [ "$arm" = none ]; then
      cxr train-cls "$name" --arch small_cnn --steps "$steps" --threads "$threads" --arm none -o "$name-cls-none"
    else
      cxr train-cls "$name" "$name-synth" --arch small_cnn --steps "$steps" --threads "$threads" --arm "$arm" -o "$name-cls-$arm"
    fi
  done
  cxr evaluate images "$name-synth" --real "$name" --features "$name-cls-none" -o "$name-images"
  cxr evaluate classifiers "$name-cls-none" "$name-cls-duplicate" "$name-cls-gan" \
    --data "$name" -o "$name-report"
}

kermany() {
  chain kermany "Viral Pneumonia" 0.35 "$data/kermany_pneumonia/labels.csv" --format table
}

nih() {
  chain nih "Cardiomegaly,Edema,Consolidation" 0.08 "$data/nih_cxr14/labels.csv" --format table \
    --split-by 0.7,0.1,0.2
}

for part in "${@:-reports kermany nih}"; do
  for one in $part; do "$one"; done
done
