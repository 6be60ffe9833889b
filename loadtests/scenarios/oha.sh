#!/bin/sh
# One list at a constant rate, with latency counted from the intended send time; then as fast as four clients can.
set -eu
base=${1:-http://127.0.0.1:8080}
path='/v1/products?sort=best_selling&include=variants,images'
oha --no-tui -z 10s -q 200 -c 16 --latency-correction "$base$path"
oha --no-tui -z 10s -c 4 "$base$path"
