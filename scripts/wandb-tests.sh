#!/usr/bin/env bash
# The tests with real launch agents: the newest and the oldest wandb SDK against a real control plane and the W&B server of fake-wandb/.
# docs/launch-testing.md tells what they prove and how long they take.
#
#   PIP_INDEX_URL, pip.conf      the package index, as pip reads it
#   WBK_INFRA_TEST_PYTHON=FILE   the python (3.11) that makes the environments, where it is not python3
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --locked --package wbk-fake-wandb
cargo test --locked --workspace --test wandb -- --include-ignored --nocapture
