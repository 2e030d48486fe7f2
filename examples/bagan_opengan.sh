#!/usr/bin/env bash
# BAGAN and OpenGAN on five single-label classes of NIH ChestX-ray14: AUROC a class.
#
#   bash examples/bagan_opengan.sh NIH WORK [--cpu|--full]
#   bash examples/bagan_opengan.sh WORK --smoke
#
# NIH is the folder of the download, or a CSV with a row an image (path, patient_id, a column a label). Images with
# one label of CLASSES and no other are kept, at 64 px. Each generator adds 1,000, then 3,000 images a class, kept
# only where the discriminator reads the wanted class; the arms are none, standard (augmented), bagan and opengan
# (both `--arm gan`); tables.md has the
# printed numbers beside. --smoke without NIH takes phantoms. Give the command again to go on where it stopped; a
# second one beside it ends with 75. A missing class ends with 2.
# Needs cxr and its python3 on the PATH (source .venv/bin/activate).
#
# Sizes by environment: CLASSES, SIZE, SPLIT (of `prepare`: "0.6,0.1,0.3"), KIMG, PRETRAIN_KIMG, LR and PRETRAIN_LR (of
# the game and of the stage before it; default: the preset's, with --cpu 2e-4 in the game), UP
# (transposed, or nearest: how BAGAN's decoder doubles), PER_CLASS ("1000 3000"), STEPS, SEEDS, ARCH, GANS, FILTER
# (class, in --smoke discriminator; none keeps all images), MAX_TRIES (of a slot: 1000), RULE (exactly-one, or
# one-of-chosen), PRESET, THREADS (2), DEVICE (auto).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$here/study.sh"
read_words "$@"
case "$size" in
  smoke) defaults="16 0.1 0.1 4 10 0 small_cnn" ;;
  cpu) defaults="64 60 80 100,300 600 0,1,2,3,4 small_cnn" ;;
  full) defaults="64 2000 200 1000,3000 4000 0,1,2,3,4 vgg16_bn" ;;
esac
read -r d_size d_kimg d_pretrain d_class d_steps d_seeds d_arch <<<"$defaults"
SIZE="${SIZE:-$d_size}" KIMG="${KIMG:-$d_kimg}" PRETRAIN_KIMG="${PRETRAIN_KIMG:-$d_pretrain}"
PER_CLASS="${PER_CLASS:-${d_class//,/ }}" STEPS="${STEPS:-$d_steps}" SEEDS="${SEEDS:-${d_seeds//,/ }}"
ARCH="${ARCH:-$d_arch}" GANS="${GANS:-bagan opengan}" RULE="${RULE:-exactly-one}" MAX_TRIES="${MAX_TRIES:-1000}"
# After ten steps a discriminator reads one class everywhere; --smoke keeps what it finds realistic instead.
if [ "$size" = smoke ]; then FILTER="${FILTER:-discriminator}"; else FILTER="${FILTER:-class}"; fi
shared=(--threads "${THREADS:-2}" --device "${DEVICE:-auto}" -q)
preset=() filter=() rates=() split=()
[ -z "${SPLIT:-}" ] || split=(--split-by "$SPLIT")
[ "$size" != cpu ] || LR="${LR:-2e-4}"
[ -z "${LR:-}" ] || rates+=(--lr "$LR")
[ -z "${PRETRAIN_LR:-}" ] || rates+=(--pretrain-lr "$PRETRAIN_LR")
[ -z "${PRESET:-}" ] || preset=(--preset "$PRESET")
[ "$FILTER" = none ] || filter=(--filter "$FILTER" --max-tries "$MAX_TRIES")

if [ -z "$source" ]; then
  cxr prepare --format phantom --n 80 --size "$SIZE" -q -o all
  CLASSES="${CLASSES:-No Finding,Edema,Pleural Effusion}" RULE=one-of-chosen
else
  cxr prepare "$source" --format "$(format_of "$source" nih)" --map-labels none --size "$SIZE" \
    ${split[@]+"${split[@]}"} -q -o all
fi
CLASSES="${CLASSES:-No Finding,Infiltration,Atelectasis,Effusion,Nodule}"
python3 "$here/single_label.py" all single.csv --classes "$CLASSES" --rule "$RULE"
cxr prepare single.csv --format table --column class=class --images all --size "$SIZE" -q -o data

runs=() sets=(/none /standard) called=()
# arm NAME ARM [SYNTH]: one classifier a seed
arm() {
  local seed
  for seed in $SEEDS; do
    cxr train-cls data "${@:3}" --arm "$2" --seed "$seed" --arch "$ARCH" --steps "$STEPS" "${shared[@]}" -o "$1-$seed"
    runs+=("$1-$seed")
  done
}
arm none none
arm standard standard
for gan in $GANS; do
  up=()
  [ "$gan" != bagan ] || up=(--upsampling "${UP:-transposed}")
  cxr train-gan data --arch "$gan" --size "$SIZE" --kimg "$KIMG" --pretrain-kimg "$PRETRAIN_KIMG" \
    ${rates[@]+"${rates[@]}"} ${up[@]+"${up[@]}"} ${preset[@]+"${preset[@]}"} "${shared[@]}" -o "gan-$gan"
  for count in $PER_CLASS; do
    cxr synthesize data --gan "gan-$gan" --balance "$count" ${filter[@]+"${filter[@]}"} "${shared[@]}" \
      -o "synth-$gan-$count"
    arm "$gan-$count" gan "synth-$gan-$count"
    sets+=("$count/$gan")
    called+=(--set-name "synth-$gan-$count=$gan, $count images a class")
  done
done
cxr evaluate classifiers "${runs[@]}" --data data ${called[@]+"${called[@]}"} "${shared[@]}" -o report
python3 "$here/printed_table.py" report "${sets[@]}" --printed "$here/printed/bagan_opengan.csv" >tables.new
mv tables.new tables.md
cat tables.md >&2
finish report
