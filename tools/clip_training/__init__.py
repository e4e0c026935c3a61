"""Parts shared by the trainings of the two bundled CLIPs, mini_clip and mini_web."""
