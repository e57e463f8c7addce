#!/usr/bin/env bash
# The tests of the EKS stand (moto and fakecloud as real processes, the aws CLI as a client, a control plane behind each cluster), and
# those of the EKS provider, against one stand. docs/eks-testing.md tells what they prove. fakecloud is built once for a machine, 3 minutes on two cores.
#
#   WBK_INFRA_FAKECLOUD=FILE     a ready fakecloud 0.51.0, where it shall not be built
#   PIP_INDEX_URL, pip.conf      the package index, as pip reads it
#   WBK_INFRA_TEST_PYTHON=FILE   the python (3.11) that makes the environment, where it is not python3
#   WBK_INFRA_TEST_SEED=NUMBER   the moments of the kills, as a run that failed printed them
set -euo pipefail
cd "$(dirname "$0")/.."
# One selection of packages for all: another one has other features, and builds the AWS SDK again.
cargo test --locked --workspace --test stand --test lifecycle -- --include-ignored
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
"$programs/wbk-eks-stand" >"$work/env" &
stand=$!
# The last line that it prints; what takes long it says meanwhile.
until grep -q '^# the aws CLI' "$work/env"; do
    kill -0 "$stand" 2>/dev/null || { wait "$stand"; exit 1; }
    sleep 0.2
done
# In a shell of its own: nothing else is to see these variables.
# shellcheck disable=SC1091
(source "$work/env" && cargo test --locked --workspace --test network --test iam --test eks_contract -- --include-ignored)
# Whole platforms, by the program, each on a stand of its own: a gigabyte and most of a processor each. What needs a Cluster Autoscaler
# beside the stand is scripts/eks-autoscaler.sh.
cargo test --locked --workspace --test eks -- --ignored --test-threads 2 --skip the_real_cluster_autoscaler
