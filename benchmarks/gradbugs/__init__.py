"""GradBugs-100: replicas of 100 real bugs in gradients, from public issue threads."""
