"""The behavioural suite of each port, shipped for whoever writes another backend. Production code never imports it."""
