#!/usr/bin/env bash
# Edits steered by the text of reports, as training images (after TB-SMGAN, Ozfidan & Simsek 2024): PR-AUC of five classes.
#
#   bash examples/tb_smgan.sh DATA WORK [--cpu|--full]
#   bash examples/tb_smgan.sh WORK --smoke
#
# DATA is a CSV with a row an image (path, patient_id, report, perhaps a column a label), or the folder of
# MIMIC-CXR-JPG with its reports. Reports give the labels that are missing, and a text a strategy (STRATEGIES: columns
# of `extract-reports --texts`; original is a CLIP that was not trained on the set: published weights, with --full or by
# ORIGINAL alone, since one that has met no word can steer nothing). A StyleGAN2 learns the training images; a CLIP a strategy gives, for each class, a direction towards
# its text (+) and away from it (-); PER_CLASS images of each class are made plainly, along each direction, and along
# the mixtures ENSEMBLES ("rules+,inverted+ ..."; default: the paper's, as far as STRATEGIES has what they are made of).
# Classifiers with the AUC-margin loss learn from each of these sets alone (table 1), and together with the real images
# (table 2; with it `none`, and `duplicate`, the rows once more that the plain images took their labels from). Labels are
# those that an image was made for, whatever its edit did; what (+) and (-) mean in the paper is not known. Both tables
# are in tables.md. --smoke without DATA takes phantoms, which have reports. Give the command again to go on where it
# stopped; a second one beside it ends with 75. A missing class ends with 2, one that no training row has with 3: name
# others in CLASSES.
# Needs cxr and its python3 on the PATH (source .venv/bin/activate).
#
# Sizes by environment: CLASSES, STRATEGIES, ENSEMBLES, SIZE, SPLIT (of `prepare`: "0.6,0.1,0.3"), KIMG, PER_CLASS, STEPS,
# SEEDS, ARCH, PRESET, CLIP and ORIGINAL (options of finetune-clip), EDIT (of edit), STRENGTH (of the push: 1),
# THREADS (2), DEVICE (auto).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$here/study.sh"
read_words "$@"
strategies=rules,rules-v2,impression,generated,random,inverted,original
mixtures="rules+,inverted+ rules+,inverted+,rules-v2+ rules+,rules-v2+,impression+,generated+"
d_original="--model tiny" d_edit="--method global --n 16"
case "$size" in
  smoke) defaults="16 0.1 4 10 0 small_cnn rules,random" mixtures="rules+,random+" d_clip="--model tiny --steps 4 --batch 16 --select-by last"
    d_edit="$d_edit --relevance-images 4" ;;
  cpu) defaults="64 60 300 600 0,1,2,3,4 small_cnn ${strategies%,original}" d_clip="--model tiny --epochs 10 --select-by last" ;;
  full) defaults="256 5000 2000 8000 0,1,2,3,4 densenet121 $strategies" d_clip="--model small --select-by last"
    d_original="--model ViT-B-32 --tag openai --allow-download" ;;
esac
read -r d_size d_kimg d_class d_steps d_seeds d_arch d_strategies <<<"$defaults"
SIZE="${SIZE:-$d_size}" KIMG="${KIMG:-$d_kimg}" PER_CLASS="${PER_CLASS:-$d_class}" STEPS="${STEPS:-$d_steps}"
SEEDS="${SEEDS:-${d_seeds//,/ }}" ARCH="${ARCH:-$d_arch}" STRATEGIES="${STRATEGIES:-${d_strategies//,/ }}"
CLASSES="${CLASSES:-Cardiomegaly,Edema,Consolidation,Atelectasis,Pleural Effusion}"
# mixed MIXTURE: whether STRATEGIES has all that a mixture is made of
mixed() {
  local part
  for part in ${1//,/ }; do
    case " $STRATEGIES " in *" ${part%[+-]} "*) ;; *) return 1 ;; esac
    case "$part" in *[+-]) ;; *) return 1 ;; esac
  done
}
if [ -n "${ENSEMBLES+given}" ]; then
  for ensemble in $ENSEMBLES; do
    mixed "$ensemble" || fail "ENSEMBLES: $ensemble is not made of STRATEGIES ($STRATEGIES), each with + or -"
  done
