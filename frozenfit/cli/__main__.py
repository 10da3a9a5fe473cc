"""``python -m frozenfit.cli``."""

import sys

from frozenfit.cli import main

sys.exit(main())
