"""What a method costs: parameters, FLOPs by stage, peak memory."""
