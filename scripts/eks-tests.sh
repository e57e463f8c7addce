#!/usr/bin/env bash
# The tests of the EKS stand: moto and fakecloud as real processes, the aws CLI as a client, a control plane behind each cluster.
# docs/eks-testing.md tells what they prove. fakecloud is built once for a machine, about 20 minutes on two cores.
#
#   WBK_INFRA_FAKECLOUD=FILE     a ready fakecloud 0.51.0, where it shall not be built
#   PIP_INDEX_URL, pip.conf      the package index, as pip reads it
#   WBK_INFRA_TEST_PYTHON=FILE   the python (3.11) that makes the environment, where it is not python3
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --locked --package wbk-eks-stand -- --include-ignored
