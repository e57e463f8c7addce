#!/usr/bin/env bash
# A platform on EKS from nothing to nothing on this machine: no account, no money. Plan, apply, an empty plan, drift, destroy, by
# the program itself, against the emulators of docs/eks-testing.md.
#
#   scripts/eks-emulated.sh [BLUEPRINT]     blueprints/eks-gpu.yaml where none is named
#
# The first run installs moto with pip and builds fakecloud (3 minutes on two cores; WBK_INFRA_FAKECLOUD names a ready one).
set -euo pipefail
cd "$(dirname "$0")/.."
blueprint=${1:-blueprints/eks-gpu.yaml}
if [[ ! -f $blueprint ]]; then
    echo "error: there is no blueprint $blueprint" >&2
    exit 2
fi
# The whole workspace, as the tests build it: another selection has other features, and builds the AWS SDK again.
cargo build --locked --workspace
programs=${CARGO_TARGET_DIR:-target}/debug

work=$(mktemp -d)
stand=
end() {
    # The stand ends what it started; only then may its files go.
    if [[ -n $stand ]]; then kill "$stand" 2>/dev/null && wait "$stand" || true; fi
    rm -rf "$work"
}
trap end EXIT

"$programs/wbk-eks-stand" --log "$work/requests" >"$work/env" &
stand=$!
# The last line that it prints; what takes long it says meanwhile.
until grep -q '^# the aws CLI' "$work/env"; do
    kill -0 "$stand" 2>/dev/null || { wait "$stand"; exit 1; }
    sleep 0.2
done
# shellcheck disable=SC1091
source "$work/env"
export XDG_STATE_HOME="$work/state"

infra() {
    printf '\n$ wbk-infra %s\n' "$*"
    "$programs/wbk-infra" "$@"
}
infra plan "$blueprint"
# The stand has one API server for every version that is asked for.
infra apply "$blueprint" --yes --skip api.version
infra plan "$blueprint" --exit-code
infra drift "$blueprint"
infra destroy "$blueprint" --delete all --yes

printf '\nrequests to AWS: %s, by service:\n' "$(wc -l <"$work/requests")"
sed -n 's/.*"service":"\([a-z0-9]*\)".*/\1/p' "$work/requests" | sort | uniq -c
