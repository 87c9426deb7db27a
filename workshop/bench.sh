#!/bin/sh
# Every benchmark, one after another; each says what it measures.
set -eu
cd "$(dirname "$0")/.."
for file in benchmarks/[!_]*.py; do
    echo "===== $file"
    .venv/bin/python -m "benchmarks.$(basename "$file" .py)"
done