else
  ENSEMBLES=""
  for ensemble in $mixtures; do
    if mixed "$ensemble"; then ENSEMBLES="$ENSEMBLES $ensemble"; fi
  done
fi
read -ra clip <<<"${CLIP:-$d_clip}"
read -ra original <<<"${ORIGINAL:-$d_original}"
read -ra edit <<<"${EDIT:-$d_edit}"
shared=(--threads "${THREADS:-2}" --device "${DEVICE:-auto}" -q)
preset=() split=()
[ -z "${PRESET:-}" ] || preset=(--preset "$PRESET")
[ -z "${SPLIT:-}" ] || split=(--split-by "$SPLIT")

if [ -z "$source" ]; then
  cxr prepare --format phantom --n 100 --size "$SIZE" -q -o raw
else
  cxr prepare "$source" --format "$(format_of "$source" mimic-cxr)" --size "$SIZE" \
    ${split[@]+"${split[@]}"} -q -o raw
fi
texts=rules
for strategy in $STRATEGIES; do
  case "$strategy" in rules | original) ;; *) texts="$texts,$strategy" ;; esac
done
cxr extract-reports raw --texts "$texts" -q -o data
need_classes data "$CLASSES"
targets=()
while read -r class; do targets+=(--target "${class,,}"); done < <(tr ',' '\n' <<<"$CLASSES")

cxr train-gan data --labels "$CLASSES" --size "$SIZE" --kimg "$KIMG" ${preset[@]+"${preset[@]}"} \
  "${shared[@]}" -o gan
# make NAME [EDIT...]: PER_CLASS images of each class, pushed along its directions of these edit runs in turn
names=() called=()
make() {
  local pushes=() run
  for run in "${@:2}"; do pushes+=(--edit "edit-$run"); done
  [ $# = 1 ] || pushes+=(--edit-strength "${STRENGTH:-1}")
  cxr synthesize data --gan gan --balance "$PER_CLASS" --classes "$CLASSES" ${pushes[@]+"${pushes[@]}"} \
    "${shared[@]}" -o "synth-$1"
  names+=("$1") called+=(--set-name "synth-$1=$1")
}
make plain
for strategy in $STRATEGIES; do
  options=("${clip[@]}")
  [ "$strategy" != original ] || options=("${original[@]}")
  cxr finetune-clip data --text "$strategy" "${options[@]}" "${shared[@]}" -o "clip-$strategy"
  for sign in + -; do
    cxr edit gan --clip "clip-$strategy" --sign "$sign" "${targets[@]}" "${edit[@]}" "${shared[@]}" \
      -o "edit-$strategy$sign"
    make "$strategy$sign" "$strategy$sign"
  done
done
for ensemble in $ENSEMBLES; do
  make "${ensemble//,/_}" ${ensemble//,/ }
done

# arm NAME ARM [SYNTH]: one classifier a seed
arm() {
  local seed
  for seed in $SEEDS; do
    cxr train-cls data "${@:3}" --arm "$2" --loss auc-margin --classes "$CLASSES" --seed "$seed" --arch "$ARCH" \
      --steps "$STEPS" "${shared[@]}" -o "$1-$seed"
    runs+=("$1-$seed")
  done
}
runs=()
for name in "${names[@]}"; do arm "only-$name" synthetic-only "synth-$name"; done
cxr evaluate classifiers "${runs[@]}" --data data "${called[@]}" "${shared[@]}" -o report-synthetic-only
runs=()
arm none none
arm duplicate duplicate synth-plain
for name in "${names[@]}"; do arm "with-$name" gan "synth-$name"; done
cxr evaluate classifiers "${runs[@]}" --data data "${called[@]}" "${shared[@]}" -o report
printed="$here/printed/tb_smgan.csv"
{
  python3 "$here/pr_auc_table.py" report-synthetic-only "${names[@]}" --printed "$printed" --title "1: synthetic images only"
  python3 "$here/pr_auc_table.py" report none duplicate "${names[@]}" --printed "$printed" --title "2: real and synthetic images"
} >tables.new
mv tables.new tables.md
cat tables.md >&2
finish report
