"""`python -m tests.faults.chaos [--seconds 600] [--seed N]`: run it, print the figures."""

import argparse
import random
import sys

from tests.faults.chaos.run import chaos

parser = argparse.ArgumentParser(prog="python -m tests.faults.chaos", description=__doc__)
parser.add_argument("--seconds", type=float, default=600)
parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
arguments = parser.parse_args()
report = chaos(arguments.seed, arguments.seconds)
print(report)
sys.exit(bool(report.problems))
