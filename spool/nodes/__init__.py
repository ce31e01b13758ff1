"""Node states: which nodes are reported to which cluster, and one round of reporting them."""
