#!/usr/bin/env bash
# A study every night, for cron: quiet unless something was made or went wrong.
#
#   bash examples/cron.sh LOGS COMMAND [WORD...]
#
#   MAILTO=you@example.org
#   PATH=/where/cxr/lies/.venv/bin:/usr/bin:/bin
#   15 2 * * *  bash cxr/examples/cron.sh /data/logs bash cxr/examples/cross_modality.sh /data/mri /data/study --cpu
#
# cron mails what is printed. This prints nothing where nothing changed (a study says "everything is up to date"),
# the last line of the command (a study's report) where something was made, and the end of its log with the meaning
# of its exit code where it failed; codes in QUIET_ON (default: 75 130 143, it goes on another night) mail nothing.
# All that the command says is in LOGS/last.log; a line a night, with the exit code, in LOGS/history.log.
# While last night's run goes on, LOGS is locked and this ends with 75, without mail. The exit code is the
# command's. Needs flock (util-linux).
set -euo pipefail
if [ $# -lt 2 ]; then
  echo "usage: bash $0 LOGS COMMAND [WORD...]" >&2
  exit 2
fi
logs="$1"
shift
command -v flock >/dev/null || { echo "error: flock is missing (util-linux)" >&2; exit 2; }
mkdir -p "$logs"
night() { echo "$(date '+%F %T') exit $1: $2" >>"$logs/history.log"; }

exec 9>"$logs/.lock"
if ! flock --nonblock 9; then
  night 75 "another run is still going"
  exit 75
fi
code=0
# The command does not inherit the lock: what it may leave behind does not hold it.
"$@" >"$logs/last.log" 2>&1 9>&- || code=$?

case "$code" in
  0) meaning="done" ;;
  1) meaning="a bug" ;;
  2) meaning="wrong options, or a class that the data lack" ;;
  3) meaning="bad input: missing, unreadable or of the wrong form" ;;
  4) meaning="an output folder belongs to other options or inputs (--on-change rebuild, or another folder)" ;;
  5) meaning="a check failed: a leak, a divergence, a gate" ;;
  75) meaning="another process holds an output folder" ;;
  130 | 143) meaning="interrupted; the next night goes on" ;;
  *) meaning="unknown" ;;
esac
if [ "$code" = 0 ] && grep -qx "everything is up to date" "$logs/last.log"; then
  meaning="nothing changed"
elif [ "$code" = 0 ]; then
  tail -n 1 "$logs/last.log"
fi
night "$code" "$meaning"
case " 0 ${QUIET_ON-75 130 143} " in
  *" $code "*) ;;
  *)
    echo "error: exit $code ($meaning) from: $*" >&2
    tail -n 20 "$logs/last.log" >&2
    ;;
esac
exit "$code"
