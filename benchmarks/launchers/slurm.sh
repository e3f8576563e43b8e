#!/bin/bash
# A SLURM of one node on this machine, from Debian's packages, as root:
#   apt-get install slurmctld slurmd slurm-client munge
#   benchmarks/launchers/slurm.sh start DIR     then SLURM_CONF=DIR/slurm.conf sbatch …
#   benchmarks/launchers/slurm.sh stop DIR
# Two partitions: jobs of `urgent` preempt those of `usual`, which are queued again, and start after cred_expire seconds
# (by default 120). No accounting, no control groups.
set -e
command=$1 place=$(realpath -m "$2")
conf=$place/slurm.conf
if [ "$command" = stop ]; then
  SLURM_CONF=$conf scancel --user="$(id -un)" || true
  for name in slurmd slurmctld munged; do
    [ -f "$place/$name.pid" ] && kill "$(cat "$place/$name.pid")" || true
  done
  exit 0
fi
mkdir -p "$place/state" "$place/spool" && chmod 755 "$place"
[ -f /etc/munge/munge.key ] || { dd if=/dev/urandom bs=1 count=1024 of=/etc/munge/munge.key status=none; chown munge: /etc/munge/munge.key; chmod 400 /etc/munge/munge.key; }
mkdir -p /run/munge && chown munge: /run/munge
runuser -u munge -- munged --pid-file=/run/munge/munged.pid
cp /run/munge/munged.pid "$place/munged.pid"
cat > "$conf" <<EOF
ClusterName=one
SlurmctldHost=localhost
SlurmUser=root
AuthType=auth/munge
AuthInfo=cred_expire=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=20
PropagatePrioProcess=1
MinJobAge=300
ReturnToService=2
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool
SlurmctldPidFile=$place/slurmctld.pid
SlurmdPidFile=$place/slurmd.pid
SlurmctldLogFile=$place/slurmctld.log
SlurmdLogFile=$place/slurmd.log
MpiDefault=none
NodeName=localhost CPUs=$(nproc) State=UNKNOWN
PartitionName=usual Nodes=localhost Default=YES PriorityTier=1 MaxTime=INFINITE State=UP
PartitionName=urgent Nodes=localhost PriorityTier=10 MaxTime=INFINITE State=UP
EOF
export SLURM_CONF=$conf
slurmctld -f "$conf"
slurmd -f "$conf" -N localhost
for _ in $(seq 50); do sinfo --noheader --format=%t 2> /dev/null | grep -q idle && exit 0; sleep 0.2; done
tail -5 "$place/slurmctld.log" "$place/slurmd.log"
exit 1
