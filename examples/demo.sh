#!/bin/sh
# The demonstration that `make demo` runs: a sky of 1M objects and 10M detections is made, loaded, and asked four questions.
# QSKY_DEMO_OBJECTS makes it smaller or larger, QSKY_DEMO_FOLDER puts it elsewhere.
set -eu

objects=${QSKY_DEMO_OBJECTS:-1e6}
folder=${QSKY_DEMO_FOLDER:-qsky-demo}
export QSKY_ROOT="$folder/root"
rm -rf "$folder"

say() { printf '\n== %s\n' "$*"; }

say "A sky of $objects objects, the stars as dense as the real ones, each with ten detections"
qsky synth --objects "$objects" --sources-per-object 10 --into "$folder/files"

say "Load it: objects by their position, with overlaps; detections with their objects; filters everywhere"
qsky load "$folder"/files/object-*.parquet --into sky.object --director --key objectId --ra coord_ra --dec coord_dec
qsky load "$folder"/files/source-*.parquet --into sky.source --child-of sky.object --key objectId --ra ra --dec dec
qsky load "$folder"/files/filter.parquet --into sky.filter --replicated
qsky tables sky

python "$(dirname "$0")/questions.py" "$QSKY_ROOT"

printf '\nThe database is in %s; ask it more: qsky query --root %s "SELECT ..."\n' "$QSKY_ROOT" "$QSKY_ROOT"
