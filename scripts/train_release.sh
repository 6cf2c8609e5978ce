#!/usr/bin/env bash
# Trains the weights that are shipped: one long run at a constant rate, and short ones that settle what it has learnt.
#
#   scripts/train_release.sh long DATA RUN MINUTES [OPTION...]
#   scripts/train_release.sh settle DATA RUN STEPS [OPTION...]
#
# DATA holds clean/ (photos without rain) and rain100/{train,val}/{light,heavy}/{rain,norain}/.
#
# `long` starts the run in the folder RUN, or goes on where it stopped, and stops by itself; a GPU lease is this one
# command. It never ends by its schedule: the rate is constant, and the averaged weights of any step can be settled.
# `settle` lets the rate fall to nothing over STEPS steps from the newest weights of RUN, in a run of its own beside it.
# To ship what came out, if scripts/bench_quality.py says so: cp RUN.settled-N/best.safetensors weights/fast.safetensors
#
# Further options go to `derain train`. The program is $DERAIN, or derain.
set -euo pipefail
if [ $# -lt 4 ]; then
  sed -n '2,15s/^# \{0,1\}//p' "$0"
  exit 2
fi
what=$1 data=$2 run=$3 amount=$4
shift 4

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

train() {
  exec "${DERAIN:-derain}" train \
    --dataset "$data/rain100/train" --layers "$data/rain100/train" --clean "$clean" --val "$data/rain100/val" \
    --name fast --summary "Small network for any laptop: rain streaks in photos and video" \
    --data-licence "Rain100L and Rain100H, 40 pairs each (Yang et al. 2017): for research use" \
    --data-licence "BSDS500 photographs: non-commercial research and education" \
    --data-licence "Sun-Hays, CamVid and ImageNet sample photographs: for research use" \
    --set optim.freeze_norm=0.0 "$@"
}

case $what in
  long)
    resume=()
    [ -f "$run/run.json" ] && resume=(--resume)
    train --output "$run" "${resume[@]}" --minutes "$amount" --from fast \
      --set optim.schedule=constant --set optim.steps=1000000 --set optim.lr=2e-4 --set optim.ema=0.9993 \
      --set loop.validate_every=3000 --set loop.checkpoint_every=500 "$@"
    ;;
  settle)
    train --output "$run.settled-$(date +%m%d-%H%M)" --from "$run/last.safetensors" \
      --set optim.schedule=cosine --set "optim.steps=$amount" --set optim.warmup=0 --set optim.lr_floor=0.0 \
      --set optim.lr=2e-4 --set optim.ema=0.998 --set "loop.validate_every=$amount" --set loop.checkpoint_every=500 "$@"
    ;;
  *)
    echo "what: long or settle, not $what" >&2
    exit 2
    ;;
esac
