#!/usr/bin/env bash
# What are another hospital's patients worth through its generator? Hospital A trains one on its patients and shares its
# folder, with the privacy report in its card; hospital B has few patients, and never sees one of A's.
#
#   bash examples/share_a_generator.sh SOURCE WORK [--smoke]
#   bash examples/share_a_generator.sh WORK --smoke            the whole path in minutes, on phantoms, in WORK/smoke
#
# SOURCE is whatever `cxr prepare` reads and has test patients or patient ids (PREPARE: its options). hospitals.py parts
# it by patient: the test patients are B's, SHARE of the others too, the rest is A's. Six arms at B, all but the first
# with ordinary augmentation (AUGMENT):
#   none            B's images alone
#   standard        ordinary augmentation
#   duplicate       B's images shown again, as many as there are synthetic ones
#   gan             B's images and those of A's generator, with the labels of B's images
#   synthetic-only  those of A's generator alone
#   pooled          B's images and A's real ones: the ceiling, which B is not given
# The page says what synthetic images add to showing B's again, and what share that is of what A's real images would
# add; result.md has that and the privacy figures. Give the command again to go on where it stopped. PART=1/2 and PART=2/2
# do half of the work each, side by side, without the page; the command without PART then makes it. It is another
# question than that of did_it_help.sh, whose generators know no patient that their classifiers do not.
# Needs cxr and its python3 on the PATH.
#
# Sizes by environment: PREPARE ("", such as "--format table --column class=class"), SIZE (32), SHARE (0.05), PARTING (0: the
# seed of who is A's), GENERATORS ("flow stylegan2": values of train-gan --arch, side by side), KIMG ("230 150": one number,
# or one for each), OPTIONS ("--preset tiny", of train-gan), GROUP (1: seeds that share a generator; 1 is one for each), BALANCE
# (500: synthetic images of each class), CLASSES ("A,B": labels to learn and to make; all), SEEDS ("0 1 2 3 4 5 6 7 8 9"), ARCH
# (small_cnn) and STEPS (600) of the classifiers, AUGMENT (safe), ATTACK (1000: images of evaluate privacy), LICENCE (of what
# is shared), THREADS (1), DEVICE (auto), PART.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$here/study.sh"
read_part
case " $* " in
  *" --cpu "* | *" --full "*) fail "sizes are set by environment; the only switch is --smoke" ;;
esac
read_words "$@"
if [ "$size" = smoke ]; then
  [ -n "$source" ] || SHARE="${SHARE:-0.2}" CLASSES="${CLASSES:-Cardiomegaly,Pleural Effusion}"
  SIZE=16 KIMG=0.1 BALANCE=8 STEPS=4 SEEDS="0 1" GROUP="${GROUP:-2}" ATTACK=100
fi
PREPARE="${PREPARE:-}" SIZE="${SIZE:-32}" SHARE="${SHARE:-0.05}" PARTING="${PARTING:-0}"
GENERATORS="${GENERATORS:-flow stylegan2}" KIMG="${KIMG:-230 150}" OPTIONS="${OPTIONS:---preset tiny}" GROUP="${GROUP:-1}"
BALANCE="${BALANCE:-500}" CLASSES="${CLASSES:-}" SEEDS="${SEEDS:-0 1 2 3 4 5 6 7 8 9}" ARCH="${ARCH:-small_cnn}"
STEPS="${STEPS:-600}" AUGMENT="${AUGMENT:-safe}" ATTACK="${ATTACK:-1000}" LICENCE="${LICENCE:-}"
compute=(--threads "${THREADS:-1}" --device "${DEVICE:-auto}" -q)
labels=()
[ -z "$CLASSES" ] || labels=(--classes "$CLASSES")
licence=()
[ -z "$LICENCE" ] || licence=(--licence "$LICENCE")
seeds=($SEEDS) kimg=($KIMG)
for number in "$GROUP" "$BALANCE" "$STEPS"; do
  [[ "$number" =~ ^[1-9][0-9]*$ ]] || fail "GROUP, BALANCE and STEPS are whole numbers, not $number"
