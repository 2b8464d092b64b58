#!/bin/bash
# Train on several nodes under SLURM; the job puts itself back into the queue until it is done.
#
#     audiovq cp train_slurm my_jobs/
#     sbatch my_jobs/train_slurm.sh autoencoder/vq_ema data.manifest=speech.jsonl run.dir=runs/vq
#
# 120 s before its time is up SLURM sends SIGUSR1 to every process: they finish the step, save and
# leave with exit code 75, which asks for the job to be queued again. Preemption by SIGTERM (143)
# does the same. Any other code is an error, and stays one. The run folder must be on a file system
# that the first node sees at every start.
#SBATCH --job-name=audiovq
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append

MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
export MASTER_ADDR MASTER_PORT
export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"

# The shell must outlive its processes: it is signalled, too, when the whole job is.
trap '' USR1
trap 'true' TERM

srun --kill-on-bad-exit=1 python -m audiovq train "$@" &
pid=$!
wait "$pid"
code=$?
while kill -0 "$pid" 2>/dev/null; do # a signal ended the wait, not srun
  wait "$pid"
  code=$?
done

if [ "$code" -eq 75 ] || [ "$code" -eq 143 ]; then
  echo "saved; queued again (exit code $code)"
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
