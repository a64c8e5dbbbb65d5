# shellcheck shell=bash
# What the scripts share. Sourced, never run. Leaves the shell at the root of the tree.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# shellcheck disable=SC2034 # for those who source this
# Everything downloaded or produced that is not cargo's. Several clones may share one.
WORK=$(mkdir -p "${FANFARE_WORK:=.work}" && cd "$FANFARE_WORK" && pwd)

say() { printf '%s: %s\n' "${0##*/}" "$*"; }
die() {
    say "$*" >&2
    exit 1
}
