#!/usr/bin/env bash
# Trains the default weights: one long run at a constant learning rate, and short runs that anneal its weights.
#
#   scripts/train_release.sh long DATA RUN MINUTES [OPTION...]
#   scripts/train_release.sh settle DATA RUN STEPS [OPTION...]
#
# DATA holds clean/ (photos without rain) and rain100/{train,val}/{light,heavy}/{rain,norain}/.
#
# `long` starts or resumes the run in the folder RUN and stops after MINUTES, so it suits a GPU lease. Its schedule never
# ends: the learning rate is constant, and the averaged weights of any step can be annealed.
# `settle` decays the learning rate to zero over STEPS steps from the newest weights of RUN, in a separate run next to it.
# To ship the result, if scripts/bench_quality.py supports it: cp RUN.settled-N/best.safetensors weights/fast.safetensors
#
# Further options go to `derain train`. The program is $DERAIN, or derain.
set -euo pipefail
if [ $# -lt 4 ]; then
  sed -n '2,15s/^# \{0,1\}//p' "$0"
  exit 2
fi
what=$1 data=$2 run=$3 amount=$4
shift 4

# Every 15th photo is held out: scripts/bench_quality.py uses them to check that clean pictures stay unchanged.
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
