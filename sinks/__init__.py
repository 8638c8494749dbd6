"""Where released aggregates are written: InfluxDB, or SQLite. Sees what is released, nothing else."""
