#!/usr/bin/env bash
# One design, another data set (after Dhawan & Nijhawan 2024): real, synthetic, and both; accuracy.
#
#   bash examples/cross_modality.sh chest_xray WORK-CHEST [--cpu|--full]
#   bash examples/cross_modality.sh brain_mri WORK-BRAIN [--cpu|--full]
#   bash examples/cross_modality.sh WORK --smoke
#
# DATA is a folder with a folder a class (chest X-rays: normal, bacterial, viral; brain MRI: glioma, ...),
# or train/, val/ and test/ of such folders; or a CSV with the columns path and class. A DCGAN learns the
# training images, makes as many of each class, and three arms train one classifier. Nothing here knows what
# the images show. tables.md has the accuracy, with the printed one beside.
# --smoke without DATA makes a tiny image folder of phantoms. Give the command again to go on where it stopped; a
# second one beside it ends with 75.
# Needs cxr and its python3 on the PATH (source .venv/bin/activate).
#
# Sizes by environment: SIZE, KIMG, PER_CLASS (synthetic images a class), STEPS, SEEDS, ARCH, PRESET,
# CLASSES ("A,B": of the classes only these), THREADS (2), DEVICE (auto).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$here/study.sh"
read_words "$@"
case "$size" in
  smoke) defaults="16 0.1 8 10 0 small_cnn" ;;
  cpu) defaults="32 40 500 600 0,1,2,3,4 small_cnn" ;;
  full) defaults="128 2000 2000 4000 0,1,2,3,4 efficientnet_v2_s" ;;
esac
read -r d_size d_kimg d_class d_steps d_seeds d_arch <<<"$defaults"
SIZE="${SIZE:-$d_size}" KIMG="${KIMG:-$d_kimg}" PER_CLASS="${PER_CLASS:-$d_class}" STEPS="${STEPS:-$d_steps}"
SEEDS="${SEEDS:-${d_seeds//,/ }}" ARCH="${ARCH:-$d_arch}" CLASSES="${CLASSES:-}"
shared=(--threads "${THREADS:-2}" --device "${DEVICE:-auto}" -q)
preset=() labels=() classes=()
[ -z "${PRESET:-}" ] || preset=(--preset "$PRESET")
[ -z "$CLASSES" ] || labels=(--labels "$CLASSES") classes=(--classes "$CLASSES")

if [ -z "$source" ]; then
  cxr prepare --format phantom --n 80 --size "$SIZE" -q -o phantoms
  python3 "$here/single_label.py" phantoms images --folders --rule one-of-chosen \
    --classes "No Finding,Edema,Pleural Effusion"
  source="$PWD/images"
fi
case "$(format_of "$source" folder)" in
  table) cxr prepare "$source" --format table --column class=class --size "$SIZE" -q -o data ;;
  folder) cxr prepare "$source" --format folder --size "$SIZE" -q -o data ;;
esac
[ -z "$CLASSES" ] || need_classes data "$CLASSES"

cxr train-gan data --arch dcgan --size "$SIZE" --kimg "$KIMG" ${preset[@]+"${preset[@]}"} \
  ${labels[@]+"${labels[@]}"} "${shared[@]}" -o gan
cxr synthesize data --gan gan --balance "$PER_CLASS" ${classes[@]+"${classes[@]}"} "${shared[@]}" -o synth
runs=()
for arm in none synthetic-only gan; do
  synth=(synth)
  [ "$arm" != none ] || synth=()
  for seed in $SEEDS; do
    cxr train-cls data ${synth[@]+"${synth[@]}"} --arm "$arm" --seed "$seed" --arch "$ARCH" --steps "$STEPS" \
      ${classes[@]+"${classes[@]}"} "${shared[@]}" -o "$arm-$seed"
    runs+=("$arm-$seed")
  done
done
cxr evaluate classifiers "${runs[@]}" --data data --synth synth "${shared[@]}" -o report
python3 "$here/printed_table.py" report here/none here/synthetic-only here/gan --metric accuracy \
  --printed "$here/printed/cross_modality.csv" >tables.new
mv tables.new tables.md
cat tables.md >&2
finish report
