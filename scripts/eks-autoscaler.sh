#!/usr/bin/env bash
# The real Cluster Autoscaler against the stand: it is built from its own sources (once for a machine, about 15 minutes on two cores), runs as a
# process with the arguments and the rights that the platform installs, and must make a node for a pod that waits for a pool without any.
#
#   WBK_INFRA_CLUSTER_AUTOSCALER=FILE      a ready cluster-autoscaler 1.36.1, where it shall not be built
#   WBK_INFRA_AUTOSCALER_SOURCE=DIR        a checkout of kubernetes/autoscaler at cluster-autoscaler-1.36.1, where GitHub is out of reach
set -euo pipefail
cd "$(dirname "$0")/.."
version=1.36.1
cached=${XDG_CACHE_HOME:-$HOME/.cache}/wbk-infra/cluster-autoscaler-$version
if [[ -z ${WBK_INFRA_CLUSTER_AUTOSCALER:-} && ! -x $cached ]]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    source=${WBK_INFRA_AUTOSCALER_SOURCE:-$work/autoscaler}
    [[ -d $source ]] || git clone --quiet --depth 1 --branch "cluster-autoscaler-$version" \
        https://github.com/kubernetes/autoscaler "$source"
    # The cloud alone that is asked for: the others double the build.
    (cd "$source/cluster-autoscaler" && CGO_ENABLED=0 nice go build -tags aws -o "$work/built" .)
    mkdir -p "$(dirname "$cached")"
    mv "$work/built" "$cached"
fi
export WBK_INFRA_CLUSTER_AUTOSCALER=${WBK_INFRA_CLUSTER_AUTOSCALER:-$cached}
cargo test --locked --workspace --test eks -- --ignored the_real_cluster_autoscaler
