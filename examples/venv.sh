# Sourced by tests/run.sh and examples/quickstart.sh: makes .venv in the repository and installs cxr
# with the exact versions of constraints.txt.
#
#   make_venv EXTRAS    e.g. make_venv dicom,test ; leaves the tools in $VENV/bin

make_venv() {
  local extras="${1:-}" root python stamp wanted target
  root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
  VENV="$root/.venv"
  python=""
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python="$candidate"
      break
    fi
  done
  if [ -z "$python" ]; then
    echo "error: Python 3.11 or newer is needed; install it, or name one with PYTHON=/path/to/python" >&2
    return 1
  fi
  target="$root"
  [ -n "$extras" ] && target="$root[$extras]"
  stamp="$VENV/.installed-$(echo "$extras" | tr ',' '-')"
  wanted="$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum) $root"
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    return 0
  fi
  echo "installing cxr and what it needs into $VENV (some minutes and 6 GB the first time)" >&2
  [ -x "$VENV/bin/python" ] || "$python" -m venv "$VENV" || return 1
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
    -c "$root/constraints.txt" -e "$target" || return 1
  echo "$wanted" >"$stamp"
}
