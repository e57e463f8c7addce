#!/usr/bin/env bash
# The nightly drift check: a real kind cluster with fake GPUs is applied, verified, found without drift; then a drift is planted,
# which must be found (exit code 3), mended and gone. Reports (JUnit, SARIF, Markdown, logs) are left in REPORTS.
#
#   scripts/nightly.sh [BLUEPRINT [OVERLAY…]]      blueprints/kind-gpu.yaml where none is named
#
#   WBK_INFRA=FILE        the program; built where it is not given
#   REPORTS=FOLDER        nightly-reports
#   WBK_KIND_IMAGE=NAME   a node image that this machine has, where no registry is in reach
#   KEEP=1                the cluster is not destroyed at the end
set -uo pipefail
cd "$(dirname "$0")/.."
files=("${@:-blueprints/kind-gpu.yaml}")
reports=${REPORTS:-nightly-reports}
mkdir -p "$reports"
if [ -z "${WBK_INFRA:-}" ]; then
  cargo build --release --locked || exit 1
  WBK_INFRA=target/release/wbk-infra
fi
if [ -n "${WBK_KIND_IMAGE:-}" ]; then
  printf 'cluster: {kind: {image: "%s"}}\n' "$WBK_KIND_IMAGE" >"$reports/image.yaml"
  files+=("$reports/image.yaml")
fi
blueprint=()
for file in "${files[@]}"; do blueprint+=(--file "$file"); done

failed=0
# expect CODE WHAT COMMAND…: runs it, its standard output in the file that the caller names.
expect() {
  local wanted=$1 what=$2 code=0
  shift 2
  "$@" || code=$?
  if [ "$code" = "$wanted" ]; then
    printf 'ok    %s (exit %s, %s s)\n' "$what" "$code" "$SECONDS" >&2
  else
    printf 'FAIL  %s: exit %s, not %s\n' "$what" "$code" "$wanted" >&2
    failed=1
  fi
}
clean_up() {
  [ -n "${KEEP:-}" ] || expect 0 "destroyed" "$WBK_INFRA" destroy "${blueprint[@]}" --delete all --yes >"$reports/destroy.log"
}
trap clean_up EXIT

expect 0 "applied and verified" "$WBK_INFRA" apply "${blueprint[@]}" --yes >"$reports/apply.log"
[ $failed = 0 ] || exit 1
expect 0 "verified" "$WBK_INFRA" verify "${blueprint[@]}" --output junit >"$reports/verify.xml"
expect 0 "planning again finds nothing" "$WBK_INFRA" plan "${blueprint[@]}" --exit-code >"$reports/plan.log"
expect 0 "no drift" "$WBK_INFRA" drift "${blueprint[@]}" --output markdown >"$reports/drift.md"

# A drift that any platform of this tool has: a label of a node, by the engine that kind runs on.
name=$(sed -n 's/^Plan for .* on kind cluster \([^ ]*\) .*/\1/p' "$reports/plan.log")
engine=${KIND_EXPERIMENTAL_PROVIDER:-docker}
node=$("$engine" ps --quiet --filter "label=io.x-k8s.kind.cluster=$name" --filter "label=io.x-k8s.kind.role=control-plane")
"$engine" exec "$node" kubectl --kubeconfig /etc/kubernetes/admin.conf label node --all wbk-infra/capacity=planted --overwrite >&2 ||
  failed=1
expect 3 "the planted drift is found" "$WBK_INFRA" drift "${blueprint[@]}" --output sarif >"$reports/drift.sarif"
grep -q 'wbk-infra/capacity' "$reports/drift.sarif" || { printf 'FAIL  the SARIF names no planted label\n' >&2; failed=1; }
expect 3 "and told in Markdown" "$WBK_INFRA" drift "${blueprint[@]}" --output markdown >"$reports/planted.md"
expect 0 "mended" "$WBK_INFRA" apply "${blueprint[@]}" --yes --no-verify >"$reports/mend.log"
expect 0 "and gone" "$WBK_INFRA" drift "${blueprint[@]}" >"$reports/gone.log"
clean_up
trap - EXIT
exit $failed
