"""The prior: how near a head from one picture is to the exact one."""
