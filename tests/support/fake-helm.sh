#!/bin/sh
# Stands in for helm: FAKE_HELM says how it behaves. What it is given is written to FAKE_HELM_LOG.
if [ -n "$FAKE_HELM_LOG" ]; then
    {
        printf 'args: %s\n' "$*"
        env | sort
        for arg in "$@"; do
            if [ -f "$arg" ]; then
                printf 'file %s mode %s: ' "$arg" "$(stat -c %a "$arg")"
                cat "$arg"
                echo
            fi
        done
    } >>"$FAKE_HELM_LOG"
fi
if [ "$1" = version ] && [ "$FAKE_HELM_VERSION" != "" ]; then
    printf '%s' "$FAKE_HELM_VERSION"
    exit 0
fi
case "$FAKE_HELM" in
hang) exec sleep 600 ;;
# Ignores the interrupt, as a helm that waits for a stuck server would.
stubborn)
    trap '' INT
    sleep 600
    ;;
killed) kill -9 $$ ;;
broken) printf '{"version": 1, "info": ' ;;
fails)
    i=0
    while [ $i -lt 30 ]; do
        echo "line $i" >&2
        i=$((i + 1))
    done
    exit 7
    ;;
prints) printf '%s' "$FAKE_HELM_PRINTS" ;;
*) printf '%s' "no helm at all" ;;
esac
