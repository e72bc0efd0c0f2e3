"""What decisions cost, exactly: the simulator knows how every trial would have ended."""

from hbsim.bench.diagnosis.brackets import bracket_mix
from hbsim.bench.diagnosis.diagnose import Diagnosis, diagnose
from hbsim.bench.diagnosis.early import early_decisions
from hbsim.bench.diagnosis.ended import Ended
from hbsim.bench.diagnosis.regrets import RegretParts, regret_parts
from hbsim.bench.diagnosis.shares import worker_shares
from hbsim.bench.diagnosis.timeline import timeline

__all__ = [
    "Diagnosis",
    "Ended",
    "RegretParts",
    "bracket_mix",
    "diagnose",
    "early_decisions",
    "regret_parts",
    "timeline",
    "worker_shares",
]
