"""Makes `deploy/aws/template.yaml` out of the list of steps, the store's tables and the list of functions."""
