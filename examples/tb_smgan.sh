#!/usr/bin/env bash
# Edits steered by the text of reports, as training images (after TB-SMGAN, Ozfidan & Simsek 2024): PR-AUC of five classes.
#
#   bash examples/tb_smgan.sh DATA WORK [--cpu|--full]
#   bash examples/tb_smgan.sh WORK --smoke
#
# DATA is a CSV with a row an image (path, patient_id, report, perhaps a column a label), or the folder of
# MIMIC-CXR-JPG with its reports. Reports give the labels that are missing, and a text a strategy (STRATEGIES: columns
# of `extract-reports --texts`; external takes the summaries of TEXT_FROM). Each strategy fine-tunes the CLIP `original`,
# which has seen none of the set: PRETRAINED, else ViT-B-32 of OpenAI with --full (downloaded), else one random start. A
# random start has met no word, so nothing is edited by it, and its rows say so.
# A StyleGAN2 learns the training images; a CLIP a strategy gives, for each class, a direction towards its text (+) and away
# from it (-); PER_CLASS images of each class are made plainly, along each direction, and along the mixtures ENSEMBLES
# ("rules+,inverted+ NAME=rules+,random- ..."). By default these are the paper's, as far as STRATEGIES has what they are made
# of. What its `ensemble` and `ensemble-without-impression` hold is not printed: here, all strategies (but impression) whose
# texts say what the report says, towards them.
# Classifiers with the AUC-margin loss learn from each of these sets alone (table 1), and together with the real images
# (table 2; with it `none`, and `duplicate`, the rows once more that the plain images took their labels from). Labels are
# those that an image was made for, whatever its edit did; what (+) and (-) mean in the paper is not known. Both tables
# are in tables.md. --smoke without DATA takes phantoms, which have reports. Give the command again to go on where it
# stopped; a second one beside it ends with 75. PART=1/2 and PART=2/2 do half of the work each, side by side, without the
# pages; the command without PART then makes them. A missing class ends with 2, one that no training row has with 3: name
# others in CLASSES.
# Needs cxr and its python3 on the PATH (source .venv/bin/activate).
#
# Sizes by environment: CLASSES, STRATEGIES, ENSEMBLES, SIZE, SPLIT (of `prepare`: "0.6,0.1,0.3"), KIMG, PER_CLASS, STEPS,
# SEEDS, ARCH, PRESET, CLIP and ORIGINAL (options of finetune-clip: of the strategies; of the start, such as "--model small"),
# EDIT (further options of edit), RELEVANCE (its --relevance-images), STRENGTH (of the push: 1), THREADS (2), DEVICE (auto),
# PART. By path: PRETRAINED (as --pretrained of finetune-clip), TEXT_FROM (as --text-from of extract-reports).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$here/study.sh"
for name in PRETRAINED TEXT_FROM; do
  path="${!name:-}"
  [ -n "$path" ] || continue
  [ -e "$path" ] || fail "$name: no such file or folder: $path"
  printf -v "$name" %s "$(absolute "$path")"
done
read_part
read_words "$@"
strategies=rules,rules-v2,impression,generated,random,inverted,original
same=rules+,rules-v2+,impression+,generated+ # what the texts of these say is what the report says
mixtures="rules+,inverted+ rules+,inverted+,rules-v2+ ensemble-without-impression=${same/,impression+/} ensemble=$same"
d_original="--model tiny" d_relevance=100 d_clip="--epochs 10"
case "$size" in
  smoke) defaults="16 0.1 4 10 0 small_cnn rules,random,original" mixtures="both=rules+,random+" d_relevance=4
    d_clip="--steps 4 --batch 16" ;;
  cpu) defaults="64 60 300 600 0,1,2,3,4 small_cnn $strategies" ;;
  full) defaults="256 5000 2000 8000 0,1,2,3,4 densenet121 $strategies"
    d_original="--model ViT-B-32 --tag openai --allow-download" ;;
esac
read -r d_size d_kimg d_class d_steps d_seeds d_arch d_strategies <<<"$defaults"
SIZE="${SIZE:-$d_size}" KIMG="${KIMG:-$d_kimg}" PER_CLASS="${PER_CLASS:-$d_class}" STEPS="${STEPS:-$d_steps}"
SEEDS="${SEEDS:-${d_seeds//,/ }}" ARCH="${ARCH:-$d_arch}" STRATEGIES="${STRATEGIES:-${d_strategies//,/ }}"
CLASSES="${CLASSES:-Cardiomegaly,Edema,Consolidation,Atelectasis,Pleural Effusion}"
case " $STRATEGIES :${TEXT_FROM:-}" in
  *" external "*:) fail "STRATEGIES has external: give its table of summaries by TEXT_FROM" ;;
  *" external "*) ;;
  *:?*) fail "TEXT_FROM is the text of external, which STRATEGIES ($STRATEGIES) lacks" ;;
esac
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
    mixed "${ensemble#*=}" || fail "ENSEMBLES: $ensemble is not made of STRATEGIES ($STRATEGIES), each with + or -"
  done
else
  ENSEMBLES=""
  for ensemble in $mixtures; do
    if mixed "${ensemble#*=}"; then ENSEMBLES="$ENSEMBLES $ensemble"; fi
  done
fi
original=()
if [ -n "${PRETRAINED:-}" ]; then
  original=(--pretrained "$PRETRAINED") d_original=""
fi
read -ra start <<<"${ORIGINAL:-$d_original}"
read -ra clip <<<"--select-by last ${CLIP:-$d_clip}"
read -ra edit <<<"--method global --n 16 --control-n 0 ${EDIT:-}"
compute=(--threads "${THREADS:-2}" --device "${DEVICE:-auto}" -q)
preset=() split=()
[ -z "${PRESET:-}" ] || preset=(--preset "$PRESET")
[ -z "${SPLIT:-}" ] || split=(--split-by "$SPLIT")

