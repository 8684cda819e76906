from ddpm_dp.explorer.page import main

raise SystemExit(main())
