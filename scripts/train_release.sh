#!/usr/bin/env bash
# Trains the weights that are shipped: starts the run, or resumes it, and stops by itself.
#
#   scripts/train_release.sh DATA RUN MINUTES [OPTION...]
#
# DATA holds clean/ (photos without rain) and rain100/{train,val}/{light,heavy}/{rain,norain}/.
# RUN is the run's folder. The same command again goes on where it stopped. Further options go to
# `derain train`, such as --recipe paper or --set loop.compile=true.
# To ship what came out: cp RUN/best.safetensors weights/fast.safetensors
set -euo pipefail
if [ $# -lt 3 ]; then
  sed -n '2,10s/^# \{0,1\}//p' "$0"
  exit 2
fi
data=$1 run=$2 minutes=$3
shift 3
# Every 15th photo is kept out: scripts/bench_quality.py sees on them that clean pictures stay as they are.
clean=$run.clean
if [ ! -d "$clean" ]; then
  mkdir -p "$clean"
  number=0
  for photo in "$data"/clean/*.jpg; do
    [ $((number % 15)) -eq 0 ] || ln -s "$(realpath "$photo")" "$clean/"
    number=$((number + 1))
  done
fi
resume=()
[ -f "$run/run.json" ] && resume=(--resume)
exec "${DERAIN:-derain}" train --output "$run" "${resume[@]}" --minutes "$minutes" \
  --dataset "$data/rain100/train" --layers "$data/rain100/train" --clean "$clean" --val "$data/rain100/val" \
  --name fast --summary "Small network for any laptop: rain streaks in photos and video" \
  --data-licence "Rain100L and Rain100H, 40 pairs each (Yang et al. 2017): for research use" \
  --data-licence "BSDS500 photographs: non-commercial research and education" \
  --data-licence "Sun-Hays, CamVid and ImageNet sample photographs: for research use" \
  "$@"
