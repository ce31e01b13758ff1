"""Drafts for the first installation: cluster.json of cc-backend, and our `gpuPciAddrs`. Pure."""