done

# Two hospitals out of one source.
# $PREPARE and $OPTIONS are several words.
if [ -n "$source" ]; then
  together cxr prepare "$source" $PREPARE --size "$SIZE" -q -o all
else
  together cxr prepare --format phantom --n 300 --size "$SIZE" -q -o all
fi
[ -z "$CLASSES" ] || need_classes all "$CLASSES"
python3 "$here/hospitals.py" all hospitals --share "$SHARE" --seed "$PARTING"
mapfile -t form <hospitals/options.txt
for name in a b; do
  together cxr prepare "hospitals/$name.csv" "${form[@]}" --images all --split-by official -q -o "$name" >/dev/null
done

# generator ARCH KIMG NUMBER: hospital A trains, attacks and shares it
generator() {
  cxr train-gan a --arch "$1" --size "$SIZE" $OPTIONS --kimg "$2" --seed "$3" "${compute[@]}" -o "generator-$1-$3"
  cxr evaluate privacy "generator-$1-$3" --data a --held-out a --n "$ATTACK" "${compute[@]}" -o "privacy-$1-$3"
  cxr share "generator-$1-$3" --privacy "privacy-$1-$3" ${licence[@]+"${licence[@]}"} -q -o "shared-$1-$3"
}
# arm NAME ARM SEED SET: a classifier of hospital B
arm() {
  arm_options "$2" "$4"
  cxr train-cls b "${arm_words[@]}" --seed "$3" --arch "$ARCH" --steps "$STEPS" ${labels[@]+"${labels[@]}"} \
    "${compute[@]}" -o "$1-$3"
}

job=0 runs=() names=() privacy=()
for k in "${!seeds[@]}"; do
  for name in none standard pooled; do
    if own "$k"; then arm "$name" "$name" "${seeds[k]}" a; fi
    runs+=("$name-${seeds[k]}")
  done
done
at=0
for kind in $GENERATORS; do
  length="${kimg[at]:-${kimg[0]}}" at=$((at + 1))
  for ((first = 0; first < ${#seeds[@]}; first += GROUP)); do
    number="${seeds[first]}"
    if own "$job"; then generator "$kind" "$length" "$number"; fi
    privacy+=("privacy-$kind-$number")
    for seed in "${seeds[@]:first:GROUP}"; do
      if own "$job"; then
        # Hospital B has the folder that was shared, and its own data.
        cxr synthesize b --gan "shared-$kind-$number" --balance "$BALANCE" ${labels[@]+"${labels[@]}"} --seed "$seed" \
          "${compute[@]}" -o "synth-$kind-$seed"
        arm "duplicate-$kind" duplicate "$seed" "synth-$kind-$seed"
        arm "gan-$kind" gan "$seed" "synth-$kind-$seed"
        arm "only-$kind" synthetic-only "$seed" "synth-$kind-$seed"
      fi
      runs+=("duplicate-$kind-$seed" "gan-$kind-$seed" "only-$kind-$seed")
      names+=(--set-name "synth-$kind-$seed=$kind")
    done
    job=$((job + 1))
  done
done
end_part

kinds=($GENERATORS)
images=()
for kind in "${kinds[@]}"; do
  cxr evaluate images "synth-$kind-${seeds[0]}" --real b --features "none-${seeds[0]}" "${compute[@]}" -o "images-$kind"
  images+=(--image-report "images-$kind")
done
cxr evaluate classifiers "${runs[@]}" --data b --synth "synth-${kinds[0]}-${seeds[0]}" "${images[@]}" "${names[@]}" \
  "${compute[@]}" -o report
python3 "$here/sharing_result.py" report "${privacy[@]}" >result.new
mv result.new result.md
tail -n +3 result.md # finish says its first line
finish report
