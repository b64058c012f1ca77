#!/bin/sh
# The batch script of every task. The first argument is its time limit in seconds, or empty; the
# rest is what starts TaskRunner, which then gets the name of this start and when it will be killed.
# A job that is started again after its node has failed has another name, and is not let in.
limit=$1
shift
end=${SLURM_JOB_END_TIME:-${limit:+$(($(date +%s) + limit))}}
exec "$@" "$SLURM_JOB_ID${SLURM_RESTART_COUNT:+ restart $SLURM_RESTART_COUNT}" $end
