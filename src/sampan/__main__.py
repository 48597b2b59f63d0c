"""`python -m sampan` is `sampan`."""

import sys

from sampan.cli.start import main

sys.exit(main())
