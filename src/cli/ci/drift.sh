#!/usr/bin/env bash
# The nightly drift check of @NAME@, written by `wbk-infra ci init`. It changes nothing: it compares what is there with the
# blueprint and proves the platform's promises. Reports (SARIF, Markdown, JUnit) are left in REPORTS.
#
#   @SCRIPT@
#
#   WBK_INFRA=FILE   the program; the one on PATH where it is not given
#   REPORTS=FOLDER   drift-reports
#
# Exit code: 0 nothing moved and all checks pass, 3 something moved, 5 a check failed, 6 a check was inconclusive, 1 or 2 the check
# itself did not work. Drift comes before checks, and what did not work before both.
set -uo pipefail
cd "$(dirname "$0")/@ROOT@" || exit 1
wbk_infra=${WBK_INFRA:-wbk-infra}
reports=${REPORTS:-drift-reports}
blueprint=(@FILES@)
mkdir -p "$reports" || exit 1

drift=0 checks=0
"$wbk_infra" drift "${blueprint[@]}" --output sarif >"$reports/drift.sarif" || drift=$?
# Said again for people; the code above counts.
"$wbk_infra" drift "${blueprint[@]}" --output markdown >"$reports/drift.md" || true
"$wbk_infra" verify "${blueprint[@]}" --output junit >"$reports/verify.xml" || checks=$?
printf 'drift: exit %s, checks: exit %s; reports in %s\n' "$drift" "$checks" "$reports" >&2
for code in 1 2 4 130; do
  if [ $drift = $code ] || [ $checks = $code ]; then exit $code; fi
done
[ $drift = 0 ] || exit $drift
exit $checks
