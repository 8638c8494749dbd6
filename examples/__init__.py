"""Examples of joint computation: one task for each kind of job, its readings, and what must come out."""
