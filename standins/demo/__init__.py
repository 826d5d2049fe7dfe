"""`make demo`: the main job on one machine, told step by step, and every claim checked at the servers."""
