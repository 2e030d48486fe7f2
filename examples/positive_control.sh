#!/usr/bin/env bash
# Would this program find a generator that helps? How good must one be before it pays?
#
#   bash examples/positive_control.sh WORK [--smoke]
#
# On phantoms the best possible generator is known: the simulator, drawing new people under the labels of the plan. Its
# images must be found to help more than the real ones shown again; the same images under each other's labels must not.
# Between them lie generators of growing quality: a share of the images shows what its labels say (RIGHT), or all do and
# are blurred (BLUR, pixels of 256). Each seed has people of its own, so that verdicts are about what makes the images and
# not about one set of them. dose.png shows what each is worth beside the duplicates, dose.md says it. Ends with 5 where
# the verdicts are not as they must be. Give the command again to go on where it stopped; --smoke runs the whole path in
# minutes, in WORK/smoke, and judges nothing. Images of another generator take the same way (docs/how-to/datasets.md).
# Needs cxr and its python3 on the PATH.
#
# Sizes by environment: IMAGES (1000 real ones, of which TRAIN=0.3 of the patients are trained on), SIZE (32), CLASSES
# ("A,B": labels to learn and to make; six that show at 32 pixels), SHARE (0.3 of each), STEPS (400), SEEDS ("0 1 2 3 4"),
# ARCH (small_cnn), RIGHT ("1 0.9 0.75 0.5 0"), BLUR ("8 16"), AUGMENT (safe: ordinary augmentation in every arm; none for
# bare arms), THREADS (1), DEVICE (auto).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$here/study.sh"
case "$# ${2:-}" in
  "1 " | "2 --smoke") ;;
  *) fail "usage: bash $0 WORK [--smoke]" ;;
esac
fetches=yes read_words "$@"
IMAGES="${IMAGES:-1000}" TRAIN="${TRAIN:-0.3}" SIZE="${SIZE:-32}" SHARE="${SHARE:-0.3}" STEPS="${STEPS:-400}"
SEEDS="${SEEDS:-0 1 2 3 4}" ARCH="${ARCH:-small_cnn}" RIGHT="${RIGHT-1 0.9 0.75 0.5 0}" BLUR="${BLUR-8 16}"
CLASSES="${CLASSES:-Cardiomegaly,Edema,Consolidation,Atelectasis,Pneumothorax,Pleural Effusion}"
AUGMENT="${AUGMENT:-safe}" THREADS="${THREADS:-1}" DEVICE="${DEVICE:-auto}"
if [ "$size" = smoke ]; then
  IMAGES=60 TRAIN=0.4 SIZE=16 SHARE=0.2 STEPS=4 SEEDS="0 1" RIGHT="1 0" BLUR="16"
fi
compute=(--threads "$THREADS" --device "$DEVICE")

held_out="$(python3 -c "print(f'{$TRAIN},{(1 - $TRAIN) * .2:.4f},{(1 - $TRAIN) * .8:.4f}')")"
cxr prepare --format phantom --n "$IMAGES" --size "$SIZE" --split-by "$held_out" -q -o data
cxr synthesize data --plan-only --target-frac "$SHARE" --classes "$CLASSES" -q -o plan

# images NAME WORD...: what phantom_generator.py makes, whole or not at all
images() {
  [ -e "$1-images/table.csv" ] || {
    rm -rf "$1-images.new"
    python3 "$here/phantom_generator.py" "${@:2}" >&2
    mv "$1-images.new" "$1-images"
  }
}
# generator NAME OPTION VALUE: the simulator's images made worse, as a synthetic set a seed; called NAME on the pages
generators=() called=()
generator() {
  local seed
  generators+=("$1")
  for seed in $SEEDS; do
    images "$1-$seed" worsen "drawn-$seed-images" "$1-$seed-images.new" "$2" "$3"
    cxr prepare "$1-$seed-images/table.csv" --format table --synthetic "$1-$seed" --plan plan --size "$SIZE" -q -o "$1-$seed"
    called+=(--set-name "$1-$seed=$1")
  done
}
for seed in $SEEDS; do images "drawn-$seed" draw data plan "drawn-$seed-images.new" --seed "$((seed + 1))"; done
for share in $RIGHT; do generator "right-$share" --right "$share"; done
for sigma in $BLUR; do generator "blur-$sigma" --blur "$sigma"; done

# arm NAME ARM GENERATOR: a classifier a seed
runs=()
several=($SEEDS)
total=$((${#several[@]} * (${#generators[@]} + 1)))
arm() {
  local seed
  for seed in $SEEDS; do
    cxr train-cls data "$3-$seed" --arm "$2" --augment "$AUGMENT" --seed "$seed" --arch "$ARCH" --steps "$STEPS" \
      --classes "$CLASSES" "${compute[@]}" -q -o "$1-$seed"
    runs+=("$1-$seed")
    echo "classifier ${#runs[@]} of $total" >&2
  done
}
# The duplicates are the same for every set: all of them took their labels from the same rows.
arm duplicate duplicate "${generators[0]}"
for name in "${generators[@]}"; do arm "gan-$name" gan "$name"; done

cxr evaluate classifiers "${runs[@]}" --data data "${called[@]}" "${compute[@]}" -q -o report
python3 "$here/dose_figure.py" report "$size" || exit 5
finish report
