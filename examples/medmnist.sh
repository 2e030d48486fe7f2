#!/usr/bin/env bash
# The whole chain on public images, without a hospital: ChestMNIST (Yang et al. 2023: ChestX-ray14, here at 64 px).
#
#   bash examples/medmnist.sh WORK [--cpu|--full]              downloads chestmnist_64.npz (402 MB) into WORK
#   bash examples/medmnist.sh FILE.npz WORK [--cpu|--full]
#   bash examples/medmnist.sh WORK --smoke
#
# The download is the file of MedMNIST's own address (Zenodo, record 10519652; CC BY 4.0), checked by its MD5; it needs
# curl, md5sum and a connection, nothing else does. FILE is one of MedMNIST with several labels an image (train_images,
# train_labels, val_..., test_...). Then: prompts composed of the labels (there are no reports) and a CLIP, a
# StyleGAN2, edits towards TARGET, as many images as bring RARE to SHARE, what they are like, classifiers (none
# bare, standard, gan and duplicate with ordinary augmentation; ARMS as in did_it_help.sh), did they help. The split is the file's; it has no patients, so that nobody can check
# here that none is on both sides, and the report says so. --smoke makes a tiny file of the same form. Give the
# command again to go on where it stopped; a second one beside it ends with 75. A missing class ends with 2.
# Needs cxr and its python3 on the PATH (source .venv/bin/activate).
#
# Sizes by environment: SIZE, RARE ("A,B"), SHARE (0.03), TARGET (edema), FRACTION (of the training images), KIMG, STEPS, SEEDS,
# ARCH, ARMS, AUGMENT (safe), PRESET, CLIP and EDIT (options of finetune-clip and edit), THREADS (2), DEVICE (auto), ADDRESS, MD5.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$here/study.sh"
fetches=yes
read_words "$@"
case "$size" in
  smoke) defaults="16 0.1 10 0 small_cnn 1.0 0.15 Edema,Pneumothorax" d_clip="--model tiny --steps 4 --batch 16" d_edit="--n 4 --steps 2" ;;
  cpu) defaults="64 60 600 0,1,2,3,4 small_cnn 0.05 0.03 Hernia,Pneumonia,Fibrosis,Edema" d_clip="--model tiny --epochs 5" d_edit="--n 16" ;;
  full) defaults="64 5000 8000 0,1,2,3,4 densenet121 1.0 0.03 Hernia,Pneumonia,Fibrosis,Edema" d_clip="--model small" d_edit="--n 16" ;;
esac
read -r d_size d_kimg d_steps d_seeds d_arch d_fraction d_share d_rare <<<"$defaults"
ARMS="${ARMS:-none standard gan duplicate}"
SIZE="${SIZE:-$d_size}" KIMG="${KIMG:-$d_kimg}" STEPS="${STEPS:-$d_steps}" SEEDS="${SEEDS:-${d_seeds//,/ }}"
ARCH="${ARCH:-$d_arch}" FRACTION="${FRACTION:-$d_fraction}" SHARE="${SHARE:-$d_share}" RARE="${RARE:-$d_rare}"
read -ra clip <<<"${CLIP:-$d_clip}"
read -ra edit <<<"${EDIT:-$d_edit}"
part=(--fraction "$FRACTION")
shared=(--threads "${THREADS:-2}" --device "${DEVICE:-auto}" -q)
preset=()
[ -z "${PRESET:-}" ] || preset=(--preset "$PRESET")

# download ADDRESS FILE MD5: goes on with FILE.part where there is one
download() {
  local code=0 status
  has_md5() { echo "$2  $1" | md5sum --check --status; }
  command -v curl >/dev/null || fail "curl is missing; get $1 by other means and name the file"
  if [ -e "$2.part" ] && has_md5 "$2.part" "$3"; then
    mv "$2.part" "$2" # stopped between the two
    return
  fi
  echo "downloading $1" >&2
  fetch() { curl --fail --location --show-error --silent --write-out '%{http_code}' "${@:3}" --output "$2.part" "$1"; }
  status="$(fetch "$1" "$2" --continue-at -)" || code=$?
  if [ "$code" = 33 ]; then # a server that sends no parts
    rm -f "$2.part"
    code=0
    status="$(fetch "$1" "$2")" || code=$?
  fi
  # 416: nothing is left to send
  [ "$code" = 0 ] || [ "$status" = 416 ] ||
    fail "no download (exit $code); the same command goes on, or name a file that you have"
  if ! has_md5 "$2.part" "$3"; then
    rm -f "$2.part"
    fail "what came from $1 is not the file that MedMNIST describes and was removed; the same command begins anew"
  fi
  mv "$2.part" "$2"
}

if [ -z "$source" ] && [ "$size" = smoke ]; then
  cxr prepare --format phantom --n 150 --size "$SIZE" -q -o phantoms
  source="$PWD/chestmnist_tiny.npz"
  python3 "$here/as_medmnist.py" phantoms "$source"
elif [ -z "$source" ]; then
  source="$PWD/chestmnist_64.npz"
  ADDRESS="${ADDRESS:-https://zenodo.org/records/10519652/files/chestmnist_64.npz?download=1}"
  if [ ! -e "$source" ]; then
    download "$ADDRESS" "$source" "${MD5:-9de6cd0b934ebb5b7426cfba5efbae16}"
  fi
fi
cxr prepare "$source" --format medmnist --size "$SIZE" -q -o data
need_classes data "$RARE"

cxr finetune-clip data --text labels "${clip[@]}" "${part[@]}" "${shared[@]}" -o clip
cxr train-gan data --size "$SIZE" --kimg "$KIMG" ${preset[@]+"${preset[@]}"} "${part[@]}" "${shared[@]}" -o gan
cxr edit gan --clip clip --target "${TARGET:-edema}" "${edit[@]}" "${shared[@]}" -o edits
cxr synthesize data --gan gan --target-frac "$SHARE" --classes "$RARE" "${part[@]}" "${shared[@]}" -o synth
runs=()
for arm in $ARMS; do
  arm_options "$arm" synth
  for seed in $SEEDS; do
    cxr train-cls data "${arm_words[@]}" --seed "$seed" --arch "$ARCH" --steps "$STEPS" \
      "${part[@]}" "${shared[@]}" -o "$arm-$seed"
    runs+=("$arm-$seed")
  done
done
cxr evaluate images synth --real data --features "none-${SEEDS%% *}" --gan gan "${shared[@]}" -o images
cxr evaluate classifiers "${runs[@]}" --data data --synth synth --image-report images "${shared[@]}" -o report
finish report
