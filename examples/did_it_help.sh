#!/usr/bin/env bash
# Did the synthetic images help? Six arms, five seeds, several regimens, one report.
#
#   bash examples/did_it_help.sh kermany TABLE WORK [--smoke]
#   bash examples/did_it_help.sh nih TABLE WORK [--smoke]
#
# TABLE is a CSV with a row an image (path, patient_id, labels):
#   kermany  chest X-rays of Kermany et al. 2018: BACTERIAL, NORMAL and VIRAL in the column `class`, the official
#            test images in the column `split`; regimens of 2, 10 and 100 % of the training patients
#   nih      NIH ChestX-ray14 or a part of it, a column a label; regimens of 25, 50 and 100 %; five folds by
#            patient, predictions pooled
# The generators of each regimen are trained on that regimen's patients alone, one for each seed, whose images the
# classifiers of that seed learn from: so the verdict is about the method and not about one set of images. Give the
# command again to go on where it stopped; a second one beside it ends with 75. --smoke runs the whole path in
# minutes, in WORK/smoke.
# Needs cxr and its python3 on the PATH.
#
# Arms are as practitioners train: none is bare, all others have ordinary augmentation (AUGMENT) on top. balanced is what
# rare classes get without a generator; so are focal and adjusted (logit adjustment). The papers' arms without augmentation
# are bare-duplicate, bare-gan and bare-pretrain-finetune.
#
# Sizes by environment: SIZE (64), GENERATOR ("--arch flow --preset tiny": options of train-gan), KIMG (40, or one
# number a regimen: "30 30 80"), ONE_GENERATOR (1: one for all seeds, that of the first, in a fifth of its time; the verdict
# is about its images then. In the same WORK all that both ways share is made once, and the report is report-one), STEPS (600), SEEDS ("0 1 2 3 4"), ARCH (small_cnn), ARMS, AUGMENT (safe), REGIMENS (with 1.0 among them),
# THREADS (2), DEVICE (auto); of nih FOLDS (5), CLASSES and TARGETS ("A,B": labels to learn, labels to make; the defaults have 50
# positives or more in a sample of 1,560 images), FOLD_SEED (6: of that sample the first whose quarters have five
# positives of every label).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$here/study.sh"
need_cxr
study="${1:?kermany or nih}"
table="$(cd "$(dirname "${2:?table}")" && pwd)/$(basename "$2")"
work="${3:?folder}"
smoke="${4:-}"
SIZE="${SIZE:-64}" KIMG="${KIMG:-40}" STEPS="${STEPS:-600}" SEEDS="${SEEDS:-0 1 2 3 4}"
ARCH="${ARCH:-small_cnn}" THREADS="${THREADS:-2}" DEVICE="${DEVICE:-auto}" FOLDS="${FOLDS:-5}"
GENERATOR="${GENERATOR:---arch flow --preset tiny}" ONE_GENERATOR="${ONE_GENERATOR:-0}"
ARMS="${ARMS:-none standard balanced duplicate gan pretrain-finetune}"
case "$study" in
  kermany) REGIMENS="${REGIMENS:-0.02 0.1 1.0}" ;;
  nih) REGIMENS="${REGIMENS:-0.25 0.5 1.0}" ;;
  *) echo "error: unknown study $study (kermany or nih)" >&2; exit 2 ;;
esac
if [ "$smoke" = "--smoke" ]; then
  SIZE=32 KIMG=0.2 STEPS=10 SEEDS="0 1" FOLDS=3 work="$work/smoke"
  REGIMENS=1.0
elif [ -n "$smoke" ]; then
  echo "error: unknown option $smoke" >&2
  exit 2
fi
case "$ONE_GENERATOR" in
  0 | 1) ;;
  *) echo "error: ONE_GENERATOR=$ONE_GENERATOR: 1, or 0 for a generator a seed" >&2; exit 2 ;;
esac
for arm in $ARMS; do arm_options "$arm" ""; done
case " $REGIMENS " in *" 1.0 "*) ;; *) fail "REGIMENS: 1.0 must be among them" ;; esac
mkdir -p "$work"
cd "$work"
lock_study
train=(--threads "$THREADS" --device "$DEVICE")

# length FRACTION: thousands of images for the generator of a regimen
length() {
  local kimg=($KIMG) fraction k=0
  for fraction in $REGIMENS; do
    if [ "$fraction" = "$1" ]; then break; fi
    k=$((k + 1))
  done
  echo "${kimg[k]:-${kimg[0]}}"
}

