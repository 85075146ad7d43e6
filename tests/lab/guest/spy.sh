#!/bin/sh
# In the machine: looks as often as it can whether the process PID has a camera
# open while LED is off, until /root/spy.end is there; then writes how many
# looks there were, with the camera open, and of those with the light off. The
# light is read before and after, so that a change in between is no finding.
# Takes PID and the LED's folder.
set -eu
looks=0 open=0 dark=0
while [ ! -e /root/spy.end ]; do
  read -r before <"$2/brightness"
  case $(readlink /proc/"$1"/fd/* 2>/dev/null || true) in
    */dev/video*)
      open=$((open + 1))
      read -r after <"$2/brightness"
      if [ "$before" = 0 ] && [ "$after" = 0 ]; then dark=$((dark + 1)); fi
      ;;
  esac
  looks=$((looks + 1))
done
echo "$looks $open $dark" >/root/spy.out
