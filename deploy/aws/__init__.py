"""The deployment on AWS: `deploy.sh`, `destroy.sh`, the template, and what makes it."""
