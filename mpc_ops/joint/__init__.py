"""Joint computation: what several parties compute on shares, by protocols without I/O (`mpc_ops.rounds`)."""
