#!/usr/bin/env bash
# The whole chain on simulated radiographs ("phantoms"), on a CPU, in two to five minutes.
#
#   bash examples/quickstart.sh [FOLDER]     default: quickstart-work in the repository
#
# Makes .venv and installs cxr by itself. Run it twice: the second time everything is up to date.
# The networks are far too small and trained far too short to be of use: this shows how the commands
# fit together, not what they can do.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/examples/venv.sh"
make_venv
export PATH="$VENV/bin:$PATH"
work="${1:-$root/quickstart-work}"
mkdir -p "$work"
cd "$work"
started=$SECONDS
say() { printf '\n\033[1m%s\033[0m\n' "$*" >&2; }

say "1  simulated radiographs with reports, as a dataset directory"
cxr prepare --format phantom --n 1000 --size 32 -o raw

say "2  labels from the reports"
cxr extract-reports raw -o data

say "3  a generator of radiographs"
cxr train-gan data --arch flow --preset tiny --kimg 20 -o gan

say "4  a CLIP of images and report text"
cxr finetune-clip data --text rules --model tiny --epochs 4 -o clip

say "5  edits of real images, judged by the CLIP, which does not steer them"
cxr edit gan --target "left pleural effusion" --data data --split val --judge clip -o edits

say "6  as many images as the rare findings need"
cxr synthesize data --gan gan --target-frac 0.1 --classes "Fracture,Pleural Other" -o synth

say "7  two classifiers: without and with the synthetic images"
cxr train-cls data --arch small_cnn --steps 150 --arm none -o cls-none
cxr train-cls data synth --arch small_cnn --steps 150 --arm gan -o cls-gan

say "8  did it help?"
cxr evaluate images synth --real data --features cls-none -o eval-images
cxr evaluate classifiers cls-none cls-gan --data data --synth synth --image-report eval-images -o report

cat >&2 <<END

Done in $((SECONDS - started)) s. Open in a browser:
  $work/report/report.html        the two classifiers compared
  $work/eval-images/report.html   the synthetic images beside real ones
Look at:
  $work/gan/samples.png           what the flow makes: a row a label
  $work/edits/panels.png          before, after, difference
See what stands where:  $VENV/bin/cxr status $work/*/
END
