import sys

from ddpm_dp.cli import main

sys.exit(main())
