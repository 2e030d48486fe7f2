# What the study scripts share; they source it. Not run by itself.

fail() { echo "error: $*" >&2; exit 2; }
need_cxr() { type -P cxr >/dev/null || fail "cxr is not on the PATH (source .venv/bin/activate, or pip install it)"; }

# cxr WORD...: the command. A warning that an earlier command of the study gave, perhaps with other numbers (of a set, of
# images), is not shown again: warnings.txt holds all, and `answer` says how often each was given
cxr() {
  local line like
  {
    command cxr "$@" 2>&1 >&4 4>&- | while IFS= read -r line || [ -n "$line" ]; do
      case "$line" in
        warning:*)
          like="${line//[0-9]/}"
          printf '%s\n' "$line" >>warnings.txt
          if grep -qxF -e "$like" .warned 2>/dev/null; then continue; fi
          printf '%s\n' "$like" >>.warned
          ;;
      esac
      printf '%s\n' "$line" >&2
    done
  } 4>&1
}

# absolute PATH: of what exists
absolute() { echo "$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"; }

# read_part: PART=1/2 is the first of two halves of the work, side by side in one folder. Sets mine and of, by which `own`
# tells whose a job is, and part_name; without PART every job is this run's
read_part() {
  part="${PART:-}" mine=0 of=1 part_name=""
  [ -n "$part" ] || return 0
  [[ "$part" =~ ^([1-9][0-9]*)/([1-9][0-9]*)$ ]] && [ "${BASH_REMATCH[1]}" -le "${BASH_REMATCH[2]}" ] ||
    fail "PART=$part: write PART=1/2 and PART=2/2"
  mine=$((BASH_REMATCH[1] - 1)) of="${BASH_REMATCH[2]}" part_name="part-${part/\//-of-}"
}

# own NUMBER: whether this part does this job
own() { [ $(($1 % of)) = "$mine" ]; }

# together COMMAND...: what another part may be making too: waits for it
together() {
  local code=0
  until "$@"; do
    code=$?
    [ "$code" = 75 ] && [ -n "$part" ] || return "$code"
    sleep 10
  done
}

# end_part: a part ends here; the pages are made without PART
end_part() {
  [ -n "$part" ] || return 0
  echo "part $part is done; when all are, give the command without PART" >&2
  exit
}

# read_words "$@": sets size (smoke, cpu or full), source (may be empty with --smoke, or where the script says
# fetches=yes) and work; goes there. --cpu is the default
read_words() {
  local word words=()
  need_cxr
  size=""
  for word in "$@"; do
    case "$word" in
      --smoke | --cpu | --full)
        [ -z "$size" ] || fail "two sizes: --$size and $word"
        size="${word#--}"
        ;;
      -*) fail "unknown switch $word (--smoke, --cpu or --full)" ;;
      *) words+=("$word") ;;
    esac
  done
  size="${size:-cpu}"
  case "$size ${fetches:-no} ${#words[@]}" in
    "smoke "*" 1" | *" yes 1") source="" work="${words[0]}" ;;
    *" 2") source="${words[0]}" work="${words[1]}" ;;
    *) fail "usage: bash $0 DATA WORK [--smoke|--cpu|--full], or WORK --smoke" ;;
  esac
  if [ -n "$source" ]; then
    [ -e "$source" ] || fail "no such file or folder: $source"
    source="$(absolute "$source")"
  fi
  [ "$size" != smoke ] || work="$work/smoke"
  mkdir -p "$work"
  cd "$work"
  lock_study "${part_name:-}"
  touch .started
}

# lock_study [NAME]: ends with 75 where another run of a study is at work in this folder (with a NAME: another run of
# this part of it). The lock is on descriptor 9, which
# what the study starts inherits: it is free when the last of them has ended, however that came. (flock of util-linux
# would do; python3 is needed anyway.)
lock_study() {
  exec 9>>".study${1:+-$1}.lock"
  python3 -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null || {
    echo "error: another run of a study is at work in $PWD" >&2
    exit 75
  }
}

# format_of SOURCE FOLDER_FORMAT: a file is a table, a folder is FOLDER_FORMAT
format_of() { if [ -f "$1" ]; then echo table; else echo "$2"; fi; }

# need_classes DATA "A,B": ends with 2 where a dataset directory lacks one
need_classes() {
  python3 - "$1" "$2" <<'END'
import json, sys
data, names = sys.argv[1:]
labels = json.load(open(f"{data}/dataset.json", encoding="utf-8"))["labels"]
for name in map(str.strip, names.split(",")):
    if name not in labels:
        print(f"error: {data} lacks the class {name}; it has {', '.join(labels)}", file=sys.stderr)
        sys.exit(2)
END
}

# arm_options NAME SYNTH: sets arm_words, what train-cls is told for an arm of a study. As practitioners train, ordinary
# augmentation (AUGMENT, safe) is on top of all images of an arm; a paper's bare arm is bare-NAME, and none is bare anyway.
# balanced, focal and adjusted are standard with what helps rare classes without a synthetic image
arm_options() {
  local augment=(--augment "${AUGMENT:-safe}")
  case "$1" in
    none) arm_words=(--arm none) ;;
    standard) arm_words=(--arm standard "${augment[@]}") ;;
    balanced) arm_words=(--arm standard "${augment[@]}" --sampling balanced) ;;
    focal) arm_words=(--arm standard "${augment[@]}" --loss focal) ;;
    adjusted) arm_words=(--arm standard "${augment[@]}" --logit-adjust 1) ;;
    bare-duplicate | bare-gan | bare-synthetic-only | bare-pretrain-finetune) arm_words=("$2" --arm "${1#bare-}") ;;
    duplicate | gan | synthetic-only | pretrain-finetune | pooled) arm_words=("$2" --arm "$1" "${augment[@]}") ;;
    *) fail "unknown arm $1 (none, standard, balanced, focal, adjusted, duplicate, gan, synthetic-only, pretrain-finetune, pooled, bare-NAME)" ;;
  esac
}

# answer REPORT: the first sentences of a report, and warnings that were given more than once, with their number
answer() {
  python3 - "$1/metrics.json" <<'END'
import json, re, sys
from collections import defaultdict
from pathlib import Path

print(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["answer"])
given = Path("warnings.txt")
lines = given.read_text(encoding="utf-8").splitlines() if given.exists() else []
alike = defaultdict(list)
for line in lines:
    alike[re.sub("[0-9]", "", line)].append(line.removeprefix("warning: "))
several = [(own[0], len(own)) for own in alike.values() if len(own) > 1]
if several:
    print(f"warnings that were given more than once, numbers apart ({given}):", file=sys.stderr)
for text, n in several:
    print(f"  {n} times: {text[:100]}{'...' * (len(text) > 100)}", file=sys.stderr)
END
}

# finish REPORT: what the run did, what it says, and where to look
finish() {
  answer "$1"
  if [ -z "$(find . -name result.json -newer .started | head -n 1)" ]; then
    echo "everything is up to date" >&2
  fi
  echo "report: $PWD/$1/report.html"
}
