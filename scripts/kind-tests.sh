#!/usr/bin/env bash
# The tests on real kubelets: the contract of the kind provider, the planted faults of a GPU platform, and W&B Launch with real agents in
# their pods (docs/launch-testing.md). They make and delete kind clusters of their own. Docker (or podman, nerdctl) is needed; kind is
# built where it is not installed. The agents' images are made of SDKs that pip installs: python 3.11 with venv is needed too.
#
#   scripts/kind-tests.sh [FILTER]      only the tests whose name has FILTER: planted_faults, real_launch_agents
#
#   WBK_KIND_IMAGE=NAME       a node image that this machine has, where no registry is in reach
#   WBK_INFRA_FAKE_GPU=FILE   the static wbk-fake-gpu, where it shall not be built
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || cargo test --locked --workspace --test contract -- --include-ignored --test-threads=1
cargo test --locked --workspace --test kind -- --include-ignored --test-threads=1 --nocapture "$@"