if [ -z "$source" ]; then
  together cxr prepare --format phantom --n 100 --size "$SIZE" -q -o raw
else
  together cxr prepare "$source" --format "$(format_of "$source" mimic-cxr)" --size "$SIZE" \
    ${split[@]+"${split[@]}"} -q -o raw
fi
texts=rules
for strategy in $STRATEGIES; do
  case "$strategy" in rules | original) ;; *) texts="$texts,$strategy" ;; esac
done
together cxr extract-reports raw --texts "$texts" ${TEXT_FROM:+--text-from "$TEXT_FROM"} -q -o data
need_classes data "$CLASSES"
targets=()
while read -r class; do targets+=(--target "${class,,}"); done < <(tr ',' '\n' <<<"$CLASSES")

together cxr train-gan data --labels "$CLASSES" --size "$SIZE" --kimg "$KIMG" ${preset[@]+"${preset[@]}"} \
  "${compute[@]}" -o gan
together cxr finetune-clip data --text original ${original[@]+"${original[@]}"} ${start[@]+"${start[@]}"} \
  "${compute[@]}" -o clip-original
# can_steer CLIP: whether it has met a word, in this study or before
can_steer() {
  python3 - "$1/model.json" <<'END'
import json, sys
words = json.load(open(sys.argv[1], encoding="utf-8"))["words"]
sys.exit(0 if words["known"] or words["pretrained"] else 1)
END
}
# directions STRATEGY: towards the text of each class and away from it, as its CLIP reads them
directions() {
  local words=(gan --clip "clip-$1" "${targets[@]}" "${edit[@]}" "${compute[@]}")
  [ "$1" = original ] || together cxr finetune-clip data --text "$1" --pretrained clip-original "${clip[@]}" \
    "${compute[@]}" -o "clip-$1"
  together cxr edit "${words[@]}" --sign + --relevance-images "${RELEVANCE:-$d_relevance}" -o "edit-$1+"
  # What a channel does to an image is one matrix for both signs.
  together cxr edit "${words[@]}" --sign - --relevance "edit-$1+" -o "edit-$1-"
}
# synthetic NAME [EDIT...]: PER_CLASS images of each class, pushed along its directions of these edit runs in turn
synthetic() {
  local pushes=() run
  for run in "${@:2}"; do pushes+=(--edit "edit-$run"); done
  [ $# = 1 ] || pushes+=(--edit-strength "${STRENGTH:-1}")
  together cxr synthesize data --gan gan --balance "$PER_CLASS" --classes "$CLASSES" ${pushes[@]+"${pushes[@]}"} \
    "${compute[@]}" -o "synth-$1"
}
# classifiers NAME ARM [SYNTH]: one a seed
classifiers() {
  local seed
  for seed in $SEEDS; do
    cxr train-cls data "${@:3}" --arm "$2" --loss auc-margin --classes "$CLASSES" --seed "$seed" --arch "$ARCH" \
      --steps "$STEPS" "${compute[@]}" -o "$1-$seed"
  done
}
# compared NAME [EDIT...]: a synthetic set, alone and with the real images
compared() {
  synthetic "$@"
  classifiers "only-$1" synthetic-only "synth-$1"
  classifiers "with-$1" gan "synth-$1"
}

names=(plain) lacking=() job=0
if own "$job"; then
  compared plain
  classifiers none none
  classifiers duplicate duplicate synth-plain
fi
for strategy in $STRATEGIES; do
  if [ "$strategy" = original ] && ! can_steer clip-original; then
    case ",$ENSEMBLES" in *[\ ,=]original[+-]*) fail "ENSEMBLES: original has met no word, so nothing is edited by it" ;; esac
    for sign in + -; do lacking+=(--lacking "original$sign=its CLIP has met no word: nothing is edited"); done
    continue
  fi
  job=$((job + 1)) names+=("$strategy+" "$strategy-")
  own "$job" || continue
  directions "$strategy"
  for sign in + -; do compared "$strategy$sign" "$strategy$sign"; done
done
for ensemble in $ENSEMBLES; do
  job=$((job + 1)) mixture="${ensemble#*=}" name="${ensemble%%=*}"
  name="${name//,/_}"
  names+=("$name")
  own "$job" || continue
  [ -z "$part" ] || for run in ${mixture//,/ }; do directions "${run%[+-]}"; done
  compared "$name" ${mixture//,/ }
done
end_part

# runs_of NAME...: sets runs, the classifiers of these names, of every seed
runs_of() {
  local name seed
  runs=()
  for name in "$@"; do for seed in $SEEDS; do runs+=("$name-$seed"); done; done
}
called=()
for name in "${names[@]}"; do called+=(--set-name "synth-$name=$name"); done
runs_of "${names[@]/#/only-}"
cxr evaluate classifiers "${runs[@]}" --data data "${called[@]}" "${compute[@]}" -o report-synthetic-only
runs_of none duplicate "${names[@]/#/with-}"
cxr evaluate classifiers "${runs[@]}" --data data "${called[@]}" "${compute[@]}" -o report
printed=(--printed "$here/printed/tb_smgan.csv" ${lacking[@]+"${lacking[@]}"})
{
  python3 "$here/pr_auc_table.py" report-synthetic-only "${names[@]}" "${printed[@]}" --title "1: synthetic images only"
  python3 "$here/pr_auc_table.py" report none duplicate "${names[@]}" "${printed[@]}" --title "2: real and synthetic images"
} >tables.new
mv tables.new tables.md
cat tables.md >&2
finish report
