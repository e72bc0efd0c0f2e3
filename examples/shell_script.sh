#!/bin/sh
# A shell script, tuned by its command line; its reports are lines that a pattern matches.
#
# hbsim run --command "sh examples/shell_script.sh {speed} {max_t}" --param speed=int:1:9 \
#     --report-pattern 'epoch (?P<epoch>\d+): accuracy (?P<accuracy>\S+)' \
#     --scheduler stopping --max-t 9 --num-trials 9
set -eu
speed=$1
epochs=$2
state="${HBSIM_CHECKPOINT_DIR:-.}/epoch" # its content is back when the trial goes on
epoch=0
if [ -f "$state" ]; then epoch=$(cat "$state"); fi
while [ "$epoch" -lt "$epochs" ]; do
    epoch=$((epoch + 1))
    sleep 0.05 # an epoch of training
    echo "$epoch" >"$state.new"
    mv "$state.new" "$state"
    echo "epoch $epoch: accuracy 0.$((speed * 10 + epoch))"
done
