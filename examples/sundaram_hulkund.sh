#!/usr/bin/env bash
# Rare findings of CheXpert at 15 % of the training set, by share of the patients (after Sundaram & Hulkund 2021).
#
#   bash examples/sundaram_hulkund.sh CHEXPERT WORK [--cpu|--full]
#   bash examples/sundaram_hulkund.sh WORK --smoke
#
# CHEXPERT is the folder of the download, or a CSV with a row an image (path, patient_id, a column a label). Each
# regimen takes a share of the training patients; its generator sees these alone and makes as many images as bring
# TRIO to SHARE. Arms: none, standard (flips, as published), gan, duplicate, pretrain-finetune. --full first
# chooses learning rate, batch and optimizer of each regimen by validation (arm none, seed 0); all its arms take
# that choice. tables.md is their Table 2, with the printed numbers beside.
# --smoke without a data set takes phantoms. Give the command again to go on where it stopped; a
# second one beside it ends with 75. A missing class ends with 2.
# Needs cxr and its python3 on the PATH (source .venv/bin/activate).
#
# Sizes by environment: TRIO, CLASSES ("A,B": labels to learn; default: all), SPLIT (of `prepare`: "0.6,0.1,0.3"),
# SHARE (0.15), REGIMENS, GAN_ARCH (acgan; or stylegan2), SIZE, KIMG, PRESET, STEPS, SEEDS, ARCH, ARMS, AUGMENT
# (flips, or safe), GRID_LR, GRID_BATCH, GRID_OPTIMIZER, THREADS (2), DEVICE (auto).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$here/study.sh"
read_words "$@"
case "$size" in
  smoke) defaults="16 0.1 10 0 small_cnn 1.0 0.001,0.005 16 adam" ;;
  cpu) defaults="64 40 600 0,1,2,3,4 small_cnn 0.1,1.0 0.001 64 adam" ;;
  full) defaults="256 10000 8000 0,1,2,3,4 densenet121 0.01,0.1,0.5,1.0 0.01,0.005,0.001 16,32,64 sgd-momentum,adam" ;;
esac
read -r d_size d_kimg d_steps d_seeds d_arch d_regimens d_lr d_batch d_optimizer <<<"$defaults"
SIZE="${SIZE:-$d_size}" KIMG="${KIMG:-$d_kimg}" STEPS="${STEPS:-$d_steps}" SEEDS="${SEEDS:-${d_seeds//,/ }}"
ARCH="${ARCH:-$d_arch}" REGIMENS="${REGIMENS:-${d_regimens//,/ }}" GRID_LR="${GRID_LR:-${d_lr//,/ }}"
GRID_BATCH="${GRID_BATCH:-${d_batch//,/ }}" GRID_OPTIMIZER="${GRID_OPTIMIZER:-${d_optimizer//,/ }}"
GAN_ARCH="${GAN_ARCH:-acgan}" SHARE="${SHARE:-0.15}" AUGMENT="${AUGMENT:-flips}"
ARMS="${ARMS:-none standard gan duplicate pretrain-finetune}"
shared=(--threads "${THREADS:-2}" --device "${DEVICE:-auto}" -q)
preset=() classes=() split=()
[ -z "${PRESET:-}" ] || preset=(--preset "$PRESET")
[ -z "${CLASSES:-}" ] || classes=(--classes "$CLASSES")
[ -z "${SPLIT:-}" ] || split=(--split-by "$SPLIT")

if [ -z "$source" ]; then
  cxr prepare --format phantom --n 100 --size "$SIZE" -q -o data
  TRIO="${TRIO:-Edema,Consolidation,Pneumothorax}"
else
  cxr prepare "$source" --format "$(format_of "$source" chexpert)" --size "$SIZE" ${split[@]+"${split[@]}"} \
    -q -o data
fi
TRIO="${TRIO:-Lung Lesion,Pleural Other,Fracture}"
need_classes data "$TRIO${CLASSES:+,$CLASSES}"

# A label without enough positive rows in a small regimen: named here (exit 3), not after hours.
for fraction in $REGIMENS; do
  cxr synthesize data --plan-only --fraction "$fraction" --target-frac "$SHARE" --classes "$TRIO" -q -o "f$fraction-plan" || {
    code=$?
    echo "error: no plan for the regimen of $fraction of the patients; leave it out of REGIMENS, or name others in TRIO" >&2
    exit "$code"
  }
  cxr train-cls data --fraction "$fraction" ${classes[@]+"${classes[@]}"} --dry-run -q -o "f$fraction-plan-cls" >/dev/null || {
    code=$?
    echo "error: no classifier for the regimen of $fraction of the patients; leave it out of REGIMENS, or name CLASSES" >&2
    exit "$code"
  }
done

runs=() sets=()
for fraction in $REGIMENS; do
  name="f$fraction"
  regimen=(--fraction "$fraction" --arch "$ARCH" --steps "$STEPS" ${classes[@]+"${classes[@]}"} "${shared[@]}")
  grid=()
  for lr in $GRID_LR; do
    for batch in $GRID_BATCH; do
      for optimizer in $GRID_OPTIMIZER; do
        grid+=("$name-grid-$lr-$batch-$optimizer")
        choice="$lr $batch $optimizer"
        # one point needs no choice
        [ "$GRID_LR $GRID_BATCH $GRID_OPTIMIZER" != "$choice" ] || continue
        cxr train-cls data --arm none --seed 0 --lr "$lr" --batch "$batch" --optimizer "$optimizer" "${regimen[@]}" \
          -o "${grid[${#grid[@]} - 1]}"
      done
    done
  done
  [ "${#grid[@]}" = 1 ] || choice="$(python3 "$here/best_run.py" "${grid[@]}")"
  read -r lr batch optimizer <<<"$choice"
  echo "$name: learning rate $lr, batch $batch, $optimizer" >&2

  cxr train-gan data --arch "$GAN_ARCH" --fraction "$fraction" --size "$SIZE" --kimg "$KIMG" \
    ${preset[@]+"${preset[@]}"} "${shared[@]}" -o "$name-gan"
  cxr synthesize data --gan "$name-gan" --fraction "$fraction" --target-frac "$SHARE" --classes "$TRIO" \
    "${shared[@]}" -o "$name-synth"
  for arm in $ARMS; do
    sets+=("$fraction/$arm")
    synth=("$name-synth") augment=()
    case "$arm" in
      none) synth=() ;;
      standard) synth=() augment=(--augment "$AUGMENT") ;;
    esac
    for seed in $SEEDS; do
      cxr train-cls data ${synth[@]+"${synth[@]}"} --arm "$arm" --seed "$seed" --lr "$lr" --batch "$batch" \
        --optimizer "$optimizer" ${augment[@]+"${augment[@]}"} "${regimen[@]}" -o "$name-$arm-$seed"
      runs+=("$name-$arm-$seed")
    done
  done
done
cxr evaluate classifiers "${runs[@]}" --data data --synth "$name-synth" --strict-regimen "${shared[@]}" -o report
python3 "$here/printed_table.py" report "${sets[@]}" --classes "$TRIO" --printed "$here/printed/sundaram_hulkund.csv" >tables.new
mv tables.new tables.md
cat tables.md >&2
finish report
