#!/bin/sh
# The demonstration that `make demo` runs: a sky of 1M objects and 10M detections is made, loaded, and asked four questions.
# QSKY_DEMO_OBJECTS makes it smaller or larger, QSKY_DEMO_FOLDER puts it elsewhere.
set -eu

objects=${QSKY_DEMO_OBJECTS:-1e6}
folder=${QSKY_DEMO_FOLDER:-qsky-demo}
export QSKY_ROOT="$folder/root"
rm -rf "$folder"

say() { printf '\n== %s\n' "$*"; }
ask() {
    printf '\nqsky query "%s"\n\n' "$1"
    qsky query "$1"
}

say "A sky of $objects objects, the stars as dense as the real ones, each with ten detections"
qsky synth --objects "$objects" --sources-per-object 10 --into "$folder/files"

say "Load it: objects by their position, with overlaps; detections with their objects; filters everywhere"
qsky load "$folder"/files/object-*.parquet --into sky.object --director --key objectId --ra coord_ra --dec coord_dec
qsky load "$folder"/files/source-*.parquet --into sky.source --child-of sky.object --key objectId --ra ra --dec dec
qsky load "$folder"/files/filter.parquet --into sky.filter --replicated
qsky tables sky

say "1. A cone: the brightest objects within a degree of the galactic centre"
ask "SELECT objectId, coord_ra, coord_dec, scisql_nanojanskyToAbMag(i_psfFlux) AS i_mag
FROM sky.object WHERE qserv_areaspec_circle(266.405, -28.936, 1)
ORDER BY i_mag LIMIT 5"

say "2. The light curve of one variable star"
star=$(qsky query --quiet --format csv "SELECT objectId FROM sky.object
    WHERE variable_class IS NOT NULL AND i_psfFlux > 50000 ORDER BY objectId LIMIT 1" | tail -n 1)
ask "SELECT s.midpointMjdTai, s.band, scisql_nanojanskyToAbMag(s.psfFlux) AS mag, s.psfFluxErr / s.psfFlux AS error
FROM sky.source s WHERE s.objectId = $star ORDER BY s.midpointMjdTai"

say "3. The whole sky: how many objects of each magnitude, and how many of them are galaxies"
ask "SELECT FLOOR(scisql_nanojanskyToAbMag(i_psfFlux)) AS i_mag, COUNT(*) AS objects, SUM(refExtendedness) AS galaxies
FROM sky.object GROUP BY i_mag ORDER BY i_mag"

say "4. Near neighbours: pairs within 2 arcseconds, all over the sky, across the borders of chunks"
ask "SELECT a.objectId, b.objectId AS neighbour,
       3600 * scisql_angSep(a.coord_ra, a.coord_dec, b.coord_ra, b.coord_dec) AS arcsec
FROM sky.object a, sky.object b
WHERE scisql_angSep(a.coord_ra, a.coord_dec, b.coord_ra, b.coord_dec) < 2 / 3600.0 AND a.objectId < b.objectId
ORDER BY arcsec LIMIT 5"

printf '\nThe database is in %s; ask it more: qsky query --root %s "SELECT ..."\n' "$QSKY_ROOT" "$QSKY_ROOT"