first="${SEEDS%% *}"
report=report
[ "$ONE_GENERATOR" = 0 ] || report=report-one
# whose SEED: the seed of the generator that a classifier's images come from
whose() { if [ "$ONE_GENERATOR" = 1 ]; then echo "$first"; else echo "$1"; fi; }
# generator NAME SEED, images NAME SEED: their folders. (NAME-gan-SEED is the classifier of the arm gan.)
generator() { echo "$1-generator-$(whose "$2")"; }
images() { echo "$1-synth-$(whose "$2")"; }
# classifier NAME ARM SEED: its folder; another one where its images are not those of its own seed
classifier() {
  case "${arm_words[0]}" in
    --arm) echo "$1-$2-$3" ;;
    *) if [ "$(whose "$3")" = "$3" ]; then echo "$1-$2-$3"; else echo "$1-$2-$3-of-$first"; fi ;;
  esac
}

# regimen DATA FRACTION NAME TARGETS SHARE CLASSES: generators, their images, every arm and seed
regimen() {
  local data="$1" fraction="$2" name="$3" targets="$4" share="$5" arm seed out
  local labels=() seeds="$SEEDS"
  [ -n "$6" ] && labels=(--classes "$6")
  if [ "$ONE_GENERATOR" = 1 ]; then seeds="$first"; fi
  for seed in $seeds; do
    # $GENERATOR is several words.
    cxr train-gan "$data" --fraction "$fraction" --size "$SIZE" $GENERATOR --kimg "$(length "$fraction")" \
      --seed "$seed" "${train[@]}" -q -o "$(generator "$name" "$seed")"
    cxr synthesize "$data" --gan "$(generator "$name" "$seed")" --fraction "$fraction" --target-frac "$share" \
      --classes "$targets" --seed "$seed" "${train[@]}" -q -o "$(images "$name" "$seed")"
  done
  for arm in $ARMS; do
    for seed in $SEEDS; do
      arm_options "$arm" "$(images "$name" "$seed")"
      out="$(classifier "$name" "$arm" "$seed")"
      cxr train-cls "$data" "${arm_words[@]}" --seed "$seed" --fraction "$fraction" \
        --arch "$ARCH" --steps "$STEPS" ${labels[@]+"${labels[@]}"} "${train[@]}" -q -o "$out"
      runs+=("$out")
      echo "classifier ${#runs[@]} of $total" >&2
    done
  done
}

runs=()
data=()
total=$(($(wc -w <<<"$SEEDS") * $(wc -w <<<"$ARMS") * $(wc -w <<<"$REGIMENS")))
[ "$study" = kermany ] || total=$((total * FOLDS))
# What tells fidelity is a network that saw no synthetic image.
eye=""
for arm in $ARMS; do
  arm_options "$arm" "synth"
  if [ -z "$eye" ] && [ "${arm_words[0]}" = --arm ]; then eye="$arm"; fi
done
fidelity=images
[ "$eye" = none ] || fidelity="images-$eye"
[ -n "$eye" ] || fail "ARMS: one without synthetic images, such as none or standard, is needed"
shown="$(images f1.0 "$first")"
if [ "$study" = kermany ]; then
  cxr prepare "$table" --format table --column class=class --size "$SIZE" -q -o data
  data=(--data data)
  python3 "$here/expected_width.py" data | tee expected-width.txt
  for fraction in $REGIMENS; do
    regimen data "$fraction" "f$fraction" "NORMAL,VIRAL" 0.30 ""
  done
  cxr evaluate images "$shown" --real data --features "f1.0-$eye-$first" --gan "$(generator f1.0 "$first")" \
    "${train[@]}" -q -o "$fidelity"
else
  # Labels with at least 50 positives in the 1,560-image sample; other tables: set CLASSES and TARGETS.
  classes="${CLASSES:-No Finding,Atelectasis,Consolidation,Edema,Effusion,Infiltration,Mass,Nodule,Pneumonia,Pneumothorax}"
  targets="${TARGETS:-Consolidation,Mass,Nodule,Pneumothorax}"
  python3 "$here/folds.py" "$table" folds --folds "$FOLDS" --seed "${FOLD_SEED:-6}"
  for fold in $(seq "$FOLDS"); do
    cxr prepare "$table" --format table --split-by "folds/fold$fold.csv" --size "$SIZE" -q -o "data$fold"
    data+=(--data "data$fold")
  done

  for fold in $(seq "$FOLDS"); do
    for fraction in $REGIMENS; do
      regimen "data$fold" "$fraction" "fold$fold-f$fraction" "$targets" 0.08 "$classes"
    done
  done
  python3 "$here/expected_width.py" $(seq -f 'data%g' "$FOLDS") | tee expected-width.txt
  shown="fold1-$shown"
  cxr evaluate images "$shown" --real data1 --features "fold1-f1.0-$eye-$first" \
    --gan "$(generator fold1-f1.0 "$first")" "${train[@]}" -q -o "$fidelity"
fi
cxr evaluate classifiers "${runs[@]}" "${data[@]}" --synth "$shown" --image-report "$fidelity" --strict-regimen \
  "${train[@]}" -o "$report"
answer "$report"
echo "open $PWD/$report/report.html"
